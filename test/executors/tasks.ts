/** Tasks made up by number, and a wizard's artifacts in a folder. Free of the test runner: child processes use it too. */
import { hash } from "node:crypto"
import { join } from "node:path"
import { Effect } from "effect"
import { openArtifacts, type Artifacts } from "../../src/artifacts/artifacts.ts"
import type { Task } from "../../src/executors/executor.ts"
import { seededChance } from "../../src/services/chance.ts"
import { systemClock } from "../../src/services/clock.ts"

export const artifactsIn = (home: string, seed = 1): Promise<Artifacts> =>
  Effect.runPromise(
    openArtifacts({
      wizard: "timmy",
      dir: join(home, "timmy-artifacts"),
      clones: join(home, "clones"),
      clock: systemClock,
      chance: seededChance(seed),
    }),
  )

export const taskOf = (number: number, attempt = 1): Omit<Task, "folder"> => {
  const command = hash("sha256", `command ${number}`)
  return {
    command,
    wizard: "timmy",
    trace: command,
    attempt,
    body: `task ${number}\n\nCommand-Id: ${"0".repeat(64)}`,
    author: "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    createdAt: 1_774_958_400,
    priority: "normal",
  }
}
