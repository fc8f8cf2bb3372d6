/**
 * One life of the wizard that `catch-up.ts` measures: `leave HOME RELAY OPERATOR` runs it until it is live, by a clock
 * that lies `awaySeconds` behind; `return …` does the same by the real one and tells how it was.
 */
import { Effect, Layer } from "effect"
import { limits } from "../../src/limits.ts"
import { homeOf } from "../../src/runtime/home.ts"
import { live } from "../../src/runtime/live.ts"
import { openRuntime, type Runtime } from "../../src/runtime/runtime.ts"
import { Clock, sleep, systemClock, type ClockShape } from "../../src/services/clock.ts"

export interface Returned {
  /** From the beginning of the start until everything that the relay held is taken in and durable. */
  readonly seconds: number
  /** Processor time of the thread that reads, and of all of them. */
  readonly threadSeconds: number
  readonly processSeconds: number
  /** The most that was ever resident. */
  readonly peakBytes: number
  /** Commands that ended `expired`. */
  readonly expired: number
  /** What left no row, by reason. */
  readonly counts: Readonly<Record<string, number>>
}

export const wizardName = "timmy"
export const awaySeconds = 20 * 24 * 3600

const isMain = process.argv[1] === import.meta.filename
const [job, dir = "", relay = "", operator = ""] = process.argv.slice(2)

const clock: ClockShape =
  job === "leave" ? { ...systemClock, nowMs: () => systemClock.nowMs() - awaySeconds * 1000 } : systemClock

const life = Effect.gen(function* () {
  const began = performance.now()
  const startedMs = clock.nowMs()
  const runtime = yield* openRuntime({
    home: homeOf(dir, {}),
    roles: [{ name: wizardName, executor: "none" }],
    relays: [relay],
    relayPort: 0,
    council: undefined,
    operators: [operator],
    config: {},
    // A start without events would be nothing but its wait for another instance.
    limits: { ...limits, instanceWaitSeconds: 0.05 },
    warn: (message) => void process.stderr.write(`! ${message}\n`),
  })
  yield* Effect.raceFirst(
    runtime.run,
    Effect.promise(async () => {
      while (!isLive(runtime, startedMs)) await sleep(systemClock, 5)
      const returned: Returned = {
        seconds: (performance.now() - began) / 1000,
        threadSeconds: secondsOf(process.threadCpuUsage()),
        processSeconds: secondsOf(process.cpuUsage()),
        peakBytes: process.resourceUsage().maxRSS * 1024,
        expired: runtime.store.command.list(1_000_000, "expired").length,
        counts: runtime.counts(),
      }
      process.stdout.write(JSON.stringify(returned))
      await runtime.drain()
    }),
  )
}).pipe(Effect.scoped)

const secondsOf = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1e6

/** Everything that was stored of commands is taken: the cursor moves with the last of it, to when this reading began. */
const isLive = ({ wizards, store }: Runtime, startedMs: number): boolean =>
  wizards.every(
    ({ pubkey, relays }) =>
      relays().every(({ state }) => state === "live") &&
      (store.cursor.get(pubkey, relay, "commands") ?? 0) >= startedMs,
  )

if (isMain) {
  await Effect.runPromise(life.pipe(Effect.provide(Layer.merge(live, Layer.succeed(Clock, clock)))))
  process.exit(0)
}
