/**
 * Answers to a person: the reaction that tells a state at a glance, and the one final message, in which the result's
 * own words come first. Written for a phone: short, plain, no markup.
 *
 * A1 An answer's text is never longer than its bound, is well-formed, and is cut at a paragraph where there is one.
 */
import { isHex64, type EventTemplate, type UnsignedEvent } from "./event.ts"
import { Kind } from "./kinds.ts"
import { isEnd, type EndStatus, type Status } from "./status.ts"

export interface ResultFields {
  /** The result's own words. */
  readonly text: string
  /** The commit's id. */
  readonly commit?: string
  /** Paths. */
  readonly files?: readonly string[]
  /** From `received` to the end, milliseconds. */
  readonly tookMs: number
  /** Bound of `text` (UTF-16 units). */
  readonly charsMax: number
}

/** The final answer of a command that ended well. */
export const resultText = ({ text, commit, files = [], tookMs, charsMax }: ResultFields): string => {
  const shown = files.slice(0, filesShownMax).join(", ")
  const more = files.length > filesShownMax ? ` and ${files.length - filesShownMax} more` : ""
  const facts = [
    ...(commit === undefined ? [] : [`commit ${commit.slice(0, 12)}`]),
    ...(files.length === 0 ? [] : [`${files.length === 1 ? "file" : `${files.length} files`}: ${shown}${more}`]),
    `took ${printTook(tookMs)}`,
  ]
  return [cutAtParagraph(text, charsMax), facts.join("\n")].filter((part) => part !== "").join("\n\n")
}

/** The final answer of a command that ended otherwise. `reason` says what to do next. */
export const endText = (status: Exclude<EndStatus, "artifact-reported">, reason: string, charsMax: number): string =>
  cutAtParagraph(`${status}: ${reason}`, charsMax)

/** What a reaction shows for a state; nothing for those in between. */
export const reactionOf = (status: Status): string | undefined => {
  if (status === "acknowledged") return "👀"
  if (!isEnd(status)) return undefined
  return status === "artifact-reported" ? "✅" : "❌"
}

/** A reaction to an event (kind 7, NIP-25). `createdAt` in unix seconds. */
export const reactionTemplate = (to: UnsignedEvent, content: string, createdAt: number): EventTemplate => ({
  kind: Kind.reaction,
  created_at: createdAt,
  tags: [
    ["e", to.id, "", to.pubkey],
    ["p", to.pubkey],
    ["k", String(to.kind)],
  ],
  content,
})

/**
 * A note in reply to a note (kind 1, NIP-10). Of the thread only the author is told, by `p`: an answer to a command is
 * nobody else's news.
 */
export const replyTemplate = (to: UnsignedEvent, text: string, createdAt: number): EventTemplate => {
  const root = threadRoot(to)
  return {
    kind: Kind.note,
    created_at: createdAt,
    tags: [
      ...(root === undefined ? [] : [["e", root, "", "root"]]),
      ["e", to.id, "", root === undefined ? "root" : "reply", to.pubkey],
      ["p", to.pubkey],
    ],
    content: text.toWellFormed(),
  }
}

/** Shortened to its bound at the end of a paragraph, else of a line, a sentence or a word, and marked with `…`. */
export const cutAtParagraph = (text: string, charsMax: number): string => {
  const whole = text.toWellFormed().trim()
  if (whole.length <= charsMax) return whole
  const room = whole.slice(0, Math.max(0, charsMax - 2))
  for (const [mark, keep, tail] of cuts) {
    const at = room.lastIndexOf(mark)
    // A cut in the first half would throw away more than it keeps.
    if (at >= room.length / 2) return room.slice(0, at + keep).trimEnd() + tail
  }
  // Half of a surrogate pair may be left at the end.
  return `${room.replace(/[\uD800-\uDBFF]$/, "")}…`.slice(0, Math.max(0, charsMax))
}

const filesShownMax = 5

/** Where to cut, what of the mark stays, and how the cut is shown. */
const cuts = [
  ["\n\n", 0, "\n…"],
  ["\n", 0, "\n…"],
  [". ", 1, " …"],
  [" ", 0, " …"],
] as const

const printTook = (ms: number): string => {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  const minutes = Math.round(ms / 60_000)
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** The event that a thread began with: the tag marked `root`, else, in the old form without markers, the first `e`. */
const threadRoot = (event: UnsignedEvent): string | undefined => {
  const links = event.tags.filter((tag) => tag[0] === "e" && isHex64(tag[1]) && tag[3] !== "mention")
  return (links.find((tag) => tag[3] === "root") ?? links.find((tag) => (tag[3] ?? "") === ""))?.[1]
}
