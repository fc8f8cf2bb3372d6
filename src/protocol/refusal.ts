/** What a relay's refusal asks of us: the machine-readable prefixes of NIP-01 and NIP-42, in OK false and in CLOSED. */

/** `auth`: say who we are. `never`: not by asking again. `duplicate`: it has it. `later`: again, with backoff. */
export type Refusal = "auth" | "never" | "duplicate" | "later"

/** An unknown prefix is tolerated, and so are plain words: `later`. */
export const refusalOf = (message: string): Refusal => refusals.get(prefixOf(message)) ?? "later"

/** Refused is who asks, not what was asked: it may pass when the relay is met anew, or its owner thinks again. */
export const isBarred = (message: string): boolean => ["restricted", "blocked"].includes(prefixOf(message))

/** The relay wants fewer, of whatever. */
export const isRateLimited = (message: string): boolean => prefixOf(message) === "rate-limited"

/** Refused for its age, in the words of relays in use: no waiting makes it younger. */
export const isTooOld = (message: string): boolean =>
  /seconds ago|too (?:old|early|far in the past)|older than/i.test(message)

/** strfry writes `ERROR: ` before some of them. */
const prefixOf = (message: string): string => /^\s*(?:ERROR:\s*)?([a-z-]+):/i.exec(message)?.[1]?.toLowerCase() ?? ""

const refusals: ReadonlyMap<string, Refusal> = new Map([
  ["auth-required", "auth"],
  ["restricted", "never"],
  ["blocked", "never"],
  ["invalid", "never"],
  ["pow", "never"],
  ["unsupported", "never"],
  ["duplicate", "duplicate"],
])
