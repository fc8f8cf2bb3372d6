import * as fc from "fast-check"
import { expect, it } from "vitest"
import { rowTally, windowTally } from "../../src/relay/tally.ts"

/** A source as the database would answer for it: ranks, in windows of the size that is asked for. */
const tallyOf = (sources: readonly (readonly number[])[], take: number) =>
  windowTally(
    { edge: "edge", count: "count", values: { low: 0 }, sources: sources.map((_, source) => ({ source })) },
    {},
    (sql, values) => {
      const within = (sources[values["source"] as number] as readonly number[])
        .filter((rank) => rank >= (values["low"] as number) && rank <= (values["high"] as number))
        .toSorted((a, b) => b - a)
      if (sql === "count") return { n: within.length }
      const rank = within[take]
      return rank === undefined ? undefined : { rank }
    },
  )

it("counts each row once, however many share a rank and whatever the window", () => {
  const ranks = fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 30 })
  fc.assert(
    fc.property(fc.array(ranks, { maxLength: 5 }), fc.integer({ min: 1, max: 8 }), (sources, take) => {
      const tally = tallyOf(sources, take)
      let n: number | undefined
      for (let steps = 0; n === undefined && steps < 1000; steps++) n = tally.step()
      expect(n).toBe(sources.flat().length)
    }),
  )
})

it("row by row, a thousand a step", () => {
  let left = 2500
  const next = () => (left-- > 0 ? { seq: left, rank: left, id: "" } : undefined)
  const tally = rowTally({ next, isCut: () => false })
  expect([tally.step(), tally.step(), tally.step()]).toEqual([undefined, undefined, 2500])
})

it.each([1, 3, 64, 300])(
  "%i sources of 9,999 rows: no step counts more than 10,000 rows, and all are counted",
  (many) => {
    const rows = 9_999
    let counted = 0
    const tally = windowTally(
      { edge: "edge", count: "count", values: { low: 0 }, sources: Array.from({ length: many }, () => ({})) },
      {},
      (sql, { low, high, take }) => {
        const first = Math.min(high as number, rows - 1)
        if (sql === "edge") {
          const rank = first - (take as number)
          return rank < (low as number) ? undefined : { rank }
        }
        counted += first - (low as number) + 1
        return { n: first - (low as number) + 1 }
      },
    )
    let total: number | undefined
    while (total === undefined) {
      counted = 0
      total = tally.step()
      expect(counted).toBeLessThanOrEqual(10_000)
    }
    expect(total).toBe(many * rows)
  },
)
