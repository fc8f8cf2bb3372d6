import { Deferred, Effect } from "effect"
import * as fc from "fast-check"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { CommandInput, Repeat } from "../../machines/command.ts"
import { HostStopped, NotCommitted } from "../../src/engine/command-host.ts"
import {
  commandActor,
  commandKind,
  commandProjection,
  type CommandResult,
  type Received,
} from "../../src/engine/commands.ts"
import { openEngine, type EngineShape } from "../../src/engine/engine.ts"
import { ExecutorFailed } from "../../src/executors/executor.ts"
import { boundsOf } from "../../src/intake/intake.ts"
import { limits } from "../../src/limits.ts"
import { openWorker, type Worker } from "../../src/runtime/worker.ts"
import { seededChance } from "../../src/services/chance.ts"
import { virtualClock, type VirtualClock } from "../../src/services/clock.ts"
import { openStore, outboxStart, type CommandRow, type StoreShape } from "../../src/store/store.ts"
import { keys, write } from "../intake/council.ts"

/** One attempt as the worker performs it: it goes on until the test says how it ends. */
interface Performed {
  readonly actor: string
  readonly attempt: number
  readonly end: Deferred.Deferred<CommandResult, ExecutorFailed>
  over: boolean
  interrupted: boolean
}

/** One life: an engine and a worker on a store that outlives them. */
interface Life {
  readonly engine: EngineShape
  readonly worker: Worker
  readonly performed: Performed[]
  readonly warnings: string[]
  /** Errors that the next writes of the worker meet. */
  readonly faults: Error[]
  /** An attempt that is stopped goes on to its end first, as while its result is claimed. */
  stubborn: boolean
}

let store: StoreShape
let clock: VirtualClock
const lives: Life[] = []
beforeEach(() => {
  store = openStore(":memory:")
  clock = virtualClock()
})
afterEach(async () => {
  for (const { engine, worker } of lives.splice(0)) {
    worker.close()
    await engine.stop()
  }
  store.database.close()
})

const begin = (over: StoreShape = store): Life => {
  const projection = commandProjection({
    store: over,
    limits: { ...limits, concurrentAttemptsMax: 100 },
    pubkeyOf: () => keys.timmy,
    mayCommand: () => true,
    rosterVersion: () => 1,
    instance: "ab",
    answers: { command: () => [], note: () => [] },
  })
  const engine = openEngine({
    store: over,
    clock,
    limits,
    kinds: { command: commandKind },
    projections: { command: projection },
  })
  const performed: Performed[] = []
  const warnings: string[] = []
  const faults: Error[] = []
  const worker = openWorker({
    wizard: "timmy",
    engine: {
      ...engine,
      deliverWith: (envelopes, rows) => {
        const fault = faults.shift()
        return fault === undefined ? engine.deliverWith(envelopes, rows) : Promise.reject(fault)
      },
    },
    store: over,
    clock,
    chance: seededChance(1),
    limits,
    warn: (message) => void warnings.push(message),
    row: (actor) => store.command.get(actor) as CommandRow,
    perform: ({ actor }, attempt) => {
      const one: Performed = { actor, attempt, end: Deferred.makeUnsafe(), over: false, interrupted: false }
      performed.push(one)
      const work = Deferred.await(one.end).pipe(
        Effect.onInterrupt(() => Effect.sync(() => void (one.interrupted = true))),
        Effect.ensuring(Effect.sync(() => void (one.over = true))),
      )
      return life.stubborn ? Effect.uninterruptible(work) : work
    },
  })
  const life: Life = { engine, worker, performed, warnings, faults, stubborn: false }
  lives.push(life)
  return life
}

const idOf = (number: number): string => String(number).padStart(8, "0").padEnd(64, "f")
const actorOf = (number: number, wizard = "timmy"): string => commandActor(idOf(number), wizard)

