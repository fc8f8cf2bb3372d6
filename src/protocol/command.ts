/**
 * The command (kind 30079): its text, whom it is for, and how soon. Who may command, and who is meant where tags and
 * text disagree, is judged in `intake/`.
 *
 * Its identity is the event's id. The kind is addressable, so our senders always add a `d` of their own; one that comes
 * without is a command all the same. Where a tag stands twice the first counts.
 */
import { parseDeadline, printDeadline } from "./deadline.ts"
import { isHex64, tagValue, tagValues, type EventTemplate, type Tag } from "./event.ts"
import { Kind } from "./kinds.ts"
import type { Place } from "./place.ts"

/** From the least to the most pressing. */
export const priorities = ["low", "normal", "high", "urgent"] as const

export type Priority = (typeof priorities)[number]

export const isPriority = (value: unknown): value is Priority => (priorities as readonly unknown[]).includes(value)

/** Which command this one comes from. `depth` counts the wizards' children only; a person's follow-up has 0. */
export interface Descent {
  readonly parent?: string
  readonly root?: string
  readonly depth: number
}

/** What was found out about the root of a wizard's child, when parent and root were verified. */
export interface Lineage {
  /** A public key. */
  readonly rootAuthor: string
  readonly rootPlace: Place
  /** It came as a rumor: who wrote the root is the sender's word. */
  readonly private: boolean
}

export interface Command extends Descent {
  /** The text with its leading mentions. */
  readonly text: string
  /** The public keys in its `p` tags, each once, in order. */
  readonly targets: readonly string[]
  readonly priority: Priority
  /** Unix milliseconds. */
  readonly deadlineMs?: number
  /** Absent where the tag is missing or empty: then many relays keep only the author's newest. */
  readonly d?: string
  /** What was passed over, each in a sentence. */
  readonly warnings: readonly string[]
  /** Why it cannot be obeyed, in a sentence that says what to do. */
  readonly fault?: string
}

export interface CommandFields {
  /** With the leading mentions. */
  readonly text: string
  /** Public keys. */
  readonly targets: readonly string[]
  readonly priority?: Priority
  readonly deadlineMs?: number
  /** Unique among the author's commands. */
  readonly d: string
  /** Unix seconds. */
  readonly createdAt: number
  readonly descent?: Descent
}

export const commandTemplate = (fields: CommandFields): EventTemplate => ({
  kind: Kind.command,
  created_at: fields.createdAt,
  tags: [
    ["d", fields.d],
    ...fields.targets.map((target) => ["p", target]),
    ["t", "dispatch-command"],
    ...(fields.priority === undefined ? [] : [["priority", fields.priority]]),
    ...(fields.deadlineMs === undefined ? [] : [["deadline", printDeadline(fields.deadlineMs)]]),
    ...(fields.descent === undefined ? [] : descentTags(fields.descent)),
  ],
  content: fields.text.toWellFormed(),
})

/** The command that an event is; undefined for another kind. Its `t` tag is not asked for: the kind says enough. */
export const readCommand = (event: EventTemplate): Command | undefined => {
  if (event.kind !== Kind.command) return undefined
  const keys = tagValues(event, "p")
  const targets = [...new Set(keys.filter(isHex64))]
  const d = tagValue(event, "d")
  const deadline = tagValue(event, "deadline")
  const deadlineMs = deadline === undefined ? undefined : parseDeadline(deadline)
  const { descent, fault: descentFault } = readDescent(event)
  const priority = (tagValue(event, "priority") ?? "normal").toLowerCase()
  const fault = deadline !== undefined && deadlineMs === undefined ? unreadable(deadline) : descentFault
  return {
    text: event.content,
    targets,
    priority: isPriority(priority) ? priority : "normal",
    ...(deadlineMs !== undefined && { deadlineMs }),
    ...(d !== undefined && d !== "" && { d }),
    ...descent,
    warnings: [
      ...(isPriority(priority)
        ? []
        : [`priority "${excerpt(priority)}" is not known, taken as normal; there are ${priorities.join(", ")}`]),
      ...(keys.every(isHex64) ? [] : ["a p tag is no public key (64 hex digits) and was passed over"]),
    ],
    ...(fault !== undefined && { fault }),
  }
}

const unreadable = (deadline: string): string =>
  `the deadline "${excerpt(deadline)}" cannot be read: write it like 2026-03-31T12:00:00Z, or in unix seconds`

/** Foreign text in a sentence of ours. */
const excerpt = (text: string): string => (text.length <= 40 ? text : `${text.slice(0, 39)}…`).toWellFormed()

const descentTags = ({ parent, root, depth }: Descent): Tag[] => [
  ...(parent === undefined ? [] : [["e", parent, "", "parent"]]),
  ...(root === undefined ? [] : [["e", root, "", "root"]]),
  ["depth", String(depth)],
]

const readDescent = (event: EventTemplate): { readonly descent: Descent; readonly fault?: string } => {
  const marked = (marker: string): string | undefined =>
    event.tags.find((tag) => tag[0] === "e" && tag[3] === marker)?.[1]
  const parent = marked("parent")
  const root = marked("root")
  const depth = tagValue(event, "depth") ?? "0"
  const known = /^\d{1,4}$/.test(depth) && [parent, root].every((id) => id === undefined || isHex64(id))
  const whole = Number(depth) === 0 || (parent !== undefined && root !== undefined)
  if (!known || !whole) {
    const fault = "the tags parent, root and depth do not fit together: send it again as a command of its own"
    return { descent: { depth: 0 }, fault }
  }
  const ids = { ...(parent !== undefined && { parent }), ...(root !== undefined && { root }) }
  return { descent: { ...ids, depth: Number(depth) } }
}
