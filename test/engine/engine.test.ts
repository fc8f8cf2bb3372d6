import * as fc from "fast-check"
import { join } from "node:path"
import { describe, expect, it, onTestFinished } from "vitest"
import { HostStopped, NotCommitted, type ActorKind, type Effect, type Envelope } from "../../src/engine/command-host.ts"
import type { Commit } from "../../src/engine/engine.ts"
import { replay } from "../../src/engine/replay.ts"
import { openStore } from "../../src/store/store.ts"
import { commandHostConformance } from "./command-host.conformance.ts"
import { counter, totalMax } from "./counter.ts"
import { copyDatabase, diskError, openHost, temporaryFolder, type Disk, type Opened } from "../support/engine.ts"

const kinds: Readonly<Record<string, ActorKind>> = { counter }
const made = (name: string): Envelope => ({
  actor: `counter/${name}`,
  cause: "made",
  event: { type: "receive", input: { from: 0 } },
})
const add = (name: string, cause: string, by = 1): Envelope => ({
  actor: `counter/${name}`,
  cause,
  event: { type: "add", by },
})
const open = (options: Partial<Opened> = {}) =>
  openHost({ file: join(temporaryFolder(), "runtime.db"), kinds, ...options })
const settled = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "resolved",
    (error: Error) => error.name,
  )

commandHostConformance("embedded", (kinds) => {
  const file = join(temporaryFolder(), "runtime.db")
  const effects: Effect[] = []
  const start = () => {
    const opened = openHost({ file, kinds, limits: { actorsCachedMax: 2 } })
    opened.engine.watch((commit) => void effects.push(...commit.effects))
    return opened
  }
  let current = start()
  return {
    host: () => current.engine,
    restart: async () => {
      await current.close()
      current = start()
    },
    effects: () => effects,
  }
})

/** A sync that waits for `let`. */
const heldDisk = () => {
  const waiting: (() => void)[] = []
  const arrivals: (() => void)[] = []
  let syncs = 0
  const disk: Disk = {
    beforeSync: () =>
      new Promise<void>((resolve) => {
        syncs += 1
        waiting.push(resolve)
        for (const call of arrivals.splice(0)) call()
      }),
  }
  return {
    disk,
    syncs: () => syncs,
    /** Resolves when a sync is being waited for. */
    reached: () => (waiting.length > 0 ? Promise.resolve() : new Promise<void>((resolve) => arrivals.push(resolve))),
    release: () => waiting.splice(0).forEach((call) => call()),
  }
}

