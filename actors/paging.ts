/**
 * Reads everything that a relay stores for one filter, page by page. Pure: from a page to what is asked next.
 *
 * A relay gives the newest first and cuts where it likes: at our `limit`, at a cap of its own, in the middle of a second.
 * Only valid events may be put in; a forged date would skip what lies between.
 *
 * PG1 The reading ends only after a page that brought nothing new and was not cut, an empty page, or a relay's word
 *     that it gave all (NIP-67).
 * PG2 `until` is inclusive and moves below a second only when that second brought nothing new.
 * PG3 Every page brings new ids or an earlier `until`, so a reading of finitely many events ends.
 * PG4 A second that fills a page is read again by narrower filters, as far as the filter can be split (what is left
 *     then, NIP-01 has no way to ask for).
 */
import type { Filter } from "./subscription.ts"

/** Unix seconds, both ends included. */
export interface Window {
  readonly filter: Filter
  readonly since: number
  readonly until: number
}

export interface Paging {
  /** What is still to be asked, the next one last. Empty: the reading is over. */
  readonly windows: readonly Window[]
  /** Ids that a later page can bring again, with their dates. */
  readonly known: ReadonlyMap<string, number>
  /** The most that the relay ever gave in one page, the first one apart. */
  readonly cap: number
}

export interface Page {
  /** The valid ones. */
  readonly events: readonly { readonly id: string; readonly created_at: number }[]
  /** All that came, valid or not. */
  readonly received: number
  /** The relay says that there is no more (NIP-67). */
  readonly finished: boolean
}

export const beginPaging = (filter: Filter, since: number): Paging => ({
  windows: [{ filter, since, until: Infinity }],
  known: new Map(),
  cap: 0,
})

/** As a filter of a REQ. */
export const windowFilter = (window: Window, limit: number): Filter => ({
  ...window.filter,
  ...(window.since > 0 ? { since: window.since } : {}),
  ...(window.until < Infinity ? { until: window.until } : {}),
  limit,
})

/** What is to be asked after this page of the last window. */
export const turnPage = (paging: Paging, page: Page): Paging => {
  const window = paging.windows.at(-1)
  if (window === undefined) return paging
  const rest = paging.windows.slice(0, -1)
  const events = page.events.filter(({ created_at }) => created_at >= window.since && created_at <= window.until)
  const fresh = events.some(({ id }) => !paging.known.has(id))
  // The first page's REQ is the live one, so live events may have come with it.
  const cap = window.until === Infinity ? paging.cap : Math.max(paging.cap, page.received)
  const next: readonly Window[] =
    page.finished || events.length === 0 || (!fresh && page.received < cap)
      ? rest
      : [...rest, ...further(window, events, fresh)]
  const newest = next.reduce((latest, { until }) => Math.max(latest, until), -1)
  const dates: readonly (readonly [string, number])[] = [
    ...paging.known,
    ...events.map(({ id, created_at }) => [id, created_at] as const),
  ]
  return { windows: next, known: new Map(dates.filter(([, date]) => date <= newest)), cap }
}

const further = (window: Window, events: Page["events"], fresh: boolean): readonly Window[] => {
  const dates = events.map(({ created_at }) => created_at).sort((a, b) => a - b)
  const oldest = dates[0] ?? window.since
  // A live event with an old date may have come in between; were `until` taken from it, the rest of the page's gap
  // would be skipped. So the oldest few of a page do not count: at worst they come again.
  if (fresh)
    return [{ ...window, until: dates[Math.min(dates.length - 1, 1 + Math.floor(dates.length / 50))] ?? oldest }]
  if (oldest < window.until) return [{ ...window, until: oldest }]
  const earlier = { ...window, until: oldest - 1 }
  const second =
    events.length > 1 ? narrower(window.filter).map((filter) => ({ filter, since: oldest, until: oldest })) : []
  return [...(earlier.until >= earlier.since ? [earlier] : []), ...second]
}

/** The same question in parts: by the first list that has more than one value. */
const narrower = (filter: Filter): readonly Filter[] => {
  const entry = Object.entries(filter).find(([, values]) => Array.isArray(values) && values.length > 1)
  if (entry === undefined) return []
  const [key, values] = entry as [string, readonly (string | number)[]]
  return values.map((value) => ({ ...filter, [key]: [value] }))
}
