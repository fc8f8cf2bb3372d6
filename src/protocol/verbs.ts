/**
 * The verbs that every wizard knows without an executor. A verb matches only when the whole body is the verb and its
 * arguments: `cancel 1f2e3d4c` is one, `cancel the subscription page` is work.
 *
 * Case and the number of spaces do not matter; nothing else is forgiven, a full stop included. An id is a prefix of at
 * least 8 hex digits of a command's id; where it is missing the verb is meant for the command that is replied to.
 *
 * This is the grammar and one list of all verbs with their lines of help; what a verb does is told elsewhere.
 */
import { parseDuration, printDuration } from "./deadline.ts"
import { orders, printOrder, type Order } from "./orders.ts"

export type Verb =
  | { readonly name: "status check" | "help" | "queue" | "pause" | "resume" | "stop" }
  | { readonly name: "heartbeat"; readonly to: "faster" | "slower" | "default" }
  | { readonly name: "heartbeat"; readonly to: "every"; readonly seconds: number }
  | { readonly name: "why" | "cancel" | "retry" | "approve" | "deny"; readonly id?: string }
  | { readonly name: "show"; readonly id?: string; readonly page?: number; readonly file?: string }
  | Order

export type VerbName = Verb["name"]

/** The verb that a body is, if it is one. */
export const parseVerb = (body: string): Verb | undefined => {
  // No verb is longer than four words, so a fifth settles it however long the body is.
  const words = body.trim().split(/\s+/, 5)
  for (const [name, entry] of Object.entries(verbs)) {
    const head = name.split(" ")
    if (head.every((word, at) => words[at]?.toLowerCase() === word)) return entry.parse(words.slice(head.length))
  }
  return undefined
}

/** The shortest text that parses to that verb. */
export const printVerb = (verb: Verb): string => {
  if (isOrder(verb)) return printOrder(verb)
  const words: string[] = [verb.name]
  if (verb.name === "heartbeat") {
    words.push(verb.to)
    if (verb.to === "every") words.push(printDuration(verb.seconds))
  }
  if ("id" in verb && verb.id !== undefined) words.push(verb.id)
  if (verb.name === "show") {
    if (verb.page !== undefined) words.push(String(verb.page))
    if (verb.file !== undefined) words.push(verb.file)
  }
  return words.join(" ")
}

export const isOrder = (verb: Verb): verb is Order => Object.keys(orders).includes(verb.name)

type Parse = (words: readonly string[]) => Verb | undefined

export interface VerbEntry {
  /** How it is written, arguments included. */
  readonly usage: string
  /** What it does, for a list of help. */
  readonly help: string
  /** From the words behind the verb's own. */
  readonly parse: Parse
}

const alone =
  (verb: Verb): Parse =>
  (words) =>
    words.length === 0 ? verb : undefined

const aboutCommand =
  (name: "why" | "cancel" | "retry" | "approve" | "deny"): Parse =>
  (words) => {
    if (words.length === 0) return { name }
    const id = parseId(words[0])
    return words.length === 1 && id !== undefined ? { name, id } : undefined
  }

const parseHeartbeat: Parse = ([first = "", ...rest]) => {
  const to = first.toLowerCase()
  if (to === "faster" || to === "slower" || to === "default") {
    return rest.length === 0 ? { name: "heartbeat", to } : undefined
  }
  const seconds = to === "every" ? parseDuration(rest.join(" ")) : undefined
  return seconds === undefined ? undefined : { name: "heartbeat", to: "every", seconds }
}

/** Without an id only a page may follow: `show tests` is work. */
const parseShow: Parse = (words) => {
  const id = parseId(words[0])
  const [part, ...more] = id === undefined ? words : words.slice(1)
  if (more.length > 0) return undefined
  const target = { name: "show", ...(id !== undefined && { id }) } as const
  if (part === undefined) return target
  if (/^[1-9]\d{0,5}$/.test(part)) return { ...target, page: Number(part) }
  return id === undefined ? undefined : { ...target, file: part }
}

const parseId = (word: string | undefined): string | undefined =>
  word !== undefined && /^[0-9a-f]{8,64}$/i.test(word) ? word.toLowerCase() : undefined

/** Every verb, in the order in which `help` lists them. */
export const verbs = {
  "status check": {
    usage: "status check",
    help: "how I am: idle or busy, what runs, what waits",
    parse: alone({ name: "status check" }),
  },
  heartbeat: {
    usage: "heartbeat faster|slower|default|every <duration>",
    help: "how often I show that I am alive, within its bounds",
    parse: parseHeartbeat,
  },
  help: { usage: "help", help: "this list", parse: alone({ name: "help" }) },
  queue: { usage: "queue", help: "what waits, and in which order", parse: alone({ name: "queue" }) },
  why: { usage: "why [id]", help: "what a command waits for, and what would move it on", parse: aboutCommand("why") },
  show: { usage: "show <id> [page]", help: "a result's own words", parse: parseShow },
  cancel: { usage: "cancel [id]", help: "end a command that has not ended", parse: aboutCommand("cancel") },
  retry: { usage: "retry [id]", help: "begin an interrupted command anew", parse: aboutCommand("retry") },
  approve: { usage: "approve [id]", help: "allow what is asked", parse: aboutCommand("approve") },
  deny: { usage: "deny [id]", help: "refuse what is asked", parse: aboutCommand("deny") },
  pause: { usage: "pause", help: "begin nothing new", parse: alone({ name: "pause" }) },
  resume: { usage: "resume", help: "begin again", parse: alone({ name: "resume" }) },
  stop: { usage: "stop", help: "abort what runs, now, and pause", parse: alone({ name: "stop" }) },
  ...orders,
} as const satisfies Record<VerbName, VerbEntry>
