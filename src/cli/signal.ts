/** Ctrl-C, or a polite kill. */
import { Effect } from "effect"

// `on`, not `once`: a listener that is gone while the signal is told lets others think that nobody minds, and die of it.
export const untilSignal = Effect.callback<void>((resume) => {
  const hear = (): void => resume(Effect.void)
  process.on("SIGINT", hear)
  process.on("SIGTERM", hear)
  return Effect.sync(() => {
    process.off("SIGINT", hear)
    process.off("SIGTERM", hear)
  })
})
