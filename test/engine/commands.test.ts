import * as fc from "fast-check"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import type { CommandContext } from "../../machines/command.ts"
import { NotCommitted, type ActorEvent, type Envelope } from "../../src/engine/command-host.ts"
import { commandKind, type Outgoing } from "../../src/engine/commands.ts"
import { replay } from "../../src/engine/replay.ts"
import { eventId } from "../../src/protocol/event.ts"
import { checkChain, readReceipt, type Receipt } from "../../src/protocol/receipt.ts"
import { isEnd, mayFollow, statuses, type Status } from "../../src/protocol/status.ts"
import { virtualClock } from "../../src/services/clock.ts"
import type { StoreShape } from "../../src/store/store.ts"
import {
  actorOf,
  copyDatabase,
  diskError,
  envelope,
  openCommandHost,
  receive,
  temporaryFolder,
  type Disk,
} from "../support/engine.ts"

type Host = ReturnType<typeof openCommandHost>

const open = (options: Partial<Parameters<typeof openCommandHost>[0]> = {}): Host =>
  openCommandHost({ file: join(temporaryFolder(), "runtime.db"), ...options })

const begin: ActorEvent = { type: "begin" }
const done = { text: "done" }

const outgoingOf = (store: StoreShape, actor: string): readonly Outgoing[] =>
  store.outbox
    .of(actor)
    .filter(({ kind }) => kind === "publish")
    .map(({ payload }) => JSON.parse(payload) as Outgoing)

const receiptsOf = (store: StoreShape, actor: string): readonly Receipt[] =>
  outgoingOf(store, actor).flatMap((event) => readReceipt(event) ?? [])