const receive = async (
  { engine }: Life,
  number: number,
  repeat: Repeat = "safe",
  wizard = "timmy",
  deadlineMs: number | null = null,
): Promise<string> => {
  const event = { ...write({ content: `@${wizard} task ${number}` }), id: idOf(number) }
  const command: Received = {
    id: event.id,
    wizard,
    author: event.pubkey,
    trace: event.id,
    parent: null,
    form: "command",
    work: "task",
    executor: "note",
    body: `task ${number}`,
    priority: "normal",
    warnings: [],
    chain: null,
    event,
  }
  const input: CommandInput = {
    atMs: clock.nowMs(),
    repeat,
    deadlineMs,
    refusal: null,
    stale: false,
    approval: null,
    imported: null,
    bounds: boundsOf(limits),
  }
  const actor = actorOf(number, wizard)
  await engine.deliver([{ actor, cause: event.id, event: { type: "receive", input, command } }])
  return actor
}

let causes = 0
const tell = (life: Life, actor: string, type: string, more: object = {}): Promise<readonly string[]> =>
  life.engine.deliver([{ actor, cause: `told ${causes++}`, event: { type, ...more } }])

/** Received and begun; the attempt is under way. */
const started = async (life: Life, number: number, repeat: Repeat = "safe"): Promise<Performed> => {
  const actor = await receive(life, number, repeat)
  await tell(life, actor, "begin")
  return nextOf(life, actor)
}

const nextOf = async (life: Life, actor: string): Promise<Performed> => {
  await until(() => life.performed.some((one) => one.actor === actor && !one.over))
  return life.performed.find((one) => one.actor === actor && !one.over) as Performed
}

/** Lets the process go on until that holds; no time passes. */
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise<void>((resolve) => void setImmediate(resolve))
}

const succeed = ({ end }: Performed): void => void Deferred.doneUnsafe(end, Effect.succeed({ text: "done" }))
const fail = ({ end }: Performed, kind: "retryable" | "final"): void =>
  void Deferred.doneUnsafe(end, Effect.fail(new ExecutorFailed({ kind, reason: `it was ${kind}` })))

const stateOf = (actor: string): string | undefined => store.command.get(actor)?.state
const reasonOf = (actor: string): string | null | undefined => store.command.get(actor)?.reason
const undone = (wizard = "timmy"): readonly string[] =>
  ["execute", "abort"].flatMap((kind) =>
    store.outbox.pending(kind, wizard, outboxStart, 1000).map(({ effect }) => effect),
  )

describe("what is begun", () => {
  it("O1: runs only when its begin is on the disk", async () => {
    const gate = Promise.withResolvers<void>()
    const syncs: Promise<void>[] = []
    const database = { ...store.database, sync: () => syncs.shift() ?? Promise.resolve() }
    const life = begin({ ...store, database })
    const actor = await receive(life, 1)
    syncs.push(gate.promise)
    const told = tell(life, actor, "begin")
    await until(() => stateOf(actor) === "working")
    expect(life.performed).toEqual([])
    gate.resolve()
    await told
    expect(await nextOf(life, actor)).toMatchObject({ actor, attempt: 1 })
  })

  it("O5 P16: does not run where its deadline passed while its begin was written, and ends expired", async () => {
    const gate = Promise.withResolvers<void>()
    const syncs: Promise<void>[] = []
    const database = { ...store.database, sync: () => syncs.shift() ?? Promise.resolve() }
    const life = begin({ ...store, database })
    const actor = await receive(life, 1, "safe", "timmy", clock.nowMs() + 1000)
    syncs.push(gate.promise)
    const told = tell(life, actor, "begin")
    await until(() => stateOf(actor) === "working")
    clock.step(2000)
    gate.resolve()
    await told
    await until(() => undone().length === 0)
    await tell(life, actor, "expire", { timer: "deadline", atMs: clock.nowMs() })
    await until(() => undone().length === 0)
    expect([life.performed, stateOf(actor), store.attempt.allOpen()]).toEqual([[], "expired", []])
  })

  it("O1: is left alone where it is another wizard's", async () => {
    const life = begin()
    const actor = await receive(life, 1, "safe", "kimi")
    await tell(life, actor, "begin")
    expect([stateOf(actor), life.performed, life.worker.running()]).toEqual(["working", [], 0])
  })

  it("O1: waits for an earlier attempt at the same command that still runs", async () => {
    const life = begin()
    life.stubborn = true
    const first = await started(life, 1)
    const { actor } = first
    const chain = { n: 9, tip: "ee".repeat(32) }
    await tell(life, actor, "import", { status: "working", chain })
    await tell(life, actor, "retry")
    await tell(life, actor, "begin")
    const other = await started(life, 2)
    expect([stateOf(actor), life.performed]).toMatchObject(["working", [first, other]])
    succeed(first)
    expect(await nextOf(life, actor)).toMatchObject({ attempt: 2 })
    // What the first one came to is nobody's result any more.
    await until(() => life.worker.running() === 2)
    expect(stateOf(actor)).toBe("working")
  })
})

