/** One attempt at a task, as the worker runs it: the row becomes the executor's task, the result the command's. */
import { Effect } from "effect"
import type { Artifacts } from "../artifacts/artifacts.ts"
import type { CommandResult, Commit } from "../engine/commands.ts"
import { runAttempt } from "../executors/attempt.ts"
import type { Check } from "../executors/checks.ts"
import type { Executor, ExecutorFailed } from "../executors/executor.ts"
import type { ClockShape } from "../services/clock.ts"
import type { CommandRow } from "../store/store.ts"

export const runTask = (
  options: {
    readonly executor: Executor
    readonly artifacts: Artifacts | undefined
    readonly check?: Check | undefined
    readonly clock: ClockShape
  },
  row: CommandRow,
  attempt: number,
): Effect.Effect<CommandResult, ExecutorFailed> => {
  const begun = options.clock.nowMs()
  return runAttempt({
    executor: options.executor,
    artifacts: options.artifacts,
    check: options.check,
    report: () => {},
    task: {
      command: row.id,
      wizard: row.wizard,
      trace: row.trace,
      attempt,
      body: row.body,
      author: row.author,
      createdAt: row.created_at,
      ...(row.parent !== null && { parent: row.parent }),
      priority: (["low", "normal", "high", "urgent"] as const)[row.priority] ?? "normal",
      ...(row.deadline_ms !== null && { deadlineMs: row.deadline_ms }),
    },
  }).pipe(
    Effect.map(({ text, artifact, cost }) => ({
      text,
      tookMs: options.clock.nowMs() - begun,
      ...(artifact !== undefined && { artifact: artifact satisfies Commit }),
      ...(cost !== undefined && { cost }),
    })),
  )
}
