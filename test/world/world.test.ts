/** The simulated world in CI: a fixed set of seeds with real signatures, every world that once failed, and its own sameness. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { planOf } from "../support/world/plan-of.ts"
import type { Plan } from "../support/world/plan.ts"
import { shrink } from "../support/world/shrink.ts"
import { runWorld } from "../support/world/world.ts"

const regressions = JSON.parse(readFileSync(join(import.meta.dirname, "regressions.json"), "utf8")) as Readonly<
  Record<string, Plan>
>

/** As many as take about a minute; the command runs as many as are wanted. */
const seeds = { first: 1, count: 200, each: 10 }

describe("the simulated world", () => {
  it.each([1, 3, 22])("seed %i makes the same world twice, to the last event", { timeout: 60_000 }, async (seed) => {
    const [one, other] = [await runWorld(planOf(seed)), await runWorld(planOf(seed))]
    expect(other.hash).toBe(one.hash)
    expect((await runWorld(planOf(seed + 1))).hash).not.toBe(one.hash)
  })

  it("the kind of signatures makes no difference to what happens but to the keys", async () => {
    const plan = planOf(4)
    const [fast, real] = [await runWorld(plan), await runWorld({ ...plan, signatures: "real" })]
    expect([fast.violations, real.violations]).toEqual([[], []])
    expect(real.lives).toBe(fast.lives)
  })

  it("a plan that fails is made shorter by what does not matter", async () => {
    const plan = planOf(5)
    const wanted = plan.ops[3]
    const least = await shrink(plan, async ({ ops }) => ops.some((op) => op === wanted))
    expect(least.ops).toEqual([wanted])
  })

  it.each(Object.entries(regressions))("%s", { timeout: 60_000 }, async (_, plan) => {
    expect((await runWorld(plan)).violations).toEqual([])
  })

  const starts = Array.from({ length: seeds.count / seeds.each }, (_, at) => seeds.first + at * seeds.each)
  it.each(starts)(
    `nothing is lost, doubled or obeyed wrongly: seeds %i and the ${seeds.each - 1} after it`,
    async (start) => {
      for (let seed = start; seed < start + seeds.each; seed++) {
        const { violations } = await runWorld(planOf(seed, "real"))
        expect({ seed, violations }).toEqual({ seed, violations: [] })
      }
    },
    120_000,
  )
})