describe("commands", () => {
  it("D1: an attempt begins only where fewer than the bound are open, within one delivery too", async () => {
    const { engine, store } = open({ limits: { concurrentAttemptsMax: 2 } })
    const numbers = [1, 2, 3, 4]
    await engine.deliver(numbers.map((n) => receive(n)))
    const started = await engine.deliver(numbers.map((n) => envelope(n, "begin", begin)))
    expect(started).toEqual(["applied", "applied", "deferred", "deferred"])
    expect(store.attempt.open("timmy", "task")).toBe(2)
    // What was put off is not seen: the same cause begins it when there is room.
    await engine.deliver([envelope(1, "end", { type: "succeed", attempt: 1, result: done })])
    expect(await engine.deliver([envelope(3, "begin", begin), envelope(4, "begin", begin)])).toEqual([
      "applied",
      "deferred",
    ])
  })

  it("D1: verbs have a lane of their own, and another wizard is not held up", async () => {
    const { engine } = open({ limits: { concurrentAttemptsMax: 1 } })
    await engine.deliver([
      receive(1),
      receive(2, { command: { work: "verb" } }),
      receive(3, { command: { work: "verb" } }),
      receive(4, { command: { wizard: "kimi" } }),
    ])
    const started = await engine.deliver([
      envelope(1, "begin", begin),
      envelope(2, "begin", begin),
      envelope(3, "begin", begin),
      envelope(4, "begin", begin, "kimi"),
    ])
    expect(started).toEqual(["applied", "applied", "deferred", "applied"])
  })

  it("D1: a task is taken up only where there is room in the queue; verbs and refusals always are", async () => {
    const { engine, store } = open({ limits: { queueRowsMax: 2 } })
    const outcomes = await engine.deliver([
      receive(1),
      receive(2),
      receive(3),
      receive(4, { command: { work: "verb" } }),
      receive(5, { input: { refusal: "malformed" } }),
      receive(6, { command: { wizard: "kimi" } }),
    ])
    expect(outcomes).toEqual(["applied", "applied", "deferred", "applied", "applied", "applied"])
    expect([store.command.get(actorOf(3)), store.journal.of(actorOf(3))]).toEqual([undefined, []])
    await engine.deliver([envelope(1, "no", { type: "cancel", reason: "no" })])
    expect(await engine.deliver([receive(3)])).toEqual(["applied"])
  })

  it("D1: a group that is rolled back leaves no count behind", async () => {
    const { engine, store, counts } = open({ limits: { concurrentAttemptsMax: 3 } })
    await engine.deliver([receive(1), receive(2)])
    const poison = { ...done, settings: [{ scope: "s", key: "k", value: null }] }
    const outcomes = await Promise.all([
      engine.deliver([envelope(1, "begin", begin), receive(3)]),
      engine.deliver([envelope(1, "end", { type: "succeed", attempt: 1, result: poison })]),
      engine.deliver([envelope(2, "begin", begin)]),
    ])
    expect(outcomes).toEqual([["applied", "applied"], ["faulted"], ["applied"]])
    expect([counts.open("timmy", "task"), counts.queued("timmy")]).toEqual([1, 1])
    expect([store.attempt.open("timmy", "task"), store.command.queued("timmy")]).toEqual([1, 1])
  })

  it("D1: a group that the disk had no room for leaves no count and no row behind", async () => {
    let isFull = false
    const inTransaction = (): void => {
      if (isFull) throw diskError("SQLITE_FULL")
    }
    const { engine, store, counts } = open({ disk: { inTransaction } })
    await engine.deliver([receive(1), receive(2)])
    isFull = true
    await expect(engine.deliver([envelope(1, "begin", begin), receive(3)])).rejects.toBeInstanceOf(NotCommitted)
    isFull = false
    expect([counts.open("timmy", "task"), counts.queued("timmy")]).toEqual([0, 2])
    expect(await engine.deliver([envelope(1, "begin", begin)])).toEqual(["applied"])
    expect(receiptsOf(store, actorOf(1)).map(({ n }) => n)).toEqual([1, 2, 3])
  })

  it("a faulted command gives its place free, and its attempt is told to stop", async () => {
    const { engine, store } = open()
    await engine.deliver([receive(1), receive(2), envelope(1, "begin", begin)])
    const poison = { ...done, settings: [{ scope: "s", key: "k", value: null }] }
    await engine.deliver([envelope(1, "end", { type: "succeed", attempt: 1, result: poison })])
    expect(store.command.get(actorOf(1))?.state).toBe("faulted")
    expect(store.attempt.allOpen()).toEqual([])
    expect(store.outbox.of(actorOf(1)).filter(({ kind }) => kind === "abort").length).toBe(1)
    expect(await engine.deliver([envelope(2, "begin", begin)])).toEqual(["applied"])
  })

  it("D2: authority is judged when it begins, whatever was true when it came", async () => {
    let mayCommand = true
    const { engine, store } = open({ mayCommand: () => mayCommand })
    await engine.deliver([receive(1)])
    mayCommand = false
    expect(await engine.deliver([envelope(1, "begin", { ...begin, authorised: true })])).toEqual(["applied"])
    expect(store.command.get(actorOf(1))).toMatchObject({ state: "cancelled", reason: "authority withdrawn" })
    expect(store.attempt.of(actorOf(1))).toEqual([])
  })

  it("D3 D4: the road gives one chain of receipts whose ids are final", async () => {
    const { engine, store } = open()
    await engine.deliver([
      receive(1),
      envelope(1, "begin", begin),
      envelope(1, "end", { type: "succeed", attempt: 1, result: done }),
    ])
    const receipts = receiptsOf(store, actorOf(1))
    expect(receipts.map(({ status }) => status)).toEqual(["received", "acknowledged", "working", "artifact-reported"])
    expect(checkChain(receipts)).toBeUndefined()
    for (const event of outgoingOf(store, actorOf(1))) expect(event.id).toBe(eventId(event))
    expect(store.command.get(actorOf(1))).toMatchObject({ receipts: 4, tip: receipts.at(-1)?.id, ended: 1 })
  })

  it("D3: an import goes on from the end of the relay's chain, from wherever the command stands", async () => {
    const { engine, store } = open()
    const tip = "f".repeat(64)
    const chain = { n: 9, tip }
    await engine.deliver([1, 2].map((n) => receive(n)))
    await engine.deliver([envelope(1, "import", { type: "import", status: "interrupted", chain: { n: 4, tip } })])
    // Interrupted in the copy, but retried and worked on in the life after it.
    await engine.deliver([1, 2].map((n) => envelope(n, "import 2", { type: "import", status: "working", chain })))
    await engine.deliver([1, 2].map((n) => envelope(n, "retry", { type: "retry" })))
    for (const number of [1, 2]) {
      const receipts = receiptsOf(store, actorOf(number)).slice(2)
      expect(receipts.map(({ n, status }) => [n, status])).toEqual([
        [10, "interrupted"],
        [11, "acknowledged"],
      ])
      expect(receipts.map(({ prev }) => prev)).toEqual([tip, receipts[0]?.id])
    }
  })

  it("D3: one that comes back interrupted is not told of again", async () => {
    const { engine, store } = open()
    const tip = "f".repeat(64)
    await engine.deliver([receive(1, { command: { chain: { n: 5, tip } }, input: { imported: "interrupted" } })])
    expect(receiptsOf(store, actorOf(1))).toEqual([])
    await engine.deliver([envelope(1, "retry", { type: "retry" })])
    expect(receiptsOf(store, actorOf(1))).toMatchObject([{ n: 6, prev: tip, status: "acknowledged" }])
  })

  it("the queue is ordered by priority, then deadline, then arrival", async () => {
    const about = fc.record({
      priority: fc.constantFrom("low", "normal", "high", "urgent"),
      deadlineMs: fc.constantFrom(null, 1_900_000_000_000, 1_950_000_000_000),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(about, { minLength: 1, maxLength: 12 }), async (list) => {
        const { engine, store } = open()
        const rank = ["low", "normal", "high", "urgent"]
        await engine.deliver(
          list.map(({ priority, deadlineMs }, n) =>
            receive(n, { command: { priority: priority as "low" }, input: { deadlineMs } }),
          ),
        )
        const expected = list
          .map((each, n) => ({ ...each, n }))
          .sort(
            (a, b) =>
              rank.indexOf(b.priority) - rank.indexOf(a.priority) ||
              (a.deadlineMs ?? Number.MAX_SAFE_INTEGER) - (b.deadlineMs ?? Number.MAX_SAFE_INTEGER) ||
              a.n - b.n,
          )
        const queue = store.command.next("timmy", "task", 100)
        expect(queue.map(({ actor }) => actor)).toEqual(expected.map(({ n }) => actorOf(n)))
      }),
      { numRuns: 20 },
    )
  })

  const runs = fc.array(fc.array(moves(), { minLength: 1, maxLength: 6 }), { maxLength: 12 })
  const bounds = { queueRowsMax: 3, concurrentAttemptsMax: 2, actorsCachedMax: 3 }

  it("D1 D3 D4: after any run rows, counts, timers, chains and snapshots tell the same", async () => {
    await fc.assert(
      fc.asyncProperty(runs, async (turns) => {
        const clock = virtualClock()
        const host = open({ clock, limits: bounds })
        for (const turn of turns) {
          await Promise.all(turn.map((move) => host.engine.deliver([envelopeOf(host.store, move)])))
          clock.advance(1_000)
          expect(faultsOf(host)).toEqual([])
        }
      }),
      { numRuns: 60 },
    )
  }, 60_000)

  it("P2: killed after any commit and told everything again, rows and chains still tell the same", async () => {
    await fc.assert(
      fc.asyncProperty(runs, fc.nat(), async (turns, pick) => {
        const folder = temporaryFolder()
        const file = join(folder, "runtime.db")
        const copies: string[] = []
        const disk: Disk = {
          afterSync: () => void copies.push(copyDatabase(file, join(folder, `${copies.length}.db`))),
        }
        const host = openCommandHost({ file, disk, limits: bounds })
        const sent: Envelope[] = []
        for (const turn of turns) {
          const envelopes = turn.map((move) => envelopeOf(host.store, move))
          sent.push(...envelopes)
          await Promise.all(envelopes.map((each) => host.engine.deliver([each])))
        }
        const copy = copies[pick % Math.max(1, copies.length)]
        fc.pre(copy !== undefined)
        const again = openCommandHost({ file: copy ?? "", limits: bounds })
        const known = [0, 1, 2, 3, 4, 5].flatMap((n) => receiptsOf(again.store, actorOf(n)).map(({ id }) => id))
        expect(faultsOf(again)).toEqual([])
        for (const each of sent) await again.engine.deliver([each])
        expect(faultsOf(again)).toEqual([])
        // Nothing that was promised is promised otherwise.
        const after = [0, 1, 2, 3, 4, 5].flatMap((n) => receiptsOf(again.store, actorOf(n)).map(({ id }) => id))
        expect(after).toEqual(expect.arrayContaining(known))
      }),
      { numRuns: 20 },
    )
  }, 60_000)
})

