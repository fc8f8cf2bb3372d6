/**
 * Time as a service. Nothing else in the project reads a clock or sets a timer.
 *
 * `system` is the machine's; `virtual` stands still until a test moves it, and then fires what is due in order of time.
 */
import { Context, Layer } from "effect"

export interface ClockShape {
  /** Unix time in milliseconds. It may jump either way: the machine's clock is set by others. */
  readonly nowMs: () => number
  /** Calls once after `delayMs` (0 is the next turn). Returns what cancels it. Keeps the process alive unless `unref`. */
  readonly after: (delayMs: number, call: () => void, options?: { readonly unref?: boolean }) => () => void
}

export class Clock extends Context.Service<Clock, ClockShape>()("wizardly/services/Clock") {
  static readonly layer = Layer.sync(Clock, () => systemClock)
}

/** Unix seconds, rounded down, as `created_at` wants them. */
export const nowSeconds = (clock: ClockShape): number => Math.floor(clock.nowMs() / 1000)

/** Waits on that clock. */
export const sleep = (clock: ClockShape, delayMs: number): Promise<void> =>
  new Promise((resolve) => void clock.after(delayMs, resolve))

/** Node's own timers hold at most this delay; a longer one fires at once. */
const timerMsMax = 2 ** 31 - 1

export const systemClock: ClockShape = {
  nowMs: () => Date.now(),
  after: (delayMs, call, options) => {
    const timer = setTimeout(call, Math.max(0, Math.min(delayMs, timerMsMax)))
    if (options?.unref === true) timer.unref()
    return () => clearTimeout(timer)
  },
}

export interface VirtualClock extends ClockShape {
  /** Moves time forward, firing what falls due on the way, earliest first. */
  readonly advance: (ms: number) => void
  /** Steps the clock without firing anything, as a person or NTP does. */
  readonly step: (ms: number) => void
  /** How many timers are armed. */
  readonly armed: () => number
}

/** A clock for tests: it stands still until it is moved. */
export const virtualClock = (startMs = 1_800_000_000_000): VirtualClock => {
  let elapsed = 0
  let offset = startMs
  let serial = 0
  const timers = new Map<number, { readonly due: number; readonly call: () => void }>()
  return {
    nowMs: () => offset + elapsed,
    after: (delayMs, call) => {
      const id = serial++
      timers.set(id, { due: elapsed + Math.max(0, delayMs), call })
      return () => void timers.delete(id)
    },
    advance: (ms) => {
      const end = elapsed + ms
      for (;;) {
        let next: { readonly id: number; readonly due: number; readonly call: () => void } | undefined
        for (const [id, timer] of timers) {
          if (timer.due <= end && (next === undefined || timer.due < next.due)) next = { id, ...timer }
        }
        if (next === undefined) break
        timers.delete(next.id)
        elapsed = Math.max(elapsed, next.due)
        next.call()
      }
      elapsed = end
    },
    step: (ms) => {
      offset += ms
    },
    armed: () => timers.size,
  }
}