describe("what comes of it", () => {
  it("O2: a success is an artifact", async () => {
    const life = begin()
    const one = await started(life, 1)
    expect(life.worker.running()).toBe(1)
    succeed(one)
    await until(() => life.worker.running() === 0)
    expect([stateOf(one.actor), undone()]).toEqual(["artifact-reported", []])
  })

  it.each([
    ["retryable", "retrying"],
    ["final", "failed"],
  ] as const)("O2: a %s failure leads to %s, with its reason", async (kind, state) => {
    const life = begin()
    const one = await started(life, 1)
    fail(one, kind)
    await until(() => life.worker.running() === 0)
    expect([stateOf(one.actor), reasonOf(one.actor), undone()]).toEqual([state, `it was ${kind}`, []])
  })

  it("O2: a defect ends the command and not the process", async () => {
    const life = begin()
    const one = await started(life, 1)
    Deferred.doneUnsafe(one.end, Effect.die(new Error("boom")))
    await until(() => life.worker.running() === 0)
    expect(stateOf(one.actor)).toBe("failed")
    expect(reasonOf(one.actor)).toContain("boom")
  })

  it("O2: is brought again until it is written", async () => {
    const life = begin()
    const one = await started(life, 1)
    life.faults.push(new NotCommitted({ reason: "no room" }), new NotCommitted({ reason: "no room" }))
    succeed(one)
    for (let tries = 1; tries <= 2; tries++) {
      await until(() => life.warnings.length === tries && clock.armed() > 0)
      expect([stateOf(one.actor), life.worker.running()]).toEqual(["working", 1])
      clock.advance(limits.retryMsMin)
    }
    await until(() => life.worker.running() === 0)
    expect([stateOf(one.actor), undone()]).toEqual(["artifact-reported", []])
  })

  it("O2 O3: an engine that has stopped is not asked again; the next life goes on", async () => {
    const life = begin()
    const one = await started(life, 1)
    life.faults.push(new HostStopped())
    succeed(one)
    await until(() => life.worker.running() === 0)
    expect([stateOf(one.actor), life.warnings]).toEqual(["working", []])
    expect(await begin().worker.recover()).toBe(1)
    expect([stateOf(one.actor), undone()]).toEqual(["acknowledged", []])
  })

  it("one that takes too long is stopped, and may be tried again", async () => {
    const life = begin()
    const one = await started(life, 1)
    clock.advance(limits.attemptSecondsMax * 1000 - 1)
    expect(one.interrupted).toBe(false)
    clock.advance(1)
    await until(() => life.worker.running() === 0)
    expect([one.interrupted, stateOf(one.actor), undone()]).toEqual([true, "retrying", []])
    expect(reasonOf(one.actor)).toBe(`it was not done after ${limits.attemptSecondsMax} s`)
  })

  it("a cancelled one is stopped, and no other", async () => {
    const life = begin()
    const [one, other] = [await started(life, 1), await started(life, 2)]
    await tell(life, one.actor, "cancel", { reason: "enough" })
    await until(() => life.worker.running() === 1 && undone().length === 1)
    expect([one.interrupted, other.interrupted, stateOf(one.actor)]).toEqual([true, false, "cancelled"])
    succeed(other)
    await until(() => life.worker.running() === 0)
    expect([stateOf(other.actor), undone()]).toEqual(["artifact-reported", []])
  })
})

