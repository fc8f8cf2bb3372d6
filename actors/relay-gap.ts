/**
 * Reads one filter's stored events to their end, in whichever way the relay and what we hold allow:
 *
 *   NIP-77 ─► live REQ ─► the ids that we lack ─► REQs for those ─► over
 *      └──────────────────────┴─────────┴─► pages, by windows of time ─► over
 *
 * RP1 It is over only when everything that the relay said it stores was asked for and has come.
 * RP2 What cannot be reconciled to its end is read page by page; `broken` where the relay does not do what it says.
 * RP3 No REQ asks for more than the relay allows (NIP-11: `limit`, length).
 */
import type { Limits } from "../src/limits.ts"
import { bytesOf, type RelayBounds } from "../src/protocol/relay-information.ts"
import { beginPaging, turnPage, windowFilter, type Page, type Paging } from "./paging.ts"
import { createDifference, type Difference, type DifferenceDeps } from "./relay-difference.ts"
import type { Filter } from "./subscription.ts"

export interface GapDeps extends Pick<DifferenceDeps, "held" | "clock" | "send" | "guard"> {
  /** A name for a conversation. */
  readonly nextId: () => string
  readonly limits: DifferenceDeps["limits"] & Pick<Limits, "pageRowsMax" | "requestIdsMax" | "reconcileBytesMax">
  readonly bounds: RelayBounds
  readonly filter: Filter
  /** Unix seconds; 0 is the beginning. */
  readonly since: number
  readonly request: (filter: Filter) => void
  /** Calls when everything that has come before is checked. */
  readonly mark: (then: () => void) => void
  readonly noted: (message: string) => void
  readonly broken: () => void
}

export interface Gap {
  readonly begin: () => void
  /** A request of it has ended, and what came by it is checked; the first one stays open. */
  readonly turn: (page: Page, isFirst: boolean) => void
  /** Nothing more is asked for. */
  readonly isOver: () => boolean
  /** That one was handed on already. */
  readonly given: (id: string) => boolean
  readonly difference: () => Difference | undefined
  /** Broken off; without `tell` the connection is gone. */
  readonly end: (tell: boolean) => void
}

/** Of a frame with a filter: what is not the filter. */
export const frameBytes = 256
/** An id in a list. */
const idBytes = 67
/** Shorter negentropy messages lead nowhere. */
const reconcileBytesMin = 4096

export const createGap = (deps: GapDeps): Gap => {
  const { limits, bounds, since, request } = deps
  const pageRows = Math.min(limits.pageRowsMax, bounds.limitMax)
  const filter: Filter = since > 0 ? { ...deps.filter, since } : deps.filter
  let paging: Paging | undefined
  let difference: Difference | undefined
  /** Ids that the relay has and we lack, until they have come. */
  let wanted: readonly string[] = []
  let isOver = false
  let ended = false

  const readPages = (): void => {
    paging = beginPaging(deps.filter, since)
    askPage(paging)
  }
  const askPage = ({ windows }: Paging): void => {
    const window = windows.at(-1)
    if (window === undefined) isOver = true
    else request(windowFilter(window, pageRows))
  }

  const bytesMax = Math.min(
    limits.reconcileBytesMax,
    Math.floor((bounds.messageBytesMax - frameBytes - bytesOf(filter)) / 2),
  )
  const reconcile = (): Difference =>
    createDifference({
      ...deps,
      id: deps.nextId(),
      filter,
      bytesMax,
      lacking: (ids) => {
        difference = undefined
        wanted = ids
        deps.mark(() => {
          if (!ended) askWanted()
        })
      },
      failed: giveUp,
    })
  const giveUp = (reason: string, broken: boolean): void => {
    difference = undefined
    wanted = []
    deps.noted(`not reconciled (NIP-77): ${reason}`)
    if (broken) deps.broken()
    readPages()
  }

  const askWanted = (): void => {
    isOver = wanted.length === 0
    if (isOver) return
    const room = Math.floor((bounds.messageBytesMax - frameBytes) / idBytes)
    const ids = wanted.slice(0, Math.max(1, Math.min(limits.requestIdsMax, pageRows, room)))
    request({ ids, limit: ids.length })
  }
  /** The relay may give fewer at a time than it is asked for. */
  const tookWanted = ({ events }: Page): void => {
    const came = new Set(events.map(({ id }) => id))
    const left = wanted.filter((id) => !came.has(id))
    if (left.length === wanted.length) return giveUp("the relay does not give what it lists", true)
    wanted = left
    askWanted()
  }

  return {
    begin: () => {
      if (deps.held.length === 0 || bytesMax < reconcileBytesMin) return readPages()
      difference = reconcile()
      // The newest one shows what the relay has; the others are asked for when it is known which.
      request({ ...filter, limit: 1 })
    },
    turn: (page, isFirst) => {
      if (paging !== undefined) {
        paging = turnPage(paging, page)
        return askPage(paging)
      }
      if (!isFirst) return tookWanted(page)
      difference?.open(page.events.map(({ id }) => id))
    },
    isOver: () => isOver,
    given: (id) => paging?.known.has(id) === true,
    difference: () => difference,
    end: (tell) => {
      ended = true
      difference?.end(tell)
    },
  }
}
