/** A place to try attempts in: a temporary folder, executors that do what they are told, and git to look with. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { onTestFinished } from "vitest"
import { git } from "../../src/artifacts/git.ts"
import type { Executor, Outcome, Task } from "../../src/executors/executor.ts"

export { artifactsIn, taskOf } from "./tasks.ts"

/** A folder of the test's own, gone when it ends. */
export const temporaryFolder = async (): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), "wizardly-"))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** An executor that does what it is told in its clone. */
export const executorThat = (act: (folder: string, task: Task) => Promise<Outcome | void>): Executor => ({
  name: "told",
  about: "told; does what it is told",
  repeat: "safe",
  needsClone: true,
  probe: () => Effect.succeed({ ready: true, detail: "told" }),
  run: (task) => Effect.promise(async () => (await act(task.folder ?? "", task)) ?? { text: "done" }),
})

/** Git's answer as text, in the folder given. */
export const ask = (dir: string, ...args: readonly string[]): Promise<string> => Effect.runPromise(git(dir, args))
