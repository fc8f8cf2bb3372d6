import * as fc from "fast-check"
import { join } from "node:path"
import { describe, expect, it, onTestFinished } from "vitest"
import { openAlarms } from "../../src/engine/alarms.ts"
import type { Envelope } from "../../src/engine/command-host.ts"
import { virtualClock, type VirtualClock } from "../../src/services/clock.ts"
import { counter } from "./counter.ts"
import { diskError, openHost, temporaryFolder, type Disk } from "../support/engine.ts"

const kinds = { counter }
const startMs = 1_800_000_000_000
const hourMs = 3_600_000
const made = (name: string): Envelope => ({
  actor: `counter/${name}`,
  cause: "made",
  event: { type: "receive", input: { from: 0 } },
})
let causes = 0
const arm = (name: string, timer: string, inMs: number): Envelope => ({
  actor: `counter/${name}`,
  cause: `arm ${++causes}`,
  event: { type: "arm", timer, dueMs: startMs + inMs },
})
const disarm = (name: string, timer: string): Envelope => ({
  actor: `counter/${name}`,
  cause: `disarm ${++causes}`,
  event: { type: "disarm", timer },
})

const open = (
  clock: VirtualClock = virtualClock(startMs),
  file = join(temporaryFolder(), "runtime.db"),
  disk: Disk = {},
) => {
  const host = openHost({ file, kinds, clock, disk })
  const alarms = openAlarms({ engine: host.engine, store: host.store, clock, kinds })
  onTestFinished(alarms.close)
  const rung: (readonly [string, string, number])[] = []
  host.engine.watch(({ steps }) => {
    for (const { actor, event } of steps)
      if (event.type === "rung") rung.push([actor, event["timer"] as string, clock.nowMs() - startMs])
  })
  return { ...host, alarms, rung, clock, file }
}

/** What rang is written: the engine takes its inputs in order, so an empty write comes after it. */
const quiet = async ({ engine }: ReturnType<typeof open>): Promise<void> => {
  for (let n = 0; n < 4; n++) await engine.write(() => undefined)
}

