/** An executor whose work is time: it takes a while, and comes to something or to nothing, by the command's own chance. */
import { Effect } from "effect"
import { ExecutorFailed, type Executor, type Outcome } from "../../../src/executors/executor.ts"
import { seededChance } from "../../../src/services/chance.ts"
import type { ClockShape } from "../../../src/services/clock.ts"

export const simulatedExecutor = (options: {
  readonly seed: number
  readonly repeat: Executor["repeat"]
  readonly clock: ClockShape
  readonly began: (command: string, wizard: string, author: string) => void
  readonly over: (command: string, wizard: string, done: boolean) => void
}): Executor => ({
  name: "simulated",
  about: "simulated; its work is time",
  repeat: options.repeat,
  needsClone: false,
  probe: () => Effect.succeed({ ready: true, detail: "simulated" }),
  run: (task) =>
    Effect.callback<Outcome, ExecutorFailed>((resume) => {
      const over = (done: boolean): void => options.over(task.command, task.wizard, done)
      const chance = seededChance((Number.parseInt(task.command.slice(0, 8), 16) ^ options.seed) + task.attempt)
      options.began(task.command, task.wizard, task.author)
      const ms = chance.next() < 0.8 ? chance.next() * 20_000 : chance.next() * 600_000
      const fate = chance.next()
      const cancel = options.clock.after(ms, () => {
        over(true)
        if (fate < 0.8) return resume(Effect.succeed({ text: `done: ${task.body}` }))
        const kind = fate < 0.95 ? "retryable" : "final"
        resume(Effect.fail(new ExecutorFailed({ kind, reason: "chance was against it" })))
      })
      return Effect.sync(() => {
        cancel()
        over(false)
      })
    }),
})
