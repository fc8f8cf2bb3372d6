/**
 * `npm run simulate -- --seeds N [--seed K] [--minutes M] [--jobs J] [--real] [--trace]`: N worlds from seed K on, each
 * with faults for M minutes (else by chance), J at a time in threads of their own. What fails is told with the shortest
 * plan that still does, as a line to be kept in `test/world/regressions.json`.
 */
import { parseArgs } from "node:util"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import { systemClock } from "../../../src/services/clock.ts"
import { planOf } from "./plan-of.ts"
import type { Plan } from "./plan.ts"
import { shrink } from "./shrink.ts"
import { runWorld } from "./world.ts"

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "100" },
    seed: { type: "string", default: "1" },
    minutes: { type: "string" },
    jobs: { type: "string", default: "1" },
    real: { type: "boolean", default: false },
    trace: { type: "boolean", default: false },
    "no-shrink": { type: "boolean", default: false },
    /** Ends at the first seed that fails, for the mutations. */
    first: { type: "boolean", default: false },
  },
})

/** What one world came to. */
interface Done {
  readonly virtualMs: number
  readonly lives: number
  readonly failed: boolean
  readonly lines: readonly string[]
}

const first = Number(values.seed)
const last = first + Number(values.seeds)
const jobs = Number(values.jobs)
const minutes = values.minutes === undefined ? undefined : Number(values.minutes)
const isBroken = async (plan: Plan): Promise<boolean> => (await runWorld(plan)).violations.length > 0

const runSeed = async (seed: number): Promise<Done> => {
  const plan = planOf(seed, values.real ? "real" : "fast", minutes)
  const { violations, virtualMs, lives, trace } = await runWorld(plan, { keepTrace: values.trace })
  const failed = violations.length > 0
  const lines = [...(values.trace ? trace : []), ...(failed ? [`seed ${seed} FAILS: ${violations[0]}`] : [])]
  if (failed && !values["no-shrink"] && !values.first) {
    const least = await shrink(plan, isBroken)
    const again = await runWorld(least)
    lines.push(
      ...again.trace.slice(-40).map((line) => `  ${line}`),
      ...again.violations.map((line) => `  ${line}`),
      "  the shortest plan that fails; keep it in test/world/regressions.json under a name:",
      `  ${JSON.stringify(least)}`,
    )
  }
  return { virtualMs, lives, failed, lines }
}

/** Every so many seeds, from `from` on; ends where `heard` says so. */
const runShare = async (from: number, heard: (done: Done) => boolean): Promise<void> => {
  for (let seed = from; seed < last; seed += jobs) if (!heard(await runSeed(seed))) return
}

const main = async (): Promise<void> => {
  const say = (line: string): void => void process.stdout.write(`${line}\n`)
  const startedMs = systemClock.nowMs()
  let toldMs = startedMs
  const sum = { seeds: 0, virtualMs: 0, lives: 0, failures: 0 }
  const rate = (): string => {
    const seconds = (systemClock.nowMs() - startedMs) / 1000
    const hours = sum.virtualMs / 3_600_000
    const { user, system } = process.cpuUsage()
    const cpu = `${((user + system) / 1e6).toFixed(0)} of the processor`
    return `${hours.toFixed(0)} simulated hours and ${sum.lives} lives of a process in ${seconds.toFixed(0)} s (${cpu}): ${(sum.seeds / seconds).toFixed(1)} seeds and ${(hours / seconds).toFixed(1)} simulated hours a second`
  }
  const heard = (done: Done): boolean => {
    done.lines.forEach(say)
    sum.seeds += 1
    sum.virtualMs += done.virtualMs
    sum.lives += done.lives
    if (done.failed) sum.failures += 1
    if (systemClock.nowMs() - toldMs >= 10_000) {
      toldMs = systemClock.nowMs()
      say(`${sum.seeds} of ${last - first} seeds, ${sum.failures} failed`)
    }
    return !(done.failed && values.first)
  }
  if (jobs === 1) await runShare(first, heard)
  else {
    const share = (at: number): Promise<void> =>
      new Promise((resolve, reject) => {
        const worker = new Worker(new URL(import.meta.url), { workerData: first + at, argv: process.argv.slice(2) })
        worker.on("message", (done: Done) => heard(done) || void worker.terminate())
        worker.on("error", reject)
        worker.on("exit", () => resolve())
      })
    await Promise.all(Array.from({ length: jobs }, (_, at) => share(at)))
  }
  say(`${sum.seeds} seeds, ${sum.failures} failed; ${rate()}`)
  process.exitCode = sum.failures > 0 ? 1 : 0
}

if (isMainThread) await main()
else
  await runShare(workerData as number, (done) => {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has none
    parentPort?.postMessage(done)
    return true
  })
