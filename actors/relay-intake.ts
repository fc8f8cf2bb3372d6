/**
 * The road of incoming events: checked in batches, handed on until they are durable, one batch after the other. While
 * one is written the next ones are checked already.
 *
 *   EVENT ─► waiting ─► verify (all that waits, two batches at a time) ─► take, one call a subscription
 *   EOSE  ─► mark ────► `checked`, behind the last verdict ─────────────► `taken`, behind the last take
 *
 * RI1 Only an event whose id and signature are good is handed on, counted for a page, or moves a cursor.
 * RI2 A batch that was not taken moves no cursor, nor does anything of its subscription that came after it: the
 *     subscription is read again (P28).
 * RI3 Events that wait or are being worked on number at most `intakeRowsMax`, and hold at most `intakeBytesMax`, plus
 *     what one read of the socket brings; above either the socket is paused, under half of both read again.
 * RI4 Whatever the checks take, batches are taken, and marks called, in the order in which they came.
 */
import type { Limits } from "../src/limits.ts"
import type { NostrEvent } from "../src/protocol/event.ts"
import type { ClockShape } from "../src/services/clock.ts"
import type { VerifierShape } from "../src/identity/verifier.ts"
import type { Batch } from "./subscription.ts"

/** One REQ that events come in by. */
export interface Request {
  readonly subscription: string
  /** Nothing that still waits of it counts any more. */
  dead: boolean
  /** Says what the events of it mean now. */
  readonly phase: () => "stored" | "live" | "live-without-cursor"
  /** That one was handed on already in this reading. */
  readonly given: (event: NostrEvent) => boolean
  /** An event of it is valid and will be taken; `stored` if it came before EOSE. */
  readonly checked: (event: NostrEvent, stored: boolean) => void
}

export interface IntakeDeps {
  readonly url: string
  readonly verifier: VerifierShape
  readonly clock: ClockShape
  readonly limits: Pick<Limits, "intakeRowsMax" | "intakeBytesMax">
  readonly take: (batch: Batch) => Promise<void>
  /** That event is valid, and will be taken when what came before it is; `stored` if it came before EOSE. */
  readonly verified?: (subscription: string, event: NostrEvent, stored: boolean) => void
  /** Pauses and resumes the socket. */
  readonly throttle: (full: boolean) => void
  /** That subscription has to be read again from its cursor. */
  readonly failed: (subscription: string, error: unknown) => void
  readonly crash: (error: unknown) => void
}

export interface Intake {
  /** `bytes` is what the event takes on the socket. */
  readonly push: (request: Request, event: NostrEvent, stored: boolean, bytes: number) => void
  /** Calls when everything that was pushed before is checked; and when it is taken or set aside. */
  readonly mark: (checked: () => void, taken: () => Promise<void>) => void
  readonly full: () => boolean
  /** Valid events taken. */
  readonly taken: () => number
  /** Resolves when nothing is under way. */
  readonly idle: () => Promise<void>
}

interface Arrival {
  readonly request: Request
  readonly event: NostrEvent
  readonly stored: boolean
  readonly bytes: number
  readonly atMs: number
}
interface Mark {
  readonly checked: () => void
  readonly taken: () => Promise<void>
}
type Item = Arrival | Mark

/** Events in one check: large enough to pay for it, small enough that the next one is got ready meanwhile. */
const batchRowsMax = 256
/** Batches that are being checked. */
const checksMax = 2

export const createIntake = (deps: IntakeDeps): Intake => {
  let queue: Item[] = []
  let underWay = 0
  /** Of what waits and what is under way. */
  let bytes = 0
  let full = false
  let taken = 0
  let checks = 0
  let scheduled = false
  let broken = false
  /** RI4: the ends of the two lines. */
  let checking = Promise.resolve()
  let taking = Promise.resolve()

  const throttle = (): void => {
    const { intakeRowsMax, intakeBytesMax } = deps.limits
    const load = Math.max((queue.length + underWay) / intakeRowsMax, bytes / intakeBytesMax)
    const next = load >= (full ? 0.5 : 1)
    if (next === full) return
    full = next
    deps.throttle(full)
  }

  const takeGroup = async (subscription: string, group: readonly Arrival[]): Promise<void> => {
    const alive = group.filter(({ request }) => !request.dead)
    const last = alive.at(-1)
    if (last === undefined) return
    const phase = last.request.phase()
    try {
      await deps.take({
        subscription,
        relay: deps.url,
        events: alive.map(({ event }) => event),
        ...(phase === "live" ? { cursorMs: Math.min(last.atMs, deps.clock.nowMs()) } : {}),
        phase: phase === "stored" ? "stored" : "live",
      })
    } catch (error) {
      deps.failed(subscription, error)
      return
    }
    taken += alive.length
  }

  const crash = (error: unknown): void => {
    broken = true
    deps.crash(error)
  }

  /** What is good and new of a batch. */
  const sift = (arrivals: readonly Arrival[], verdicts: readonly boolean[]): readonly Arrival[] =>
    arrivals.filter(({ request, event, stored }, index) => {
      if (verdicts[index] !== true || request.dead) return false
      const isFresh = !request.given(event)
      request.checked(event, stored)
      if (isFresh) deps.verified?.(request.subscription, event, stored)
      return isFresh
    })

  const takeAll = async (fresh: readonly Arrival[]): Promise<void> => {
    const groups = Map.groupBy(fresh, ({ request }) => request.subscription)
    await Promise.all([...groups].map(([subscription, group]) => takeGroup(subscription, group)))
  }

  /** Up to the next mark, which goes with what came before it. */
  const nextBatch = (): readonly Item[] => {
    const mark = queue.findIndex((item) => "taken" in item)
    const size = Math.min(batchRowsMax, mark === -1 ? queue.length : mark + 1)
    const items = queue.slice(0, size)
    queue = queue.slice(size)
    return items
  }

  const work = (items: readonly Item[]): void => {
    const arrivals = items.filter((item): item is Arrival => "event" in item && !item.request.dead)
    const last = items.at(-1)
    const mark = last !== undefined && "taken" in last ? last : undefined
    const verdicts = arrivals.length === 0 ? [] : deps.verifier.verify(arrivals.map(({ event }) => event))
    underWay += items.length
    checks += 1
    const before = checking
    checking = (async () => {
      const [answers] = await Promise.all([verdicts, before])
      checks -= 1
      const fresh = sift(arrivals, answers)
      mark?.checked()
      const earlier = taking
      taking = (async () => {
        await earlier
        await takeAll(fresh)
        await mark?.taken()
        underWay -= items.length
        for (const item of items) bytes -= bytesOf(item)
        throttle()
      })()
      taking.catch(crash)
      pump()
    })()
    checking.catch(crash)
  }

  const pump = (): void => {
    scheduled = false
    while (checks < checksMax && queue.length > 0) work(nextBatch())
  }

  const add = (item: Item): void => {
    queue.push(item)
    bytes += bytesOf(item)
    throttle()
    // What arrives in this turn of the loop makes one batch.
    if (!scheduled) queueMicrotask(pump)
    scheduled = true
  }

  return {
    push: (request, event, stored, bytes) => add({ request, event, stored, bytes, atMs: deps.clock.nowMs() }),
    mark: (checked, taken) => add({ checked, taken }),
    full: () => full,
    taken: () => taken,
    idle: async () => {
      while (!broken && queue.length + underWay > 0) await Promise.allSettled([checking, taking])
    },
  }
}

const bytesOf = (item: Item): number => ("event" in item ? item.bytes : 0)