interface Move {
  readonly number: number
  readonly cause: number
  readonly event: ActorEvent
}

/** What can happen to one of six commands. Attempt 0 stands for the one that is open. */
function moves(): fc.Arbitrary<Move> {
  const attempts: readonly ActorEvent[] = [
    { type: "succeed", result: done },
    { type: "succeed", result: { ...done, settings: [{ scope: "timmy", key: "paused", value: "yes" }] } },
    // Breaks in the transaction: the command is faulted.
    { type: "succeed", result: { ...done, settings: [{ scope: "timmy", key: "paused", value: null }] } },
    { type: "fail", reason: "no", retryable: true, chance: 0.5 },
    { type: "fail", reason: "no", retryable: false, chance: 0.5 },
    { type: "lose", reason: "gone" },
    { type: "ask", hash: "in work" },
  ]
  const others: readonly ActorEvent[] = [
    { type: "approve", hash: "in work" },
    { type: "deny", hash: "in work", reason: "no" },
    { type: "approve", hash: "before" },
    { type: "requeue" },
    { type: "retry" },
    { type: "cancel", reason: "not wanted" },
    { type: "expire", timer: "deadline" },
    { type: "expire", timer: "approval" },
    { type: "nonsense" },
  ]
  return fc.record({
    number: fc.nat({ max: 5 }),
    cause: fc.nat({ max: 40 }),
    event: fc.oneof(
      { weight: 5, arbitrary: fc.constant<ActorEvent>({ type: "receive" }) },
      { weight: 6, arbitrary: fc.constant(begin) },
      { weight: 6, arbitrary: fc.constantFrom(...attempts).map((event) => ({ ...event, attempt: 0 })) },
      { weight: 4, arbitrary: fc.constantFrom(...others) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(...statuses).map((status): ActorEvent => ({ type: "import", status })),
      },
    ),
  })
}

