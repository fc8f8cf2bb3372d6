/**
 * What the relay refuses to take, before it looks at a signature. A policy is a small function in the list; the first
 * that answers decides. What a policy needs to know beyond the event is in the context.
 */
import { getPow } from "nostr-tools/nip13"
import type { Limits } from "../limits.ts"
import { eventFault, type NostrEvent, tagValue } from "../protocol/event.ts"
import { Kind } from "../protocol/kinds.ts"
import type { Access } from "./access.ts"
import type { Lists } from "./lists.ts"

/** An answer for OK false, with a machine-readable prefix of NIP-01 or NIP-42. */
export type Refusal =
  `${"invalid" | "blocked" | "restricted" | "auth-required" | "rate-limited" | "pow" | "error"}: ${string}`

/** What the relay's owner asks of events, beyond the limits. */
export interface Requirements {
  /** Kinds that are taken; none named: all. */
  readonly kinds?: readonly number[] | undefined
  readonly kindsRefused: readonly number[]
  /** How old an event may be; none: as old as it likes. */
  readonly ageSecondsMax?: number | undefined
  /** Leading zero bits of the id (NIP-13), from keys that the relay does not know. */
  readonly powBitsMin: number
}

export interface PolicyContext {
  readonly nowSeconds: number
  /** The event as JSON, in UTF-8. */
  readonly bytes: number
  /** Who the connection has authenticated as. */
  readonly keys: ReadonlySet<string>
  readonly limits: Limits
  readonly access: Access
  readonly lists: Lists
  readonly requirements: Requirements
  /** One more event of this connection. */
  readonly isInRate: () => boolean
}

export type Policy = (event: NostrEvent, context: PolicyContext) => Refusal | undefined

const rate: Policy = (_event, { isInRate, limits }) =>
  isInRate()
    ? undefined
    : `rate-limited: at most ${limits.relayConnectionEventsPerMinuteMax} events a minute on one connection; wait`

const size: Policy = (event, { bytes, limits }) => {
  if (bytes > limits.eventBytesMax) return `invalid: ${bytes} bytes, at most ${limits.eventBytesMax} are taken`
  if (event.tags.length > limits.relayTagsMax)
    return `invalid: ${event.tags.length} tags, at most ${limits.relayTagsMax} are taken`
  return undefined
}

/** They prove something to the one server they were made for, and would to another. */
const secrets: Policy = (event) =>
  event.kind === Kind.auth || event.kind === Kind.httpAuth
    ? `invalid: kind ${event.kind} proves who you are to one server and is never published`
    : undefined

const dates: Policy = (event, { nowSeconds, limits, access, requirements: { ageSecondsMax = Infinity } }) => {
  const ahead = event.created_at - nowSeconds
  if (ahead > limits.futureSecondsMax)
    return `invalid: created_at is ${ahead} seconds ahead, at most ${limits.futureSecondsMax} are taken; check the clock`
  return -ahead > ageSecondsMax && !access.isOfCouncil(event)
    ? `invalid: created_at is ${-ahead} seconds ago, at most ${ageSecondsMax} are taken`
    : undefined
}

const expired: Policy = (event, { nowSeconds }) =>
  expirationOf(event) <= nowSeconds ? "invalid: the event has expired" : undefined

/** NIP-70, and what would publish a protected event in another's wrapping. */
const isProtected: Policy = (event, { keys }) => {
  if (hasDash(event) && !keys.has(event.pubkey))
    return keys.size === 0
      ? "auth-required: this event may only be published by its author; authenticate as such"
      : "restricted: this event may only be published by its author"
  const isRepost = event.kind === Kind.repost || event.kind === Kind.genericRepost
  return isRepost && holdsProtected(event.content) ? "blocked: it repeats a protected event" : undefined
}

const lists: Policy = (event, { lists, access }) => {
  if (access.isOfCouncil(event)) return undefined
  if (lists.has("banned-pubkey", event.pubkey)) return "blocked: this key is banned here"
  if (lists.has("banned-event", event.id)) return "blocked: this event is banned here"
  const kind = String(event.kind)
  const isTaken = lists.isEmpty("allowed-kind") || lists.has("allowed-kind", kind)
  return isTaken && !lists.has("banned-kind", kind) ? undefined : `blocked: kind ${kind} is not taken here`
}

const kinds: Policy = (event, { access, requirements: { kinds, kindsRefused } }) => {
  const isTaken = (kinds?.includes(event.kind) ?? true) && !kindsRefused.includes(event.kind)
  return isTaken || access.isOfCouncil(event) ? undefined : `blocked: kind ${event.kind} is not taken here`
}

const writers: Policy = (event, { access, keys }) => access.writeFault(event, keys)

/** A target that the author committed to counts, not the luck of one who aimed lower. */
const work: Policy = (event, { access, requirements: { powBitsMin } }) => {
  if (powBitsMin === 0 || access.isKnown(event.pubkey)) return undefined
  const target = event.tags.find(([name]) => name === "nonce")?.[2]
  const bits = Math.min(getPow(event.id), target === undefined ? Infinity : Number(target) || 0)
  return bits >= powBitsMin ? undefined : `pow: difficulty ${bits} is less than ${powBitsMin}`
}

export const policies: readonly Policy[] = [
  rate,
  size,
  secrets,
  dates,
  expired,
  lists,
  kinds,
  writers,
  isProtected,
  work,
]

/** The first refusal of the list, if there is one. */
export const refusalOf = (event: NostrEvent, context: PolicyContext): Refusal | undefined => {
  for (const policy of policies) {
    const refusal = policy(event, context)
    if (refusal !== undefined) return refusal
  }
  return undefined
}

/** Unix seconds from which an event counts as expired (NIP-40); infinity for one that never does. */
export const expirationOf = (event: NostrEvent): number => {
  const value = tagValue(event, "expiration")
  return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : Infinity
}

const hasDash = ({ tags }: Pick<NostrEvent, "tags">): boolean => tags.some(([name]) => name === "-")

const holdsProtected = (content: string): boolean => {
  if (!content.startsWith("{")) return false
  try {
    const inner: unknown = JSON.parse(content)
    return eventFault(inner) === undefined && hasDash(inner as NostrEvent)
  } catch {
    return false
  }
}
