/** What is asked of a relay, and how its answers are handed on. The types that the relay connection's parts share. */
import { matchFilter } from "nostr-tools/filter"
import type { NostrEvent } from "../src/protocol/event.ts"

/** A NIP-01 filter. Who subscribes leaves `since`, `until` and `limit` out; the connection sets them, in unix seconds. */
export interface Filter {
  readonly ids?: readonly string[]
  readonly authors?: readonly string[]
  readonly kinds?: readonly number[]
  readonly since?: number
  readonly until?: number
  readonly limit?: number
  readonly [tag: `#${string}`]: readonly string[]
}

export interface Subscription {
  /** Cursors belong to this name, so a changed filter keeps its cursor. */
  readonly name: string
  readonly filters: readonly Filter[]
  /** Unix milliseconds from which to read, the look-back already taken off; undefined reads from the beginning. */
  readonly sinceMs: () => number | undefined
}

/** Valid events of one subscription, in the order of their arrival. */
export interface Batch {
  readonly subscription: string
  readonly relay: string
  readonly events: readonly NostrEvent[]
  /**
   * Everything that the relay held or sent of this subscription up to here, in our own unix milliseconds, is in this
   * batch or was in one before. Never taken from an event's date, never ahead of the clock.
   */
  readonly cursorMs?: number
  readonly phase: "stored" | "live"
}

/** Whether a filter asks for that event; `limit` plays no part. */
export const matches = (filter: Filter, event: NostrEvent): boolean =>
  matchFilter(filter as Parameters<typeof matchFilter>[0], event as Parameters<typeof matchFilter>[1])