describe("engine", () => {
  it("E1: nothing is seen, and no delivery resolves, before the disk has it", async () => {
    const held = heldDisk()
    const { engine } = open({ disk: held.disk })
    const heard: Commit[] = []
    engine.watch((commit) => void heard.push(commit))
    let resolved = false
    const delivery = engine.deliver([made("a"), add("a", "1")]).then(() => (resolved = true))
    await held.reached()
    // Every microtask that could have told too early.
    await new Promise<void>((resolve) => setImmediate(resolve))
    expect([heard, resolved]).toEqual([[], false])
    held.release()
    await delivery
    expect(heard.map(({ effects }) => effects.length)).toEqual([2])
  })

  it("E1: what is sent while the disk works is one group more", async () => {
    const held = heldDisk()
    const { engine } = open({ disk: held.disk })
    const groups: number[] = []
    engine.watch(({ steps }) => void groups.push(steps.length))
    const first = engine.deliver([made("a")])
    await held.reached()
    const rest = [1, 2, 3, 4].map((n) => engine.deliver([add("a", String(n))]))
    held.release()
    await first
    await held.reached()
    held.release()
    await Promise.all(rest)
    expect([groups, held.syncs()]).toEqual([[1, 4], 2])
  })

  it("everything sent in one turn is one transaction and one sync", async () => {
    let [syncs, transactions] = [0, 0]
    const { engine } = open({
      disk: { afterSync: () => void (syncs += 1), inTransaction: () => void (transactions += 1) },
    })
    await Promise.all(Array.from({ length: 200 }, (_, n) => engine.deliver([made(String(n)), add(String(n), "1")])))
    expect([syncs, transactions]).toEqual([1, 1])
  })

  it("E2: rows that throw reject their own delivery alone, and nothing of it was written", async () => {
    const { engine, store } = open()
    const broken = new Error("no such row")
    const results = await Promise.allSettled([
      engine.deliver([made("a")]),
      engine.deliverWith([made("b"), add("a", "1")], () => {
        throw broken
      }),
      engine.write(() => store.setting.put("s", "k", "v")),
    ])
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"])
    expect((results[1] as PromiseRejectedResult).reason).toBe(broken)
    expect(await engine.read("counter/b")).toBeUndefined()
    expect(await engine.read("counter/a")).toMatchObject({ context: { total: 0 } })
    expect(store.setting.get("s", "k")).toBe("v")
    // It was not seen either: sent again it takes effect.
    expect(await engine.deliver([made("b"), add("a", "1")])).toEqual(["applied", "applied"])
  })

  it("E2: a dead letter holds the input and the error", async () => {
    const { engine, store } = open()
    await engine.deliver([made("a"), add("a", "1", totalMax + 1), add("a", "2")])
    expect(store.deadLetter.all()).toMatchObject([
      { actor: "counter/a", cause: "1", error: expect.stringContaining("more than") },
      { actor: "counter/a", cause: "2", error: expect.stringContaining("more than") },
    ])
    expect(JSON.parse(store.deadLetter.all()[0]?.input ?? "")).toMatchObject({ type: "add", by: totalMax + 1 })
  })

  it("E2: a row that the database refuses is the fault of its step, not of the disk", async () => {
    const { engine, store } = open({
      projections: {
        counter: {
          project: ({ event }) => {
            if (event["by"] === 13) store.setting.put("s", "k", null as never)
          },
        },
      },
    })
    const outcomes = await engine.deliver([made("a"), made("b"), add("a", "1", 13), add("b", "1")])
    expect(outcomes).toEqual(["applied", "applied", "faulted", "applied"])
  })

  it("E2: an actor that cannot be read back is faulted alone", async () => {
    const { engine, store } = open({ limits: { actorsCachedMax: 0 } })
    await engine.deliver([made("a"), made("b")])
    const row = store.snapshot.get("counter/a")
    await engine.write(() => row !== undefined && store.snapshot.put({ ...row, state: "vanished" }))
    expect(await engine.deliver([add("a", "1"), add("b", "1"), add("a", "2")])).toEqual([
      "faulted",
      "applied",
      "faulted",
    ])
    expect((await engine.read("counter/a"))?.fault).not.toBeNull()
  })

  it.each(["SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_BUSY"])(
    "E2: with %s all of the group is not committed, and it takes effect when there is room again",
    async (code) => {
      let isFull = false
      const { engine, store } = open({
        disk: {
          inTransaction: () => {
            if (isFull) throw diskError(code)
          },
        },
      })
      await engine.deliver([made("a")])
      isFull = true
      const refused = await Promise.allSettled([engine.deliver([add("a", "1")]), engine.write(() => 1)])
      expect(refused.map((each) => (each as PromiseRejectedResult).reason)).toEqual([
        expect.any(NotCommitted),
        expect.any(NotCommitted),
      ])
      expect(store.journal.of("counter/a").length).toBe(1)
      isFull = false
      expect(await engine.deliver([add("a", "1")])).toEqual(["applied"])
      expect(await engine.read("counter/a")).toMatchObject({ context: { total: 1 }, seq: 2 })
    },
  )

  it("a sync that fails ends the engine: nothing is promised, and whoever waits is told", async () => {
    let broken = false
    const { engine } = open({
      limits: { mailboxRowsMax: 1 },
      disk: {
        beforeSync: () => {
          if (broken) throw diskError("SQLITE_IOERR_FSYNC")
        },
      },
    })
    const heard: Commit[] = []
    await engine.deliver([made("a")])
    engine.watch((commit) => void heard.push(commit))
    broken = true
    const waiting = [1, 2, 3].map((n) => settled(engine.deliver([add("a", String(n))])))
    expect(await Promise.all(waiting)).toEqual(["NotCommitted", "HostStopped", "HostStopped"])
    expect((await engine.failed).message).toContain("SQLITE_IOERR_FSYNC")
    await expect(engine.deliver([add("a", "9")])).rejects.toBeInstanceOf(HostStopped)
    expect(heard).toEqual([])
  })

  it("two writers fail instead of forking the journal", async () => {
    const file = join(temporaryFolder(), "runtime.db")
    const [one, two] = [openHost({ file, kinds }), openHost({ file, kinds })]
    await one.engine.deliver([made("a"), add("a", "1")])
    expect(await settled(two.engine.deliver([made("b")]))).toBe("NotCommitted")
    expect((await two.engine.failed).message).toContain("another process")
    expect(await one.engine.deliver([add("a", "2")])).toEqual(["applied"])
  })

  it("a watcher that throws ends the engine, but what is durable is told as durable", async () => {
    const { engine } = open()
    engine.watch(() => {
      throw new Error("a bug")
    })
    expect(await engine.deliver([made("a")])).toEqual(["applied"])
    expect((await engine.failed).message).toBe("a bug")
  })

  it("E3: the mailbox is bounded, senders wait for room, and keep their order", async () => {
    const { engine } = open({ limits: { mailboxRowsMax: 4, groupRowsMax: 100 } })
    const groups: number[] = []
    engine.watch(({ steps }) => void groups.push(steps.length))
    await engine.deliver([made("a")])
    const order: number[] = []
    const sent = Array.from({ length: 10 }, (_, n) =>
      engine.deliver([add("a", String(n))]).then(() => void order.push(n)),
    )
    await Promise.all(sent)
    expect(groups).toEqual([1, 4, 4, 2])
    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it("E3: groups are bounded, and one delivery is never split", async () => {
    const { engine } = open({ limits: { groupRowsMax: 3 } })
    const groups: number[] = []
    engine.watch(({ steps }) => void groups.push(steps.length))
    await engine.deliver([made("a")])
    const five = [1, 2, 3, 4, 5].map((n) => add("a", String(n)))
    await Promise.all([engine.deliver(five), engine.deliver([add("a", "6")]), engine.deliver([add("a", "7")])])
    expect(groups).toEqual([1, 5, 2])
  })

  it("E4: how many actors are held in memory changes nothing", async () => {
    const inputs = fc.array(
      fc.tuple(fc.constantFrom("a", "b", "c", "d", "e"), fc.nat({ max: 20 }), fc.constantFrom(1, 40)),
      { maxLength: 30 },
    )
    await fc.assert(
      fc.asyncProperty(inputs, async (list) => {
        const journals: unknown[] = []
        for (const actorsCachedMax of [0, 2, 100]) {
          const { engine, store } = open({ limits: { actorsCachedMax } })
          const names = ["a", "b", "c", "d", "e"]
          await engine.deliver(names.map(made))
          for (const [name, cause, by] of list) await engine.deliver([add(name, String(cause), by)])
          journals.push(names.map((name) => [store.journal.of(`counter/${name}`), store.deadLetter.all()]))
        }
        expect(journals[1]).toEqual(journals[0])
        expect(journals[2]).toEqual(journals[0])
      }),
      { numRuns: 10 },
    )
  })

  it("stop writes what was taken and refuses what comes", async () => {
    const { engine } = open()
    const taken = engine.deliver([made("a")])
    const stopped = engine.stop()
    await expect(engine.deliver([made("b")])).rejects.toBeInstanceOf(HostStopped)
    await stopped
    expect(await taken).toEqual(["applied"])
  })

  it("P2: killed after any commit, and told everything again, it comes out as if nothing had happened", async () => {
    const folder = temporaryFolder()
    const file = join(folder, "runtime.db")
    const copies: string[] = []
    const { engine, store } = openHost({
      file,
      kinds,
      disk: { afterSync: () => void copies.push(copyDatabase(file, join(folder, `copy-${copies.length}.db`))) },
    })
    const inputs = [
      made("a"),
      add("a", "1", 5),
      made("b"),
      { actor: "counter/a", cause: "t", event: { type: "arm", timer: "x", dueMs: 5 } },
      add("b", "boom", totalMax + 1),
      add("b", "after", 1),
      add("a", "2", 7),
      { actor: "counter/a", cause: "end", event: { type: "finish" } },
      add("a", "late", 1),
    ]
    for (const each of inputs) await engine.deliver([each])
    const tellOf = (from: typeof store) => ({
      journal: ["a", "b"].map((name) => from.journal.of(`counter/${name}`).map((row) => ({ ...row, at_ms: 0 }))),
      snapshots: ["a", "b"].map((name) => from.snapshot.get(`counter/${name}`)),
      outbox: ["a", "b"].map((name) => from.outbox.of(`counter/${name}`)),
      timers: from.timer.due(Number.MAX_SAFE_INTEGER, 10),
      dead: from.deadLetter.all().map((row) => ({ ...row, at_ms: 0 })),
    })
    const whole = JSON.stringify(tellOf(store))
    expect(copies.length).toBe(inputs.length)
    for (const [n, copy] of copies.entries()) {
      const again = openHost({ file: copy, kinds })
      const outcomes = []
      for (const each of inputs) outcomes.push(...(await again.engine.deliver([each])))
      expect(outcomes.slice(0, n + 1)).toEqual(Array.from({ length: n + 1 }, () => "duplicate"))
      expect(JSON.stringify(tellOf(again.store))).toBe(whole)
    }
  })

  it("a journal folded again comes out equal, and tells where it does not", async () => {
    const { engine, store } = open()
    await engine.deliver([made("a"), add("a", "1", 3), { actor: "counter/a", cause: "n", event: { type: "nonsense" } }])
    const rows = store.journal.of("counter/a")
    const fold = replay(counter, rows)
    expect(fold.steps.map(({ same }) => same)).toEqual([true, true, true])
    expect(fold.snapshot?.context).toEqual({ total: 3 })
    expect(
      replay(
        counter,
        rows.map((row) => ({ ...row, state: "finished" })),
      ).steps.map(({ same }) => same),
    ).toEqual([false, false, false])
  })

  it("a journal that an older version wrote is told as it was stored", async () => {
    const { engine, store } = open()
    await engine.deliver([made("a"), add("a", "1", 3)])
    const older = store.journal.of("counter/a").map((row) => ({ ...row, version: 0, state: "as it was" }))
    const fold = replay(counter, older)
    expect(fold.steps.map(({ state, same }) => [state, same])).toEqual([
      ["as it was", true],
      ["as it was", true],
    ])
    expect(fold.snapshot).toBeUndefined()
  })

  it("the database that is read by others while it is written shows whole groups", async () => {
    const file = join(temporaryFolder(), "runtime.db")
    const { engine } = openHost({ file, kinds })
    await engine.deliver([made("a")])
    const reader = openStore(file, { readonly: true })
    onTestFinished(() => reader.database.close())
    const seen: (readonly [number, number])[] = []
    for (let n = 0; n < 20; n++) {
      await engine.deliver([add("a", `${n}`), add("a", `${n}.5`)])
      const { seq = 0, context = "{}" } = reader.snapshot.get("counter/a") ?? {}
      seen.push([seq, (JSON.parse(context) as { total: number }).total])
    }
    expect(seen).toEqual(Array.from({ length: 20 }, (_, n) => [3 + 2 * n, 2 + 2 * n]))
  })
})
