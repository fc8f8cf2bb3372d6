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

  it("RR3: the first that reads it whole is the one, and the others let go; who was refused keeps its turn", () => {
    const readers = openRosterReaders()
    for (const name of names) readers.reads(url, name)
    readers.over(url, "timmy", false)
    readers.over(url, "claude", true)
    expect(names.map((name) => readers.reads(url, name))).toEqual([true, true, false])
  })

  it("RR4: whoever is the one next and was refused already keeps nobody waiting", () => {
    const readers = openRosterReaders()
    for (const name of names) readers.reads(url, name)
    for (const name of ["timmy", "claude"]) readers.over(url, name, false)
    readers.lost(url, "timmy")
    expect(readers.reads(url, "claude")).toBe(true)
    expect(readers.isOver(url)).toBe(true)
  })

  it("RR1 RR2 RR3 RR4: whatever comes in whatever order, nobody waits for what will not come, and somebody hears of versions", () => {
    const step = fc.record({
      name: fc.constantFrom(...names),
      does: fc.constantFrom("connect", "lose", "whole", "refuse"),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const readers = openRosterReaders()
        /** What each connection does with the roster, and whether it asks for commands. */
        const held = new Map<string, { roster: "none" | "asked" | "live" | "refused"; commands: boolean }>()
        /** As a connection does when its list may have changed: what it has it does not ask for again. */
        const list = (name: string): void => {
          const connection = held.get(name)
          if (connection === undefined) return
          if (!readers.reads(url, name)) connection.roster = "none"
          else if (connection.roster === "none") connection.roster = "asked"
          connection.commands = readers.isOver(url)
        }
        readers.watch(() => names.forEach(list))
        for (const { name, does } of steps) {
          const connection = held.get(name)
          if (does === "connect" && connection === undefined) {
            held.set(name, { roster: "none", commands: false })
            list(name)
          }
          if (connection === undefined || connection.roster === "none") {
            if (does === "lose" && held.delete(name)) readers.lost(url, name)
            continue
          }
          if (does === "lose") {
            held.delete(name)
            readers.lost(url, name)
          } else if (does === "whole" && connection.roster !== "live") {
            connection.roster = "live"
            readers.over(url, name, true)
            list(name)
          } else if (does === "refuse" && connection.roster !== "refused") {
            connection.roster = "refused"
            readers.over(url, name, false)
          }
          const all = [...held.values()]
          const count = (roster: string): number => all.filter((each) => each.roster === roster).length
          // RR2: all wait, or none does; and where they wait somebody is asking.
          expect(new Set(all.map(({ commands }) => commands)).size).toBeLessThan(2)
          expect(all.every(({ commands }) => commands) || count("asked") > 0).toBe(true)
          // Versions come, or are asked for, unless the relay refuses all.
          expect(count("asked") + count("live") > 0 || count("refused") === all.length).toBe(true)
          // RR1: where nobody was refused one reads for all.
          expect(count("refused") > 0 || count("asked") + count("live") === Math.min(1, all.length)).toBe(true)
        }
      }),
      { numRuns: 2000 },
    )
  })
})
