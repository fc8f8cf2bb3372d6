/**
 * `npm run bench -- NAME [options]`: figures and ratios, all of one run side by side. Never part of the tests: what a
 * machine can do today says nothing about whether the code is right.
 */
import { catchUp } from "./catch-up.ts"
import { dispatch } from "./dispatch.ts"
import { engine } from "./engine.ts"
import { memory } from "./memory.ts"
import { relay } from "./relay.ts"

const benches = { "catch-up": catchUp, dispatch, engine, memory, relay } satisfies Record<
  string,
  (args: readonly string[]) => Promise<void>
>

const [name = "", ...args] = process.argv.slice(2)
if (!Object.hasOwn(benches, name)) {
  process.stderr.write(`npm run bench -- ${Object.keys(benches).join("|")}\n`)
  process.exit(2)
}
await benches[name as keyof typeof benches](args)
