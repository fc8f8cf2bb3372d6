/**
 * What the relay refuses to take, before it looks at a signature. A policy is a small function in the list; the first
 * that answers decides. What a policy needs to know beyond the event is in the context.
 */
import type { Limits } from "../limits.ts"
import { type NostrEvent, tagValue } from "../protocol/event.ts"

/** An answer for OK false, with NIP-01's machine-readable prefix. */
export type Refusal = `${"invalid" | "blocked" | "restricted" | "rate-limited" | "error"}: ${string}`

export interface PolicyContext {
  readonly nowSeconds: number
  /** The event as JSON, in UTF-8. */
  readonly bytes: number
  readonly limits: Limits
}

export type Policy = (event: NostrEvent, context: PolicyContext) => Refusal | undefined

const size: Policy = (event, { bytes, limits }) => {
  if (bytes > limits.eventBytesMax) return `invalid: ${bytes} bytes, at most ${limits.eventBytesMax} are taken`
  if (event.tags.length > limits.relayTagsMax)
    return `invalid: ${event.tags.length} tags, at most ${limits.relayTagsMax} are taken`
  return undefined
}

const future: Policy = (event, { nowSeconds, limits }) => {
  const ahead = event.created_at - nowSeconds
  return ahead > limits.futureSecondsMax
    ? `invalid: created_at is ${ahead} seconds ahead, at most ${limits.futureSecondsMax} are taken; check the clock`
    : undefined
}

const expired: Policy = (event, { nowSeconds }) =>
  expirationOf(event) <= nowSeconds ? "invalid: the event has expired" : undefined

export const policies: readonly Policy[] = [size, future, expired]

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
