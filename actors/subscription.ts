/** What is asked of a relay, and how its answers are handed on. The types that the relay connection's parts share. */
import { matchFilter } from "nostr-tools/filter"
import type { NostrEvent } from "../src/protocol/event.ts"
import { bytesOf } from "../src/protocol/relay-information.ts"
import type { Dated } from "../src/protocol/negentropy.ts"

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
  /**
   * What is committed already of that filter, dated from that second on: where the relay does NIP-77, it is asked only for
   * what it has beside. Undefined, or nothing: it is read page by page.
   */
  readonly held?: (filter: Filter, sinceSeconds: number) => readonly Dated[] | undefined
  /** Where a relay has no room for all, those of the highest rank stay open and the others are read now and then. */
  readonly rank?: number
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

/** The same question in as many parts as it takes for each to be at most that long, as far as a list can be divided. */
export const fitting = (filter: Filter, bytesMax: number): readonly Filter[] => {
  if (bytesMax === Infinity || bytesOf(filter) <= bytesMax) return [filter]
  const lists = Object.entries(filter).filter((entry): entry is [string, readonly unknown[]] => Array.isArray(entry[1]))
  const [key, values] = lists.toSorted(([, a], [, b]) => b.length - a.length)[0] ?? []
  if (key === undefined || values === undefined || values.length < 2) return [filter]
  const half = Math.ceil(values.length / 2)
  return [values.slice(0, half), values.slice(half)].flatMap((part) => fitting({ ...filter, [key]: part }, bytesMax))
}
