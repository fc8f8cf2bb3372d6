/**
 * One long git call in a process of its own, for signals to fall on: `git-process.ts <folder>`. The first SIGINT is said
 * and passed over, the second exits; git writes its pid to `begun`, waits for the file `go`, and then its word is given.
 */
import { Effect } from "effect"
import { git } from "../../src/artifacts/git.ts"
import { waiting } from "./waiting.ts"

let heard = 0
process.on("SIGINT", () => {
  heard += 1
  if (heard > 1) process.exit(130)
  process.stdout.write("heard\n")
})
const word = await Effect.runPromise(git(process.argv[2] ?? "", waiting, { outside: true }))
process.stdout.write(`${word}\n`)
