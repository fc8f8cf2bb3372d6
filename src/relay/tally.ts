/**
 * Counting (NIP-45), a bounded piece at a time and exact: by windows of ranks inside SQLite where each event is found
 * once, else row by row.
 */
import type { Answer } from "./answer.ts"
import type { Filter } from "./filter.ts"
import { type CountQuery, startOf, type Values } from "./query.ts"

export interface Tally {
  /** Counts on; the number when it is known. */
  readonly step: () => number | undefined
}

/** One row's answer. */
export interface Cell {
  readonly n?: number
  readonly rank?: number
}

/** Rows that SQLite counts in one step, of all the windows in it; and where each is handed over. */
const stepRowsMax = 10_000
const windowsMax = 64
const rowsMax = 1000

export const windowTally = (
  { edge, count, values, sources }: CountQuery,
  filter: Filter,
  get: (sql: string, values: Values) => Cell | undefined,
): Tally => {
  const windows = Math.min(sources.length, windowsMax)
  let total = 0
  let at = 0
  let high = startOf(filter).high
  const window = (own: Values): void => {
    const all = { ...values, ...own, high }
    const next = get(edge, { ...all, take: Math.floor(stepRowsMax / windows) })?.rank
    // Where more than a window's rows share one rank, that rank is a window.
    const low = next === undefined ? undefined : next < high ? next + 1 : high
    total += get(count, low === undefined ? all : { ...all, low })?.n ?? 0
    if (low === undefined) {
      at++
      high = startOf(filter).high
    } else high = low - 1
  }
  return {
    step: () => {
      for (let left = windows; left > 0 && at < sources.length; left--) window(sources[at] as Values)
      return at < sources.length ? undefined : total
    },
  }
}

export const rowTally = (answer: Answer): Tally => {
  let total = 0
  return {
    step: () => {
      for (let left = rowsMax; left > 0; left--) {
        const row = answer.next()
        if (row === undefined) return total
        if (row === "later") return undefined
        total++
      }
      return undefined
    },
  }
}
