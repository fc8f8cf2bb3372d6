/**
 * The one order of everything that happens in a world: what is due next runs, then every promise and fiber that it
 * stirred runs to its rest, then comes the next. Real time plays no part.
 *
 * T1  What is due at one moment runs in the order in which it was put there.
 * T2  What belongs to an owner that is dead never runs; to one that sleeps, when it wakes.
 * T3  Nothing else runs while one thing does: promises by Node's own turn, fibers by a queue of ours.
 */
import type { ClockShape } from "../../../src/services/clock.ts"

/** A process, or anything else that can be frozen or gone. */
export interface Owner {
  alive: boolean
  /** Nothing of it runs before this moment. */
  frozenMs: number
}

export interface Timeline {
  /** Milliseconds since the world began; a fraction orders what comes by one road. */
  readonly nowMs: () => number
  readonly at: (dueMs: number, call: () => unknown, owner?: Owner) => () => void
  /** Runs up to that moment, or until the look, which is asked after each thing, says so. */
  readonly run: (untilMs: number, over?: () => boolean) => Promise<void>
  /** Lets promises and fibers come to rest. */
  readonly settle: () => Promise<void>
  readonly close: () => void
}

interface Entry {
  dueMs: number
  order: number
  readonly call: () => unknown
  readonly owner: Owner | undefined
  cancelled: boolean
}

export const openTimeline = (): Timeline => {
  const heap: Entry[] = []
  const original = globalThis.setImmediate
  const fibers: (() => void)[] = []
  let now = 0
  let serial = 0
  // Effect asks for its turn by this name at each call (T3).
  globalThis.setImmediate = ((call: () => void) => {
    fibers.push(call)
    return call
  }) as unknown as typeof setImmediate
  const clear = globalThis.clearImmediate
  globalThis.clearImmediate = ((call: unknown) => {
    const at = fibers.indexOf(call as () => void)
    if (at >= 0) fibers.splice(at, 1)
    else clear(call as NodeJS.Immediate)
  }) as typeof clearImmediate

  const settle = async (): Promise<void> => {
    for (;;) {
      await new Promise<void>((resolve) => void original(resolve))
      const due = fibers.splice(0)
      if (due.length === 0) return
      for (const call of due) call()
    }
  }

  return {
    nowMs: () => now,
    at: (dueMs, call, owner) => {
      const entry = { dueMs: Math.max(now, dueMs), order: serial++, call, owner, cancelled: false }
      push(heap, entry)
      return () => {
        entry.cancelled = true
      }
    },
    run: async (untilMs, over = () => false) => {
      for (;;) {
        const next = heap[0]
        if (next === undefined || next.dueMs > untilMs) break
        pop(heap)
        if (next.cancelled || next.owner?.alive === false) continue
        if (next.owner !== undefined && next.owner.frozenMs > next.dueMs) {
          next.dueMs = next.owner.frozenMs
          next.order = serial++
          push(heap, next)
          continue
        }
        now = Math.max(now, next.dueMs)
        await next.call()
        await settle()
        if (over()) return
      }
      now = Math.max(now, untilMs)
    },
    settle,
    close: () => {
      globalThis.setImmediate = original
      globalThis.clearImmediate = clear
    },
  }
}

/** The clock of one process: its timers die with it, and its wall clock may be set by others. */
export const clockOf = (timeline: Timeline, owner: Owner, epochMs: number, offsetMs: () => number): ClockShape => ({
  nowMs: () => Math.floor(epochMs + timeline.nowMs() + offsetMs()),
  after: (delayMs, call) =>
    owner.alive ? timeline.at(timeline.nowMs() + Math.max(0, delayMs), call, owner) : () => {},
})

const before = (a: Entry, b: Entry): boolean => a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order)

const push = (heap: Entry[], entry: Entry): void => {
  let at = heap.push(entry) - 1
  while (at > 0) {
    const above = (at - 1) >> 1
    const parent = heap[above] as Entry
    if (!before(entry, parent)) break
    heap[at] = parent
    at = above
  }
  heap[at] = entry
}

const pop = (heap: Entry[]): void => {
  const last = heap.pop() as Entry
  if (heap.length === 0) return
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && before(heap[child + 1] as Entry, heap[child] as Entry)) child++
    if (!before(heap[child] as Entry, last)) break
    heap[at] = heap[child] as Entry
    at = child
  }
  heap[at] = last
}