describe("alarms", () => {
  it("timers ring in the order in which they are due, none early", async () => {
    const host = open()
    await host.engine.deliver([made("a"), arm("a", "late", 3_000), arm("a", "soon", 1_000), arm("a", "mid", 2_000)])
    for (const ms of [999, 1, 999, 1, 1_000]) {
      host.clock.advance(ms)
      await quiet(host)
    }
    expect(host.rung).toEqual([
      ["counter/a", "soon", 1_000],
      ["counter/a", "mid", 2_000],
      ["counter/a", "late", 3_000],
    ])
    expect(host.store.timer.next()).toBeUndefined()
  })

  it("a timer that was disarmed never rings, one that was armed anew rings once and when it says", async () => {
    const host = open()
    await host.engine.deliver([made("a"), arm("a", "x", 1_000), arm("a", "y", 1_000)])
    await host.engine.deliver([disarm("a", "x"), arm("a", "y", 5_000)])
    host.clock.advance(4_999)
    await quiet(host)
    expect(host.rung).toEqual([])
    host.clock.advance(1)
    await quiet(host)
    host.clock.advance(hourMs)
    await quiet(host)
    expect(host.rung).toEqual([["counter/a", "y", 5_000]])
  })

  it("one that is disarmed while its ring is on the way is no input", async () => {
    const host = open()
    await host.engine.deliver([made("a"), arm("a", "x", 1_000)])
    const gone = host.engine.deliver([disarm("a", "x")])
    host.clock.advance(1_000)
    await gone
    await quiet(host)
    expect([host.rung, host.store.journal.of("counter/a").length]).toEqual([[], 3])
  })

  it("after a restart what was armed rings, and what had rung does not", async () => {
    const first = open()
    await first.engine.deliver([made("a"), arm("a", "x", 1_000), arm("a", "y", 2_000)])
    first.clock.advance(1_000)
    await quiet(first)
    first.alarms.close()
    await first.close()
    const second = open(virtualClock(startMs + 10_000), first.file)
    second.clock.advance(0)
    await quiet(second)
    expect([first.rung.length, second.rung.map(([, timer]) => timer)]).toEqual([1, ["y"]])
  })

  it.each([hourMs, -hourMs])(
    "a clock that is stepped by %i ms makes it neither early nor more than a minute late",
    async (by) => {
      const host = open()
      await host.engine.deliver([made("a"), arm("a", "x", 2 * hourMs)])
      host.clock.step(by)
      const leftMs = startMs + 2 * hourMs - host.clock.nowMs()
      for (let ms = 0; ms < leftMs; ms += 60_000) {
        expect(host.rung).toEqual([])
        host.clock.advance(60_000)
        await quiet(host)
      }
      expect(host.rung.length).toBe(1)
      expect(host.rung[0]?.[2]).toBeGreaterThanOrEqual(2 * hourMs)
    },
  )

  it("with a full disk it rings when there is room again", async () => {
    let isFull = false
    const host = open(undefined, undefined, {
      inTransaction: () => {
        if (isFull) throw diskError("SQLITE_FULL")
      },
    })
    await host.engine.deliver([made("a"), arm("a", "x", 1_000)])
    isFull = true
    host.clock.advance(1_000)
    await host.engine.write(() => undefined).catch(() => undefined)
    // Until whoever was refused has heard it.
    await new Promise<void>((resolve) => setImmediate(resolve))
    isFull = false
    for (const ms of [1_000, 0]) {
      host.clock.advance(ms)
      await quiet(host)
    }
    expect(host.rung.map(([, timer]) => timer)).toEqual(["x"])
  })

  it("a timer of a kind that is gone, or of a faulted actor, is dropped and holds up nothing", async () => {
    const host = open()
    await host.engine.deliver([made("a"), made("b"), arm("a", "x", 1_000), arm("b", "y", 1_000)])
    await host.engine.deliver([{ actor: "counter/a", cause: "boom", event: { type: "add", by: 1_000 } }])
    await host.engine.write(() =>
      host.store.timer.put({ actor: "vanished/1", name: "z", due_ms: startMs + 500, effect: "vanished/1/1/0" }),
    )
    host.clock.advance(1_000)
    await quiet(host)
    expect(host.rung.map(([actor]) => actor)).toEqual(["counter/b"])
    expect(host.store.timer.next()).toBeUndefined()
  })

  it("any arming and disarming rings what a plain model rings", async () => {
    const moves = fc.array(
      fc.oneof(
        fc.record({ name: fc.constantFrom("a", "b"), timer: fc.constantFrom("x", "y"), inMs: fc.nat({ max: 50 }) }),
        fc.record({ name: fc.constantFrom("a", "b"), timer: fc.constantFrom("x", "y") }),
        fc.record({ waitMs: fc.nat({ max: 20 }) }),
      ),
      { maxLength: 25 },
    )
    await fc.assert(
      fc.asyncProperty(moves, async (list) => {
        const host = open()
        const armed = new Map<string, number>()
        const expected: string[] = []
        await host.engine.deliver([made("a"), made("b")])
        const pass = async (ms: number): Promise<void> => {
          host.clock.advance(ms)
          await quiet(host)
          const now = host.clock.nowMs() - startMs
          const due = [...armed].filter(([, dueMs]) => dueMs <= now).sort((a, b) => a[1] - b[1])
          for (const [key] of due) armed.delete(key)
          expected.push(...due.map(([key]) => key).sort())
          // In one look of the clock's the order is that of the due times; within it any.
          expect(
            host.rung
              .map(([actor, timer]) => `${actor} ${timer}`)
              .slice(-due.length || Infinity)
              .sort(),
          ).toEqual(due.map(([key]) => key).sort())
          expect(host.rung.length).toBe(expected.length)
        }
        for (const move of list) {
          if ("waitMs" in move) await pass(move.waitMs)
          else if ("inMs" in move) {
            const dueMs = host.clock.nowMs() - startMs + move.inMs
            await host.engine.deliver([arm(move.name, move.timer, dueMs)])
            armed.set(`counter/${move.name} ${move.timer}`, dueMs)
          } else {
            await host.engine.deliver([disarm(move.name, move.timer)])
            armed.delete(`counter/${move.name} ${move.timer}`)
          }
        }
        await pass(100)
        expect(armed.size).toBe(0)
      }),
      { numRuns: 25 },
    )
  })
})
