/**
 * The stored answer to a client's filters, as a line of rows that is read as far as it is needed: nothing is collected.
 *
 *   source ─┐
 *   source ─┴► filter (counts to its limit) ─┐
 *   source ──► filter ───────────────────────┴► next(): newest first, then lowest id, each event once
 *
 * A1  It holds what was stored when it was begun and is still there: a page goes on where the last one ended.
 * A2  A filter that gets as many as the relay gives, and not as many as were asked for, gets all of the last second: so
 *     that the next page can begin with the second before (NIP-67).
 * A3  What one call looks at is bounded: some pages, each from a piece of an index. Where that was much, or held no row,
 *     `next` says "later" and the caller gives others their turn.
 */
import type { Filter } from "./filter.ts"
import { type Headed, push, settleTop } from "./heap.ts"
import { secondOf } from "./migrations.ts"
import { isBefore, type Row, startOf, type StoredQuery, type Values } from "./query.ts"

export interface Answer {
  readonly next: () => Row | "later" | undefined
  /** Whether a filter has more than it was given; known when `next` has given undefined. */
  readonly isCut: () => boolean
}

export type ReadRows = (sql: string, values: Values) => readonly Row[]

export const openAnswer = (
  filters: readonly { readonly filter: Filter; readonly query: StoredQuery }[],
  read: ReadRows,
  rowsMax: number,
): Answer => {
  /** Sources that have to look for their next row. */
  const waiting: Source[] = []
  const lines = filters.map(({ filter, query }) => filterLine(filter, query, read, rowsMax, waiting))
  let last: Row | undefined

  /** Whether all have their next row, or none. */
  const look = (): boolean => {
    if (waiting.length === 0) return true
    const looking = waiting.splice(0, lookedMax)
    for (const source of looking) {
      source.look()
      if (source.isWaiting()) waiting.push(source)
      else source.join()
    }
    if (waiting.length > 0) return false
    for (const line of lines) line.settle()
    return waiting.length === 0 && !looking.some(({ isCostly }) => isCostly)
  }
  const first = (): FilterLine | undefined => {
    let best: FilterLine | undefined
    for (const line of lines) {
      const head = line.head()
      if (head !== undefined && (best === undefined || isBefore(head, best.head() as Row))) best = line
    }
    return best
  }

  return {
    next: () => {
      for (;;) {
        if (!look()) return "later"
        const line = first()
        const row = line?.head()
        if (line === undefined || row === undefined) return undefined
        line.drop()
        if (row.seq === last?.seq) continue
        last = row
        return row
      }
    },
    isCut: () => lines.some((line) => line.isCut()),
  }
}

/** Sources that look in one call, and the rows of indexes that they look at, all of a filter's together. */
const lookedMax = 64
const scannedMax = 4000
/** Rows of a source's first page: where there are many sources, few are needed of each. Later pages are longer. */
const firstRows = (sources: number): number => (sources === 1 ? 16 : sources < 64 ? 8 : 2)
const pageRowsMax = 512

interface FilterLine {
  /** Goes past what was given already; stops at the limit, when it is known that there is more. */
  readonly settle: () => void
  readonly head: () => Row | undefined
  readonly drop: () => void
  readonly isCut: () => boolean
}

const filterLine = (
  filter: Filter,
  query: StoredQuery,
  read: ReadRows,
  rowsMax: number,
  waiting: Source[],
): FilterLine => {
  const wanted = Math.min(filter.limit ?? rowsMax, rowsMax)
  const isCapped = (filter.limit ?? Infinity) > rowsMax
  const heap: Source[] = []
  let away = 0
  let given = 0
  let last: Row | undefined
  let cut = false

  const wait = (source: Source): void => {
    away++
    waiting.push(source)
  }
  const settle = (): void => {
    while (away === 0 && heap[0] !== undefined) {
      const top = heap[0]
      const row = top.head() as Row
      if (row.seq === last?.seq) {
        top.drop()
        settleTop(heap)
        if (top.isWaiting()) wait(top)
        continue
      }
      const isSameSecond = last !== undefined && secondOf(last.rank) === secondOf(row.rank)
      if (given < wanted || (isCapped && isSameSecond)) return
      cut = true
      heap.length = 0
    }
  }
  for (const own of query.sources)
    wait(
      openSource({ filter, query, own, read, siblings: query.sources.length, wanted }, (source) => {
        away--
        if (source.head() !== undefined) push(heap, source)
      }),
    )

  return {
    settle,
    head: () => heap[0]?.head(),
    drop: () => {
      last = heap[0]?.head()
      given++
      settle()
    },
    isCut: () => cut,
  }
}

interface Source extends Headed {
  /** Looks for rows in the next piece of its index. */
  readonly look: () => void
  /** It looks at many rows for few. */
  readonly isCostly: boolean
  /** It has no row, and has not looked everywhere. */
  readonly isWaiting: () => boolean
  readonly drop: () => void
  /** Takes its place in the filter's line again. */
  readonly join: () => void
}

interface SourceParts {
  readonly filter: Filter
  readonly query: StoredQuery
  readonly own: Values
  readonly read: ReadRows
  readonly siblings: number
  readonly wanted: number
}

const openSource = (parts: SourceParts, join: (source: Source) => void): Source => {
  const { filter, query, own, read, siblings, wanted } = parts
  const { sql, edge, isWhole } = query
  const values = { ...query.values, ...own }
  const scan = Math.max(64, Math.floor(scannedMax / Math.min(siblings, lookedMax)))
  let { high, after } = startOf(filter)
  let take = Math.min(firstRows(siblings), wanted + 1)
  let rows: readonly Row[] = []
  let at = 0
  let isDone = false

  const look = (): void => {
    const end = edge === undefined ? undefined : read(edge, { ...values, high, scan })[0]?.rank
    // A piece that is all of one rank is looked through as a whole.
    const low = end === undefined ? undefined : Math.min(end + 1, high)
    rows = read(sql, { ...values, ...(low !== undefined && { low }), high, after, take: isWhole ? -1 : take })
    at = 0
    const last = rows.at(-1)
    if (!isWhole && rows.length === take && last !== undefined) {
      high = last.rank
      after = last.id
      take = Math.min(take * 4, pageRowsMax)
    } else if (low === undefined) isDone = true
    else {
      high = low - 1
      after = ""
    }
  }
  const source: Source = {
    look,
    isCostly: edge !== undefined,
    isWaiting: () => at >= rows.length && !isDone,
    head: () => rows[at],
    drop: () => {
      at++
    },
    join: () => join(source),
  }
  return source
}
