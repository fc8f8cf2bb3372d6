/** Runs a script under a guard and says what it says, until it is killed: `guard-process.ts <folder> <script>`. */
import { Effect } from "effect"
import { startGuarded } from "../../src/executors/guarded.ts"
import { limits } from "../../src/limits.ts"
import { systemChance } from "../../src/services/chance.ts"
import { systemClock } from "../../src/services/clock.ts"

const [guards = "", script = ""] = process.argv.slice(2)
const program = { file: "sh", args: ["-c", script], cwd: "/", env: { PATH: process.env["PATH"] ?? "" } }
const host = { guards, clock: systemClock, chance: systemChance, limits }

await Effect.runPromise(
  startGuarded(program, host).pipe(
    Effect.flatMap(({ stdout, ended }) => {
      stdout.pipe(process.stdout)
      return ended
    }),
    Effect.scoped,
  ),
)
