/**
 * `npm run simulate -- --seeds N [--seed K] [--minutes M] [--real] [--trace]`: N worlds from seed K on, each with faults
 * for M minutes (else by chance). What fails is told with the shortest plan that still does, as a line to be kept in
 * `test/world/regressions.json`.
 */
import { parseArgs } from "node:util"
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
    real: { type: "boolean", default: false },
    trace: { type: "boolean", default: false },
    "no-shrink": { type: "boolean", default: false },
    /** Ends at the first seed that fails, for the mutations. */
    first: { type: "boolean", default: false },
  },
})

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const first = Number(values.seed)
const last = first + Number(values.seeds)
const startedMs = systemClock.nowMs()
const isBroken = async (plan: Plan): Promise<boolean> => (await runWorld(plan)).violations.length > 0
let virtualMs = 0
let lives = 0
let failures = 0
let toldMs = startedMs

for (let seed = first; seed < last; seed++) {
  const minutes = values.minutes === undefined ? undefined : Number(values.minutes)
  const plan = planOf(seed, values.real ? "real" : "fast", minutes)
  const outcome = await runWorld(plan, { keepTrace: values.trace })
  virtualMs += outcome.virtualMs
  lives += outcome.lives
  if (values.trace) for (const line of outcome.trace) say(line)
  if (outcome.violations.length > 0) {
    failures++
    say(`seed ${seed} FAILS: ${outcome.violations[0]}`)
    if (values.first) break
    if (!values["no-shrink"]) {
      const least = await shrink(plan, isBroken)
      const { violations, trace } = await runWorld(least)
      for (const line of trace.slice(-40)) say(`  ${line}`)
      say(`  ${violations.join("\n  ")}`)
      say(`  the shortest plan that fails; keep it in test/world/regressions.json under a name:`)
      say(`  ${JSON.stringify(least)}`)
    }
  }
  if (systemClock.nowMs() - toldMs < 10_000) continue
  toldMs = systemClock.nowMs()
  say(`${seed - first + 1} of ${last - first} seeds, ${failures} failed`)
}
const seconds = (systemClock.nowMs() - startedMs) / 1000
const hours = virtualMs / 3_600_000
say(
  `${last - first} seeds, ${failures} failed; ${hours.toFixed(0)} simulated hours and ${lives} lives of a process in ${seconds.toFixed(0)} s: ${(hours / seconds).toFixed(1)} simulated hours a second`,
)
process.exitCode = failures > 0 ? 1 : 0
