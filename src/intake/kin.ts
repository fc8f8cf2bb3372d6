/**
 * Parents and roots of wizards' children, until they are here: the children that wait, and the ids to ask relays for.
 * In memory alone: a child that waits is not `seen`, so it is read again at the next start.
 *
 * KI1 Both are bounded; the oldest go. A child waits `kinSecondsMax`, then it is left until it is read again.
 */
import type { Limits } from "../limits.ts"
import type { NostrEvent } from "../protocol/event.ts"
import type { ClockShape } from "../services/clock.ts"

export interface Kin {
  /** A verified event that was fetched. */
  readonly know: (event: NostrEvent) => void
  readonly find: (id: string) => NostrEvent | undefined
  /** A child that waits for these. */
  readonly wait: (child: NostrEvent, relay: string, missing: readonly string[]) => void
  /** The ids to ask for. */
  readonly wanted: () => readonly string[]
  /** Takes out the children whose kin is here. */
  readonly release: () => readonly { readonly child: NostrEvent; readonly relay: string }[]
}

interface Waiting {
  readonly child: NostrEvent
  readonly relay: string
  readonly missing: readonly string[]
  readonly sinceMs: number
}

export const openKin = (options: {
  readonly clock: ClockShape
  readonly limits: Pick<Limits, "kinRowsMax" | "kinSecondsMax">
  /** What is asked for changed. */
  readonly changed: () => void
  /** A child was given up. */
  readonly lost: () => void
}): Kin => {
  const { clock, limits } = options
  const known = new Map<string, NostrEvent>()
  const waiting = new Map<string, Waiting>()
  const giveUp = (id: string): void => {
    if (waiting.delete(id)) options.lost()
  }
  const sweep = (): void => {
    const beforeMs = clock.nowMs() - limits.kinSecondsMax * 1000
    for (const [id, { sinceMs }] of waiting) if (sinceMs <= beforeMs) giveUp(id)
    options.changed()
  }
  return {
    know: (event) => {
      known.set(event.id, event)
      dropOldest(known, limits.kinRowsMax)
    },
    find: (id) => known.get(id),
    wait: (child, relay, missing) => {
      if (waiting.has(child.id)) return
      waiting.set(child.id, { child, relay, missing, sinceMs: clock.nowMs() })
      for (const id of waiting.keys()) {
        if (waiting.size <= limits.kinRowsMax) break
        giveUp(id)
      }
      clock.after(limits.kinSecondsMax * 1000, sweep, { unref: true })
      options.changed()
    },
    wanted: () =>
      [...new Set([...waiting.values()].flatMap(({ missing }) => missing))].filter((id) => !known.has(id)).sort(),
    release: () => {
      const ready = [...waiting.values()].filter(({ missing }) => missing.every((id) => known.has(id)))
      for (const { child } of ready) waiting.delete(child.id)
      return ready
    },
  }
}

const dropOldest = (map: Map<string, unknown>, most: number): void => {
  for (const key of map.keys()) {
    if (map.size <= most) return
    map.delete(key)
  }
}
