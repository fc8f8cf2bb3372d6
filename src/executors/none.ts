/** Does nothing, at once. For the bench, where the runtime's own cost is measured. */
import { Effect } from "effect"
import type { Executor } from "./executor.ts"

export const none: Executor = {
  name: "none",
  about: "none; does nothing",
  repeat: "safe",
  needsClone: false,
  probe: () => Effect.succeed({ ready: true, detail: "does nothing" }),
  run: () => Effect.succeed({ text: "nothing was done: the none executor does nothing" }),
}
