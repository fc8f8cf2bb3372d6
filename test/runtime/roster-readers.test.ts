import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { openRosterReaders } from "../../src/runtime/roster-readers.ts"

const url = "ws://a.example"
const names = ["timmy", "claude", "kimi"] as const

describe("roster readers", () => {
  it("RR1: one wizard reads at each relay, and the next that asks when its connection is lost", () => {
    const readers = openRosterReaders()
    expect(names.map((name) => readers.reads(url, name))).toEqual([true, false, false])
    expect(readers.reads("ws://b.example", "kimi")).toBe(true)
    readers.over(url, "timmy", true)
    expect(names.map((name) => readers.reads(url, name))).toEqual([true, false, false])
    readers.lost(url, "claude")
    expect(readers.isOver(url)).toBe(true)
    readers.lost(url, "timmy")
    expect(names.toReversed().map((name) => readers.reads(url, name))).toEqual([true, false, false])
  })

  it("RR2: nobody asks for commands before the reading is over, and not after a loss until it is over again", () => {
    const readers = openRosterReaders()
    readers.reads(url, "timmy")
    readers.over(url, "claude", true)
    expect(readers.isOver(url)).toBe(false)
    readers.over(url, "timmy", true)
    expect(readers.isOver(url)).toBe(true)
    readers.lost(url, "timmy")
    expect(readers.isOver(url)).toBe(false)
  })

  it("RR3: where it cannot be read whole, each reads for itself, until it was read after all", () => {
    const readers = openRosterReaders()
    readers.reads(url, "timmy")
    readers.over(url, "timmy", false)
    expect(readers.isOver(url)).toBe(true)
    expect(names.map((name) => readers.reads(url, name))).toEqual([true, true, true])
    readers.over(url, "timmy", true)
    expect(names.map((name) => readers.reads(url, name))).toEqual([true, false, false])
  })

  it("RR1 RR2: whatever comes in whatever order, some connected wizard reads, or everybody was told that it is over", () => {
    const step = fc.record({
      name: fc.constantFrom(...names),
      does: fc.constantFrom("connect", "lose", "whole", "refused"),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const readers = openRosterReaders()
        const connected = new Set<string>()
        const reading = new Set<string>()
        /** As each connection does when it is told: it asks again what it is to read. */
        const ask = (): void => {
          for (const name of connected) if (readers.reads(url, name)) reading.add(name)
        }
        readers.watch(ask)
        for (const { name, does } of steps) {
          if (does === "connect") {
            connected.add(name)
            ask()
          } else if (does === "lose") {
            connected.delete(name)
            reading.delete(name)
            readers.lost(url, name)
          } else if (reading.has(name)) readers.over(url, name, does === "whole")
          expect(connected.size === 0 || [...connected].some((each) => reading.has(each))).toBe(true)
        }
      }),
    )
  })
})
