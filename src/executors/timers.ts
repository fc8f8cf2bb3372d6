/**
 * The three timers of a run: until its first sign of life, between two of them, and in all. Only the run counts: what it
 * waits for before it (a place at the model) is not in them.
 */
import { Effect } from "effect"
import type { ClockShape } from "../services/clock.ts"
import { ExecutorFailed } from "./executor.ts"

export interface Timers {
  readonly coldSeconds: number
  readonly quietSeconds: number
  readonly totalSeconds: number
}

/** `work` calls `alive` whenever it sees life. Beyond a timer it is interrupted, and has failed as `stalled` or `late`. */
export const withTimers = <A>(
  timers: Timers,
  clock: ClockShape,
  name: string,
  work: (alive: () => void) => Effect.Effect<A, ExecutorFailed>,
): Effect.Effect<A, ExecutorFailed> =>
  Effect.suspend(() => {
    const armed = new Map<"total" | "quiet", () => void>()
    let ring = (_error: ExecutorFailed): void => undefined
    const arm = (timer: "total" | "quiet", kind: "stalled" | "late", seconds: number, reason: string): void => {
      armed.get(timer)?.()
      const error = new ExecutorFailed({ kind, reason: `${name}: ${reason}` })
      armed.set(
        timer,
        clock.after(seconds * 1000, () => ring(error), { unref: true }),
      )
    }
    const rings = Effect.callback<never, ExecutorFailed>((resume) => {
      ring = (error) => resume(Effect.fail(error))
      const { coldSeconds, totalSeconds } = timers
      arm("total", "late", totalSeconds, `it was not done after ${totalSeconds} s`)
      arm("quiet", "stalled", coldSeconds, `no sign of life in its first ${coldSeconds} s`)
    })
    const { quietSeconds } = timers
    const alive = (): void => {
      // Signs of life of what has ended arm nothing.
      if (armed.size > 0) arm("quiet", "stalled", quietSeconds, `no sign of life for ${quietSeconds} s`)
    }
    const disarm = Effect.sync(() => {
      for (const cancel of armed.values()) cancel()
      armed.clear()
    })
    // The timers first: they are armed when the work begins.
    return Effect.raceFirst(rings, work(alive)).pipe(Effect.ensuring(disarm))
  })
