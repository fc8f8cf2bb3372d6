/**
 * The road of incoming events: checked in batches, handed on until they are durable, one batch after the other.
 *
 *   EVENT ─► waiting ─► verify (all that waited) ─► take, one call a subscription ─► marks (EOSE), in order
 *
 * RI1 Only an event whose id and signature are good is handed on, counted for a page, or moves a cursor.
 * RI2 A batch that was not taken moves no cursor, nor does anything of its subscription that came after it: the
 *     subscription is read again (P28).
 * RI3 Events that wait or are being worked on number at most `intakeRowsMax`, and hold at most `intakeBytesMax`, plus
 *     what one read of the socket brings; above either the socket is paused, under half of both read again.
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
  /** A valid event of it was taken; `stored` if it came before EOSE. */
  readonly took: (event: NostrEvent, stored: boolean) => void
}

export interface IntakeDeps {
  readonly url: string
  readonly verifier: VerifierShape
  readonly clock: ClockShape
  readonly limits: Pick<Limits, "intakeRowsMax" | "intakeBytesMax">
  readonly take: (batch: Batch) => Promise<void>
  /** Pauses and resumes the socket. */
  readonly throttle: (full: boolean) => void
  /** That subscription has to be read again from its cursor. */
  readonly failed: (subscription: string, error: unknown) => void
  readonly crash: (error: unknown) => void
}

export interface Intake {
  /** `bytes` is what the event takes on the socket. */
  readonly push: (request: Request, event: NostrEvent, stored: boolean, bytes: number) => void
  /** Calls when everything that was pushed before is taken or set aside. */
  readonly mark: (then: () => Promise<void> | void) => void
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
type Item = Arrival | { readonly taken: () => Promise<void> | void }

export const createIntake = (deps: IntakeDeps): Intake => {
  let queue: Item[] = []
  let underWay = 0
  /** Of what waits and what is under way. */
  let bytes = 0
  let full = false
  let taken = 0
  let running: Promise<void> | undefined

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
    const fresh = alive.filter(({ request, event }) => !request.given(event)).map(({ event }) => event)
    try {
      if (fresh.length > 0)
        await deps.take({
          subscription,
          relay: deps.url,
          events: fresh,
          ...(phase === "live" ? { cursorMs: Math.min(last.atMs, deps.clock.nowMs()) } : {}),
          phase: phase === "stored" ? "stored" : "live",
        })
    } catch (error) {
      deps.failed(subscription, error)
      return
    }
    taken += fresh.length
    for (const { request, event, stored } of alive) if (!request.dead) request.took(event, stored)
  }

  const work = async (arrivals: readonly Arrival[]): Promise<void> => {
    if (arrivals.length === 0) return
    const verdicts = await deps.verifier.verify(arrivals.map(({ event }) => event))
    const groups = Map.groupBy(
      arrivals.filter((_, index) => verdicts[index] === true),
      ({ request }) => request.subscription,
    )
    await Promise.all([...groups].map(([subscription, group]) => takeGroup(subscription, group)))
  }

  const run = async (): Promise<void> => {
    // What arrives in this turn of the loop makes one batch.
    await Promise.resolve()
    while (queue.length > 0) {
      const mark = queue.findIndex((item) => "taken" in item)
      const items = mark === -1 ? queue : queue.slice(0, mark + 1)
      queue = mark === -1 ? [] : queue.slice(mark + 1)
      underWay = items.length
      await work(items.filter((item): item is Arrival => "event" in item && !item.request.dead))
      const last = items.at(-1)
      if (last !== undefined && "taken" in last) await last.taken()
      underWay = 0
      for (const item of items) bytes -= bytesOf(item)
      throttle()
    }
    running = undefined
  }

  const add = (item: Item): void => {
    queue.push(item)
    bytes += bytesOf(item)
    throttle()
    running ??= run().catch(deps.crash)
  }

  return {
    push: (request, event, stored, bytes) => add({ request, event, stored, bytes, atMs: deps.clock.nowMs() }),
    mark: (taken) => add({ taken }),
    full: () => full,
    taken: () => taken,
    idle: () => running ?? Promise.resolve(),
  }
}

const bytesOf = (item: Item): number => ("event" in item ? item.bytes : 0)
