/**
 * One note attempt as a process of its own, to be killed: `attempt-process.ts <home> <number> <attempt>`. Says `begun` when
 * all is loaded, and at the end the result as JSON.
 */
import { Effect } from "effect"
import { runAttempt } from "../../src/executors/attempt.ts"
import { note } from "../../src/executors/note.ts"
import { artifactsIn, taskOf } from "./tasks.ts"

const [home = "", number, attempt] = process.argv.slice(2)
process.stdout.write("begun\n")
const artifacts = await artifactsIn(home, process.pid)
const task = taskOf(Number(number), Number(attempt))
const result = await Effect.runPromise(runAttempt({ executor: note, task, artifacts, report: () => undefined }))
process.stdout.write(`${JSON.stringify(result)}\n`)
