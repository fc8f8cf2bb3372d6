/**
 * The negentropies (NIP-77) of one client: each holds the ids that its filter found when it was opened. How many there
 * are, how much they hold, alone and all clients' together, and how long they may rest is bounded.
 */
import type { Limits } from "../limits.ts"
import type { ClockShape } from "../services/clock.ts"
import type { IdSet } from "../protocol/negentropy.ts"

export interface Negentropies {
  readonly count: () => number
  /** A place for the ids that are being gathered; in place of one with that id. */
  readonly begin: (id: string, rested: () => void) => Gathering
  /** Undefined while it is gathered. */
  readonly get: (id: string) => { readonly set: IdSet | undefined } | undefined
  readonly end: (id: string) => void
  /** Ends them all, for good. */
  readonly leave: () => void
}

export interface Gathering {
  /** Whether it may hold one more. */
  readonly take: () => boolean
  readonly isOpen: () => boolean
  readonly finish: (set: IdSet) => void
}

export interface NegentropiesParts {
  readonly clock: ClockShape
  readonly limits: Limits
  /** Events that negentropies may still hold, all clients together. */
  readonly negentropyRoom: { rows: number }
}

export const clientNegentropies = ({ clock, limits, negentropyRoom: room }: NegentropiesParts): Negentropies => {
  const open = new Map<string, Held>()
  const end = (id: string): void => {
    const held = open.get(id)
    if (held === undefined) return
    open.delete(id)
    held.disarm()
    room.rows += held.rows
  }
  const arm = (held: Held): void => {
    held.disarm()
    held.disarm = clock.after(limits.relayNegentropySecondsMax * 1000, held.rested, { unref: true })
  }

  return {
    count: () => open.size,
    begin: (id, rested) => {
      end(id)
      const held: Held = { set: undefined, rows: 0, rested, disarm: () => undefined }
      open.set(id, held)
      arm(held)
      return {
        take: () => {
          if (held.rows >= limits.relayNegentropyRowsMax || room.rows <= 0) return false
          held.rows++
          room.rows--
          return true
        },
        isOpen: () => open.get(id) === held,
        finish: (set) => {
          held.set = set
        },
      }
    },
    get: (id) => {
      const held = open.get(id)
      if (held !== undefined) arm(held)
      return held
    },
    end,
    leave: () => {
      for (const id of open.keys()) end(id)
    },
  }
}

interface Held {
  set: IdSet | undefined
  /** What it counts for in the bounds. */
  rows: number
  readonly rested: () => void
  disarm: () => void
}