const inputsOf: Readonly<Record<number, Parameters<typeof receive>[1]>> = {
  1: { input: { deadlineMs: 1_900_000_000_000 } },
  2: { input: { approval: "before", repeat: "never" } },
  3: { command: { chain: { n: 3, tip: "e".repeat(64) } }, input: { imported: "working" } },
  4: { command: { work: "verb" } },
  5: { input: { repeat: "resumable" } },
}

const envelopeOf = (store: StoreShape, { number, cause, event }: Move): Envelope => {
  if (event.type === "receive") return receive(number, inputsOf[number])
  const actor = actorOf(number)
  const row = store.command.get(actor)
  const chain = { n: (row?.receipts ?? 0) + 2, tip: "d".repeat(64) }
  const attempt = store.attempt.of(actor).at(-1)?.attempt ?? 1
  const whole = event.type === "import" ? { ...event, chain } : "attempt" in event ? { ...event, attempt } : event
  return { actor, cause: `${event.type}/${cause}`, event: whole }
}

/** What does not fit together in a store of commands. */
const faultsOf = ({ store, counts }: Host): readonly unknown[] => {
  const faults: unknown[] = []
  const check = (what: string, found: unknown, wanted: unknown): void => {
    if (JSON.stringify(found) !== JSON.stringify(wanted)) faults.push({ what, found, wanted })
  }
  check("queued", counts.queued("timmy"), store.command.queued("timmy"))
  for (const work of ["task", "verb"]) check(work, counts.open("timmy", work), store.attempt.open("timmy", work))
  if (store.attempt.open("timmy", "task") > 2) faults.push("more attempts than the bound")
  const timers = store.timer.due(Number.MAX_SAFE_INTEGER, 1_000)
  for (const number of [0, 1, 2, 3, 4, 5]) {
    const actor = actorOf(number)
    const snapshot = store.snapshot.get(actor)
    const row = store.command.get(actor)
    check("row", row !== undefined, snapshot !== undefined)
    if (snapshot === undefined || row === undefined) continue
    const context = JSON.parse(snapshot.context) as CommandContext
    const isFaulted = snapshot.fault !== null
    check("state", row.state, isFaulted ? "faulted" : snapshot.state)
    check("ended", row.ended, snapshot.done)
    const openAttempts = store.attempt.of(actor).filter(({ ended_ms }) => ended_ms === null)
    check(
      "open",
      openAttempts.map(({ attempt }) => attempt),
      context.open && !isFaulted ? [context.attempt] : [],
    )
    check("attempts", store.attempt.of(actor).length, context.attempt)
    const armed = timers.filter((timer) => timer.actor === actor).map(({ name }) => name)
    const own = { "awaiting-approval": "approval", retrying: "retry", interrupted: "interrupted" }[snapshot.state]
    const deadline = context.deadlineMs !== null && snapshot.done === 0 ? ["deadline"] : []
    check("timers", armed.sort(), [...deadline, ...(own === undefined ? [] : [own])].sort())
    const fold = replay(commandKind, store.journal.of(actor))
    check("fold", [fold.steps.every(({ same }) => same), fold.snapshot?.context], [true, context])
    checkReceipts(store, actor, check)
  }
  return faults
}

/** Each of our receipts names the one before it, ours or the relay's, and says what may follow it. */
const checkReceipts = (
  store: StoreShape,
  actor: string,
  check: (what: string, a: unknown, b: unknown) => void,
): void => {
  const receipts = receiptsOf(store, actor)
  const byId = new Map(receipts.map((receipt) => [receipt.id, receipt]))
  check(
    "ids",
    outgoingOf(store, actor).map(({ id }) => id),
    outgoingOf(store, actor).map(eventId),
  )
  check("places", new Set(receipts.map(({ n }) => n)).size, receipts.length)
  check("ends", receipts.filter(({ status }) => isEnd(status)).length <= 1, true)
  for (const { n, prev, status } of receipts) {
    const before = byId.get(prev ?? "")
    check("first", prev === undefined, n === 1)
    if (before === undefined) continue
    check("link", [before.n + 1, mayFollow(before.status, status as Status)], [n, true])
  }
  const row = store.command.get(actor)
  const last = receipts.at(-1)
  const isForeign = /^([de])\1+$/.test(row?.tip ?? "")
  if (!isForeign) check("tip", [row?.tip, row?.receipts], [last?.id ?? null, last?.n ?? 0])
}