describe("after a kill", () => {
  it.each([
    ["safe", "acknowledged"],
    ["resumable", "acknowledged"],
    ["never", "interrupted"],
  ] as const)("O3: what may be repeated `%s` becomes %s, once", async (repeat, state) => {
    const dead = begin()
    const { actor } = await started(dead, 1, repeat)
    dead.worker.close()
    const life = begin()
    expect([await life.worker.recover(), await life.worker.recover()]).toEqual([1, 0])
    expect([stateOf(actor), undone(), store.attempt.allOpen()]).toEqual([state, [], []])
  })

  it("O3: what this life began, and what is another wizard's, is not lost", async () => {
    const dead = begin()
    const foreign = await receive(dead, 1, "safe", "kimi")
    await tell(dead, foreign, "begin")
    const life = begin()
    const mine = await started(life, 2)
    expect(await life.worker.recover()).toBe(0)
    expect([stateOf(foreign), stateOf(mine.actor), mine.interrupted]).toEqual(["working", "working", false])
  })

  it("O3 P25: what a relay knew the end of is not begun again", async () => {
    const dead = begin()
    const { actor } = await started(dead, 1)
    dead.worker.close()
    const life = begin()
    await tell(life, actor, "import", { status: "artifact-reported", chain: { n: 5, tip: "ee".repeat(32) } })
    await life.worker.recover()
    expect([stateOf(actor), undone(), store.attempt.allOpen()]).toEqual(["artifact-reported", [], []])
  })
})

describe("when the drain is over", () => {
  it("O4: what runs is stopped and lost, and that is durable", async () => {
    const life = begin()
    const [safe, never] = [await started(life, 1), await started(life, 2, "never")]
    await life.worker.abandon("the runtime was stopped before it was done")
    expect([safe.interrupted, never.interrupted, life.worker.running()]).toEqual([true, true, 0])
    expect([stateOf(safe.actor), stateOf(never.actor), undone()]).toEqual(["acknowledged", "interrupted", []])
    expect(reasonOf(never.actor)).toBe("the runtime was stopped before it was done")
  })
})

describe("in any order", () => {
  const acts = fc.array(
    fc.record({
      act: fc.constantFrom(
        "begin",
        "begin",
        "succeed",
        "retryable",
        "final",
        "cancel",
        "late",
        "kill",
        "abandon",
        "wait",
      ),
      which: fc.nat(2),
    }),
    { maxLength: 30 },
  )

  it("O1–O4: one attempt at a time for a command, none forgotten, nothing owed at the end", () =>
    fc.assert(
      fc.asyncProperty(acts, async (script) => {
        store.database.close()
        store = openStore(":memory:")
        let life = begin()
        const active = (actor: string): number =>
          life.performed.filter((one) => one.actor === actor && !one.over).length
        for (const number of [0, 1, 2]) await receive(life, number)
        for (const { act, which } of script) {
          const actor = actorOf(which)
          const one = life.performed.find((performed) => performed.actor === actor && !performed.over)
          if (act === "begin") await tell(life, actor, "begin")
          if (act === "cancel") await tell(life, actor, "cancel", { reason: "enough" })
          if (act === "succeed" && one !== undefined) succeed(one)
          if ((act === "retryable" || act === "final") && one !== undefined) fail(one, act)
          if (act === "late") clock.advance(limits.attemptSecondsMax * 1000)
          if (act === "wait")
            await until(() => life.worker.running() === life.performed.filter(({ over }) => !over).length)
          if (act === "abandon") await life.worker.abandon("stopped")
          if (act === "kill") {
            life.worker.close()
            await life.engine.stop()
            life = begin()
            await life.worker.recover()
          }
          for (const number of [0, 1, 2]) expect(active(actorOf(number))).toBeLessThanOrEqual(1)
        }
        await life.worker.abandon("over")
        await until(() => undone().length === 0)
        expect(store.attempt.allOpen()).toEqual([])
        expect([0, 1, 2].map((number) => stateOf(actorOf(number))).filter((state) => state === "working")).toEqual([])
      }),
      { numRuns: 100 },
    ))
})
