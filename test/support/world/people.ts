/** Who writes in a world: the council's roster, commands of all kinds, and a person who answers what waits for one. */
import type { NostrEvent, Tag } from "../../../src/protocol/event.ts"
import { Kind } from "../../../src/protocol/kinds.ts"
import {
  amend,
  isRosterFault,
  parseRoster,
  rosterTemplate,
  type Roster,
  type RosterChange,
} from "../../../src/protocol/roster.ts"
import type { Keyring } from "./keyring.ts"
import type { Model } from "./model.ts"
import type { Author, Plan } from "./plan.ts"
import type { SimulatedRelay } from "./relay.ts"

export interface Written {
  readonly author: Author
  readonly form: "command" | "note"
  readonly body: string
  readonly targets: readonly string[]
  readonly name: string
  /** Unix seconds; now, where it is left out. */
  readonly createdAt?: number
  readonly deadlineMs?: number
  readonly priority?: string
  readonly cancels?: string
}

export interface People {
  readonly found: () => Promise<void>
  readonly write: (written: Written) => Promise<NostrEvent>
  readonly revokeDeputy: () => Promise<void>
  /** Answers what waits for a person; `isPaused` tells of a wizard. */
  readonly answer: (isPaused: (wizard: string) => boolean) => Promise<void>
}

export const openPeople = (options: {
  readonly plan: Plan
  readonly keyring: Keyring
  readonly model: Model
  readonly relays: ReadonlyMap<string, SimulatedRelay>
  /** Of people, whose clocks are right. */
  readonly nowMs: () => number
  readonly trace: (line: string) => void
}): People => {
  const { plan, keyring, model, relays, nowMs, trace } = options
  const pubkeyOf = (name: string): string => keyring.signer(name).pubkey
  const nowSeconds = (): number => Math.floor(nowMs() / 1000)
  const giveAll = (event: NostrEvent): void => relays.forEach((relay) => relay.give(event))

  const write = async (written: Written): Promise<NostrEvent> => {
    const { author, form, body, targets, name, deadlineMs, priority } = written
    const isNote = form === "note"
    const event = await keyring.write(author === "wizard" ? (plan.wizards[0] as string) : author, {
      kind: isNote ? Kind.note : Kind.command,
      created_at: written.createdAt ?? nowSeconds(),
      tags: isNote
        ? [["nonce", name]]
        : [
            ...dTags(name),
            ...targets.map((target) => ["p", pubkeyOf(target)]),
            ...(deadlineMs === undefined ? [] : [["deadline", String(Math.floor(deadlineMs / 1000))]]),
            ...(priority === undefined ? [] : [["priority", priority]]),
          ],
      content: isNote ? `${targets.map((target) => `@${target}`).join(" ")} ${body}` : body,
    })
    const hasDeadline = deadlineMs !== undefined && !isNote
    model.issue({
      ...written,
      event,
      deadlineMs: hasDeadline ? Math.floor(deadlineMs / 1000) * 1000 : undefined,
    })
    trace(`${author} writes ${name} ${event.id}`)
    return event
  }

  let roster: Roster | undefined
  const amendRoster = async (...changes: RosterChange[]): Promise<void> => {
    const next = amend(roster, ...changes)
    if (isRosterFault(next)) throw new Error(next.reason)
    const event = await keyring.write("council", rosterTemplate(next, nowSeconds()))
    roster = parseRoster(event) as Roster
    giveAll(event)
  }

  const retried = new Map<string, string>()
  const retry = async (command: string, wizard: string): Promise<void> => {
    const last = model.receipts(command, wizard).at(-1)
    const key = `${command} ${wizard}`
    if (last?.status !== "interrupted" || retried.get(key) === last.id) return
    retried.set(key, last.id)
    model.runs.retried(command, wizard)
    giveAll(
      await write({
        author: "operator",
        form: "command",
        body: `retry ${command.slice(0, 24)}`,
        targets: [wizard],
        name: `retry-${last.id.slice(0, 8)}`,
      }),
    )
  }
  let resumes = 0

  return {
    write,
    found: () =>
      amendRoster(
        ...(["operator", "deputy"] as const).map((label) => ({
          type: "add-operator" as const,
          pubkey: pubkeyOf(label),
          label,
        })),
        ...plan.wizards.map((name) => ({
          type: "add-wizard" as const,
          name,
          pubkey: pubkeyOf(name),
          class: name === "timmy" ? ("local" as const) : ("worker" as const),
        })),
      ),
    revokeDeputy: () => amendRoster({ type: "revoke", pubkey: pubkeyOf("deputy") }),
    answer: async (isPaused) => {
      for (const { event, targets } of model.all()) for (const wizard of targets) await retry(event.id, wizard)
      for (const wizard of plan.wizards.filter(isPaused))
        giveAll(
          await write({
            author: "operator",
            form: "command",
            body: "resume",
            targets: [wizard],
            name: `resume-${resumes++}`,
          }),
        )
    },
  }
}

/** P13, P18: some have no name of their own, or an empty one, or two. */
const dTags = (name: string): Tag[] => {
  if (name.endsWith("7")) return []
  if (name.endsWith("8")) return [["d", ""]]
  return name.endsWith("9")
    ? [
        ["d", name],
        ["d", "another"],
      ]
    : [["d", name]]
}
