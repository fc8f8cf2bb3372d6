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
 * A3  What one call looks up is bounded: `prime` some of the sources, `next` one page of one source.
 */
import { type Filter } from "./filter.ts"
import { secondOf } from "./migrations.ts"
import { isBefore, type Row, startOf, type StoredQuery, type Values } from "./query.ts"

export interface Answer {
  /** Looks up the first rows of some more sources; true when all have theirs. `next` comes after that. */
  readonly prime: () => boolean
  readonly next: () => Row | undefined
  /** Whether a filter has more than it was given; known when `next` has given undefined. */
  readonly isCut: () => boolean
}

export type ReadRows = (sql: string, values: Values) => readonly Row[]

export const openAnswer = (
  filters: readonly { readonly filter: Filter; readonly query: StoredQuery }[],
  read: ReadRows,
  rowsMax: number,
): Answer => {
  const lines = filters.map(({ filter, query }) => filterLine(filter, query, read, rowsMax))
  const waiting = lines.flatMap(({ sources }) => sources)
  let last: Row | undefined

  const first = (): FilterLine | undefined => {
    let best: FilterLine | undefined
    for (const line of lines) {
      const head = line.head()
      if (head !== undefined && (best === undefined || isBefore(head, best.head() as Row))) best = line
    }
    return best
  }

  return {
    prime: () => {
      for (const source of waiting.splice(0, primedMax)) source.fill()
      if (waiting.length > 0) return false
      for (const line of lines) line.begin()
      return true
    },
    next: () => {
      for (;;) {
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

/** Sources that are looked up in one call. */
const primedMax = 64
/** Rows of a source's first page: where there are many sources, few are needed of each. Later pages are longer. */
const firstRows = (sources: number): number => (sources === 1 ? 16 : sources < 64 ? 8 : 2)
const pageRowsMax = 512

interface FilterLine {
  readonly sources: readonly Source[]
  readonly begin: () => void
  readonly head: () => Row | undefined
  readonly drop: () => void
  readonly isCut: () => boolean
}

const filterLine = (filter: Filter, query: StoredQuery, read: ReadRows, rowsMax: number): FilterLine => {
  const wanted = Math.min(filter.limit ?? rowsMax, rowsMax)
  const isCapped = (filter.limit ?? Infinity) > rowsMax
  const sources = query.sources.map((own) => openSource(filter, query, own, read, query.sources.length, wanted))
  let heap: Source[] | undefined
  let given = 0
  let last: Row | undefined
  let cut = false

  /** Past what was given already; stops at the limit, when it is known that there is more. */
  const settle = (): void => {
    while (heap !== undefined && heap.length > 0) {
      const row = (heap[0] as Source).head() as Row
      if (row.seq === last?.seq) {
        advance(heap)
        continue
      }
      const isSameSecond = last !== undefined && secondOf(last.rank) === secondOf(row.rank)
      if (given < wanted || (isCapped && isSameSecond)) return
      cut = true
      heap = []
    }
  }

  return {
    sources,
    begin: () => {
      if (heap !== undefined) return
      heap = []
      for (const source of sources) if (source.head() !== undefined) push(heap, source)
      settle()
    },
    head: () => heap?.[0]?.head(),
    drop: () => {
      last = heap?.[0]?.head()
      given++
      settle()
    },
    isCut: () => cut,
  }
}

interface Source {
  readonly fill: () => void
  readonly head: () => Row | undefined
  readonly drop: () => void
}

const openSource = (
  filter: Filter,
  { sql, values, isWhole }: StoredQuery,
  own: Values,
  read: ReadRows,
  siblings: number,
  wanted: number,
): Source => {
  let { high, after } = startOf(filter)
  let take = Math.min(firstRows(siblings), wanted + 1)
  let rows: readonly Row[] = []
  let at = 0
  let isDone = false

  const fill = (): void => {
    rows = read(sql, { ...values, ...own, high, after, take: isWhole ? -1 : take })
    at = 0
    const end = rows.at(-1)
    if (isWhole || rows.length < take || end === undefined) isDone = true
    else {
      high = end.rank
      after = end.id
      take = Math.min(take * 4, pageRowsMax)
    }
  }
  return {
    fill,
    head: () => rows[at],
    drop: () => {
      at++
      if (at >= rows.length && !isDone) fill()
    },
  }
}

/** A heap of sources, the one with the first row on top. */
const push = (heap: Source[], source: Source): void => {
  let place = heap.push(source) - 1
  while (place > 0) {
    const parent = (place - 1) >> 1
    if (!isAbove(heap, place, parent)) return
    swap(heap, place, parent)
    place = parent
  }
}

/** Drops the top source's row, and finds the place for its next one. */
const advance = (heap: Source[]): void => {
  const top = heap[0] as Source
  top.drop()
  if (top.head() === undefined) {
    const end = heap.pop() as Source
    if (heap.length === 0) return
    heap[0] = end
  }
  let place = 0
  for (;;) {
    const [left, right] = [2 * place + 1, 2 * place + 2]
    let best = place
    if (left < heap.length && isAbove(heap, left, best)) best = left
    if (right < heap.length && isAbove(heap, right, best)) best = right
    if (best === place) return
    swap(heap, place, best)
    place = best
  }
}

const isAbove = (heap: readonly Source[], a: number, b: number): boolean =>
  isBefore((heap[a] as Source).head() as Row, (heap[b] as Source).head() as Row)

const swap = (heap: Source[], a: number, b: number): void => {
  const held = heap[a] as Source
  heap[a] = heap[b] as Source
  heap[b] = held
}
