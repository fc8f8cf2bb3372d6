/** One measured process of `memory.ts`: `fill DIR N` makes finished commands, `idle DIR N` runs N wizards and prints its resident set. */
import { Effect } from "effect"
import { commandKind, commandProjection } from "../../src/engine/commands.ts"
import { openEngine } from "../../src/engine/engine.ts"
import { live } from "../../src/runtime/live.ts"
import { boundsOf } from "../../src/intake/intake.ts"
import { limits } from "../../src/limits.ts"
import { withId } from "../../src/protocol/event.ts"
import { answers } from "../../src/runtime/answers.ts"
import { homeOf, makeHome } from "../../src/runtime/home.ts"
import { openRuntime } from "../../src/runtime/runtime.ts"
import { sleep, systemClock } from "../../src/services/clock.ts"
import { openStore } from "../../src/store/store.ts"

const [job = "", dir = "", number = "0", relay] = process.argv.slice(2)
const count = Number(number)

const fill = async (): Promise<void> => {
  const home = homeOf(dir)
  makeHome(home)
  const store = openStore(home.database)
  const author = "1".repeat(64)
  const projection = commandProjection({
    store,
    limits: { ...limits, concurrentAttemptsMax: 1_000_000 },
    pubkeyOf: () => "2".repeat(64),
    mayCommand: () => true,
    rosterVersion: () => 1,
    instance: "fill",
    answers: answers(limits),
  })
  const engine = openEngine({
    store,
    clock: systemClock,
    limits,
    kinds: { command: commandKind },
    projections: { command: projection },
  })
  const input = {
    atMs: 0,
    repeat: "safe",
    deadlineMs: null,
    refusal: null,
    stale: false,
    approval: null,
    imported: null,
    bounds: boundsOf(limits),
  }
  for (let at = 0; at < count; at += 256) {
    const commands = Array.from({ length: Math.min(256, count - at) }, (_, i) => {
      const event = {
        ...withId(author, { kind: 30079, created_at: at + i, tags: [], content: "@wizard0 thing" }),
        sig: "0".repeat(128),
      }
      const actor = `command/${event.id}/wizard0`
      const command = {
        id: event.id,
        wizard: "wizard0",
        author,
        trace: event.id,
        parent: null,
        form: "command",
        work: "task",
        executor: "none",
        body: "thing",
        priority: "normal",
        warnings: [],
        chain: null,
        event,
      }
      return { actor, receive: { actor, cause: event.id, event: { type: "receive", input, command } } }
    })
    await engine.deliver(commands.map(({ receive }) => receive))
    await engine.deliver(commands.map(({ actor }) => ({ actor, cause: "begin", event: { type: "begin" } })))
    await engine.deliver(
      commands.map(({ actor }) => ({
        actor,
        cause: "end",
        event: { type: "succeed", attempt: 1, result: { text: "done" } },
      })),
    )
  }
  await engine.write(() => store.database.exec("UPDATE outbox SET state = 'done'"))
  await engine.stop()
  store.database.close()
}

const idle = Effect.gen(function* () {
  const runtime = yield* openRuntime({
    home: homeOf(dir),
    roles: Array.from({ length: count }, (_, i) => ({ name: `wizard${i}`, class: "worker", executor: "none" })),
    relays: relay === undefined ? [] : [relay],
    relayPort: 0,
    council: undefined,
    operators: [],
    config: {},
    limits,
    warn: (message) => void process.stderr.write(`! ${message}\n`),
  })
  yield* Effect.raceFirst(
    runtime.run,
    Effect.promise(async () => {
      while (runtime.wizards.some((wizard) => wizard.status().state !== "idle")) await sleep(systemClock, 100)
      // Profiles, heartbeats and the roster are on their way to every wizard first.
      await sleep(systemClock, 15_000)
      // What is garbage is given back, so that what is left is what is held.
      for (let i = 0; i < 3; i++) {
        void globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" })
        await sleep(systemClock, 200)
      }
      process.stdout.write(String(process.memoryUsage().rss))
    }),
  )
}).pipe(Effect.scoped)

if (job === "fill") await fill()
else await Effect.runPromise(idle.pipe(Effect.provide(live)))
process.exit(0)
