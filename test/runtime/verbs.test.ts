import { Cause, Effect, Exit } from "effect"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { CommandInput } from "../../machines/command.ts"
import { boundsOf } from "../../src/intake/intake.ts"
import {
  commandActor,
  commandKind,
  commandProjection,
  type CommandResult,
  type Received,
} from "../../src/engine/commands.ts"
import { openEngine, type EngineShape } from "../../src/engine/engine.ts"
import { limits } from "../../src/limits.ts"
import { parseVerb, verbs } from "../../src/protocol/verbs.ts"
import { answers } from "../../src/runtime/answers.ts"
import { heartbeatSeconds, isPaused, performVerb, type VerbContext } from "../../src/runtime/verbs.ts"
import { virtualClock, type VirtualClock } from "../../src/services/clock.ts"
import { openStore, type CommandRow, type StoreShape } from "../../src/store/store.ts"
import { keys, roster as council, write } from "../intake/council.ts"

let store: StoreShape
let engine: EngineShape
let clock: VirtualClock
let context: VerbContext
let serial: number

beforeEach(() => {
  serial = 0
  clock = virtualClock()
  store = openStore(":memory:")
  const projection = commandProjection({
    store,
    limits: { ...limits, concurrentAttemptsMax: 100 },
    pubkeyOf: () => keys.timmy,
    mayCommand: () => true,
    rosterVersion: () => 1,
    instance: "ab",
    answers: answers(limits),
  })
  engine = openEngine({ store, clock, limits, kinds: { command: commandKind }, projections: { command: projection } })
  context = {
    wizard: "timmy",
    engine,
    store,
    counts: projection.counts,
    limits,
    executor: "note; no model attached",
    nowMs: clock.nowMs,
    startedMs: clock.nowMs(),
    roster: () => council,
    carryOut: async () => ({ said: "carried out" }),
  }
})
afterEach(async () => {
  await engine.stop()
  store.database.close()
})

/** A command that timmy has taken up. Ids are told apart by their first digits. */
const receive = async (
  body: string,
  options: Partial<CommandInput> & { readonly id?: string; readonly wizard?: string; readonly author?: string } = {},
): Promise<CommandRow> => {
  serial += 1
  const { id = String(serial).padStart(8, "0").padEnd(64, "f"), wizard = "timmy", author, ...input } = options
  const event = { ...write({ content: body, ...(author !== undefined && { author }) }), id }
  const isVerb = parseVerb(body) !== undefined
  const actor = commandActor(id, wizard)
  const command: Received = {
    id,
    wizard,
    author: event.pubkey,
    trace: id,
    parent: null,
    form: "command",
    work: isVerb ? "verb" : "task",
    executor: isVerb ? "verb" : "note",
    body,
    priority: "normal",
    warnings: [],
    chain: null,
    event,
  }
  const given: CommandInput = {
    atMs: clock.nowMs(),
    repeat: isVerb ? "safe" : "never",
    deadlineMs: null,
    refusal: null,
    stale: false,
    approval: null,
    imported: null,
    bounds: boundsOf(limits),
    ...input,
  }
  const outcomes = await engine.deliver([{ actor, cause: id, event: { type: "receive", command, input: given } }])
  expect(outcomes).toEqual(["applied"])
  return store.command.get(actor) as CommandRow
}
const tell = async (
  row: CommandRow,
  type: string,
  rest: Readonly<Record<string, unknown>> = {},
): Promise<CommandRow> => {
  serial += 1
  const outcomes = await engine.deliver([{ actor: row.actor, cause: `${type}/${serial}`, event: { type, ...rest } }])
  expect(outcomes).toEqual(["applied"])
  return store.command.get(row.actor) as CommandRow
}
const begin = (row: CommandRow): Promise<CommandRow> => tell(row, "begin")
const interrupt = async (row: CommandRow): Promise<CommandRow> =>
  tell(await begin(row), "lose", { attempt: 1, reason: "the process ended in the middle of it" })
const succeed = async (row: CommandRow, result: CommandResult): Promise<CommandRow> =>
  tell(await begin(row), "succeed", { attempt: 1, result })
const stateOf = (row: CommandRow): string => store.command.get(row.actor)?.state ?? "gone"

/** What a verb answers; a refusal is its reason behind a mark. Settings are put as the engine puts them. */
const perform = async (row: CommandRow): Promise<string> => {
  const exit = await Effect.runPromiseExit(performVerb(row, context))
  if (Exit.isSuccess(exit)) {
    await engine.write(() => {
      for (const { scope, key, value } of exit.value.settings ?? []) store.setting.put(scope, key, value)
    })
    return exit.value.text
  }
  const failure = exit.cause.reasons.find(Cause.isFailReason)?.error
  expect(failure?.kind).toBe("final")
  return `✗ ${failure?.reason}`
}
const say = async (text: string): Promise<string> => perform(await receive(text))
/** Done, and done again as after a loss: the same is said and the same holds. */
const sayTwice = async (text: string): Promise<string> => {
  const row = await receive(text)
  const said = await perform(row)
  const before = [store.command.list(100), store.journal.last()]
  expect(await perform(row)).toBe(said)
  expect([store.command.list(100), store.journal.last()]).toEqual(before)
  return said
}

describe("status check", () => {
  it("says what a wizard that does nothing is", async () => {
    expect(await sayTwice("status check")).toBe(
      "timmy: idle, 0 waiting\nexecutor: note; no model attached\nup 0 s, heartbeat every 300 s",
    )
  })

  it("shows what runs, what waits, what needs a person, and since when it lives", async () => {
    await begin(await receive("write the report\nwith all its lines"))
    await receive("a second thing")
    const held = await interrupt(await receive("a third thing"))
    clock.advance(3 * 3600_000)
    const id = held.id.slice(0, 8)
    expect(await say("status check")).toBe(
      [
        "timmy: busy, 1 waiting",
        "working on 00000001: write the report",
        `interrupted, waits for you: ${id} a third thing (retry ${id} or cancel ${id})`,
        "executor: note; no model attached",
        "up 3 h, heartbeat every 300 s",
      ].join("\n"),
    )
  })

  it("stays short where a hundred wait for a person, and leaves other wizards' out", async () => {
    for (let i = 0; i < 15; i++) await interrupt(await receive(`task ${i}`))
    await interrupt(await receive("not mine", { wizard: "kimi" }))
    const lines = (await say("status check")).split("\n")
    expect(lines).toHaveLength(14)
    expect(lines[11]).toBe("and 5 more")
  })
})

describe("heartbeat", () => {
  it.each([
    ["faster", 300, "heartbeat every 150 s, was 300 s", 150],
    ["slower", 300, "heartbeat every 600 s, was 300 s", 600],
    ["default", 45, "heartbeat every 300 s, was 45 s", 300],
    ["every 2m", 300, "heartbeat every 120 s, was 300 s", 120],
    ["every 300s", 300, "heartbeat stays at every 300 s", 300],
    ["faster", 40, "heartbeat every 30 s, was 40 s (it is kept between 30 s and 3600 s)", 30],
    ["faster", 30, "heartbeat stays at every 30 s (it is kept between 30 s and 3600 s)", 30],
    ["slower", 3600, "heartbeat stays at every 3600 s (it is kept between 30 s and 3600 s)", 3600],
    ["every 1s", 300, "heartbeat every 30 s, was 300 s (it is kept between 30 s and 3600 s)", 30],
    ["every 1 day", 300, "heartbeat every 3600 s, was 300 s (it is kept between 30 s and 3600 s)", 3600],
  ])("%s from %i s", async (to, from, text, seconds) => {
    await engine.write(() => store.setting.put("timmy", "heartbeatSeconds", String(from)))
    expect(await say(`heartbeat ${to}`)).toBe(text)
    expect(heartbeatSeconds(store, "timmy", limits)).toBe(seconds)
    expect(heartbeatSeconds(store, "kimi", limits)).toBe(300)
  })

  it("changes nothing before its answer is written, so doing it again after a loss does not change it twice", async () => {
    const row = await receive("heartbeat faster")
    const results = await Promise.all([1, 2].map(() => Effect.runPromise(performVerb(row, context))))
    expect(results.map(({ text }) => text)).toEqual(Array(2).fill("heartbeat every 150 s, was 300 s"))
    expect(heartbeatSeconds(store, "timmy", limits)).toBe(300)
  })
})

describe("help", () => {
  it("lists every verb, one a line", async () => {
    const lines = (await sayTwice("help")).split("\n")
    expect(lines).toHaveLength(Object.keys(verbs).length + 1)
    expect(lines.at(-1)).toBe("Anything else is work.")
    expect(lines).toContain("pause: begin nothing new")
  })
})

describe("queue", () => {
  it("says what waits in the order in which it begins, and that it is paused", async () => {
    expect(await say("queue")).toBe("nothing waits")
    await receive("later", { deadlineMs: clock.nowMs() + 7_200_000 })
    await receive("sooner", { deadlineMs: clock.nowMs() + 3_600_000 })
    await begin(await receive("running"))
    await receive("elsewhere", { wizard: "kimi" })
    expect(await sayTwice("queue")).toBe("1. 00000003 sooner\n2. 00000002 later")
    await say("pause")
    expect(await say("queue")).toBe("paused\n1. 00000003 sooner\n2. 00000002 later")
  })

  it("is cut at ten, and says how many more there are", async () => {
    for (let i = 1; i <= 12; i++) await receive(`task ${i}`)
    const lines = (await say("queue")).split("\n")
    expect(lines).toHaveLength(11)
    expect(lines[10]).toBe("and 2 more")
  })
})

describe("why", () => {
  it("says what a command waits for, and what would move it on", async () => {
    const waiting = await receive("write it")
    clock.advance(90_000)
    expect(await sayTwice("why")).toBe(
      "00000001 write it\nacknowledged for 90 s. It waits for its turn: queue shows the order",
    )
    await say("pause")
    expect(await say("why 00000001")).toMatch(/I am paused: resume$/)
    await begin(waiting)
    expect(await say("why")).toMatch(/working for 0 s\. It is being worked on: cancel would end it$/)
  })

  it("says it of what needs a person, and of what has ended", async () => {
    await interrupt(await receive("a"))
    expect(await say("why")).toBe(
      "00000001 a\ninterrupted for 0 s: the process ended in the middle of it. You decide: retry 00000001 or cancel 00000001",
    )
    await say("cancel 00000001")
    expect(await say("why 00000001")).toMatch(/cancelled for 0 s: cancelled by its operator\. It has ended/)
    await receive("b", { approval: "aa" })
    expect(await say("why")).toMatch(/You decide: approve [0-9a-f]{8} or deny [0-9a-f]{8}$/)
  })
})

describe("show", () => {
  it("gives a result's text, page by page, and never cuts a character in two", async () => {
    const long = "🧙".repeat(limits.answerCharsMax + 5)
    const row = await succeed(await receive("draw"), { text: long })
    const id = row.id.slice(0, 8)
    const first = await sayTwice(`show ${id}`)
    expect(first).toBe(`${"🧙".repeat(limits.answerCharsMax)}\n(1 of 2)`)
    expect(await say(`show ${id} 2`)).toBe("🧙🧙🧙🧙🧙\n(2 of 2)")
    expect(await say(`show ${id} 3`)).toBe(`✗ ${id} has 2 pages`)
  })

  it("says that there is no result yet, or why there is none", async () => {
    const row = await receive("later")
    expect(await say("show")).toBe("00000001 is acknowledged and has no result")
    await tell(row, "cancel", { reason: "not wanted" })
    expect(await say("show 00000001")).toBe("00000001 is cancelled and has no result: not wanted")
  })

  it("does not pass over a file that is asked for: it says where the files are", async () => {
    const artifact = { commit: "c".repeat(40), repo: "timmy-artifacts", branch: "b", x: "", m: "text/plain", size: 1 }
    await succeed(await receive("with files"), { text: "done", artifact })
    await succeed(await receive("without"), { text: "done" })
    expect(await say("show 00000001 notes.md")).toBe(
      "✗ files are not sent from here: git show cccccccccccc in timmy-artifacts",
    )
    const second = store.command.list(10).find(({ body }) => body === "without") as CommandRow
    expect(await say(`show ${second.id.slice(0, 8)} notes.md`)).toMatch(/has no files, its text is all$/)
  })
})

describe("which command is meant", () => {
  it("needs an id where there are several, and lists them on lines of their own", async () => {
    await receive("first")
    await receive("second")
    expect(await say("cancel")).toBe("✗ which one?\n00000001 first\n00000002 second")
    expect(await sayTwice("cancel 00000002")).toBe("00000002 second: cancelled")
    expect(await sayTwice("cancel")).toBe("00000001 first: cancelled")
  })

  it("is never a verb that waits, this one included, nor another wizard's command", async () => {
    await receive("elsewhere", { wizard: "kimi" })
    await receive("status check")
    expect(await say("cancel")).toBe("✗ there is nothing that it could be about")
    const task = await receive("mine")
    expect(await say("cancel")).toMatch(/mine: cancelled$/)
    expect(stateOf(task)).toBe("cancelled")
  })

  it("is told by an id that nobody has, or that several have", async () => {
    await receive("a", { id: `${"ab".repeat(8)}${"0".repeat(48)}` })
    await receive("b", { id: `${"ab".repeat(8)}${"1".repeat(48)}` })
    expect(await say("why 12345678")).toBe("✗ no command begins with 12345678")
    expect(await say("why abababab")).toMatch(/^✗ which one\?\nabababab a\nabababab b$/)
    expect(await say(`why ${"ab".repeat(8)}1`)).toMatch(/^abababab b\n/)
  })

  it("has a title that is short and whole, whatever it is made of", async () => {
    await receive(`${"a".repeat(58)}🧙🧙🧙🧙 more`)
    const text = await say("why")
    expect(text.isWellFormed()).toBe(true)
    expect(text.split("\n")[0]).toBe(`00000001 ${"a".repeat(58)}🧙…`)
  })
})

describe("cancel and retry", () => {
  it.each(["member", "kimi"] as const)(
    "RI3: by a %s they reach its own commands, an operator's reach all",
    async (who) => {
      const author = keys[who]
      const theirs = await receive("theirs", { author })
      const boss = await receive("the operator's")
      const [id, other] = [theirs, boss].map((row) => row.id.slice(0, 8))
      expect(await perform(await receive(`cancel ${other}`, { author }))).toBe(
        `✗ ${other} is not yours: its author or an operator may cancel it`,
      )
      expect(await perform(await receive("cancel", { author }))).toBe(`${id} theirs: cancelled`)
      expect([stateOf(theirs), stateOf(boss)]).toEqual(["cancelled", "acknowledged"])
      const again = await receive("theirs again", { author })
      expect(await say(`cancel ${again.id.slice(0, 8)}`)).toMatch(/cancelled$/)
    },
  )

  it("end what waits, runs or is held; what has ended is refused, however often it is asked", async () => {
    const waiting = await receive("waits")
    const running = await begin(await receive("runs"))
    const held = await interrupt(await receive("held"))
    for (const row of [waiting, running, held]) {
      const id = row.id.slice(0, 8)
      expect(await sayTwice(`cancel ${id}`)).toBe(`${id} ${row.body}: cancelled`)
      expect(await sayTwice(`cancel ${id}`)).toBe(`✗ ${id} is cancelled: there is nothing to cancel`)
      expect(store.command.get(row.actor)?.reason).toBe("cancelled by its operator")
    }
    expect(store.attempt.allOpen()).toEqual([])
  })

  it("about the only one mean the same one when they are done again, whatever has come meanwhile", async () => {
    const meant = await receive("meant")
    const verb = await receive("cancel")
    const said = await perform(verb)
    const later = await receive("came later")
    expect(await perform(verb)).toBe(said)
    expect([stateOf(meant), stateOf(later)]).toEqual(["cancelled", "acknowledged"])
  })

  it("retry queues what was interrupted; a bare one means that, not what runs", async () => {
    await begin(await receive("runs"))
    const held = await interrupt(await receive("held"))
    expect(await sayTwice("retry")).toMatch(/held: acknowledged$/)
    expect(stateOf(held)).toBe("acknowledged")
    expect(await say("retry")).toBe("✗ there is nothing that it could be about")
    expect(await say("retry 00000001")).toBe("✗ 00000001 is working: there is nothing to retry")
  })
})

describe("approve and deny", () => {
  it("move what waits for a person's word, and nothing else", async () => {
    const other = await receive("waits for its turn")
    const asked = await receive("delete everything", { approval: "aa" })
    expect(stateOf(asked)).toBe("awaiting-approval")
    expect(await sayTwice("approve")).toBe(`${asked.id.slice(0, 8)} delete everything: acknowledged`)
    expect(await say(`approve ${other.id.slice(0, 8)}`)).toBe("✗ 00000001 is acknowledged: there is nothing to approve")
  })

  it("deny ends it, with the reason", async () => {
    const asked = await receive("delete everything", { approval: "aa" })
    expect(await sayTwice("deny")).toBe("00000001 delete everything: cancelled")
    expect(store.command.get(asked.actor)?.reason).toBe("denied")
    expect(await say("approve 00000001")).toBe("✗ 00000001 is cancelled: there is nothing to approve")
  })

  it("with two pending list them", async () => {
    await receive("one", { approval: "aa" })
    await receive("two", { approval: "bb" })
    expect(await say("approve")).toBe("✗ which one?\n00000001 one\n00000002 two")
  })
})

describe("pause, resume and stop", () => {
  it("pause and resume are kept, of this wizard alone, and may be said twice", async () => {
    await receive("waits")
    expect(await sayTwice("pause")).toBe("paused: nothing new is begun until resume")
    expect([isPaused(store, "timmy"), isPaused(store, "kimi")]).toEqual([true, false])
    expect(await say("pause")).toBe("paused: nothing new is begun until resume")
    expect(await sayTwice("resume")).toBe("resumed, 1 waiting")
    expect(isPaused(store, "timmy")).toBe(false)
  })

  it("stop ends what runs as cancelled (stopped), keeps what waits, and pauses", async () => {
    const running = [await begin(await receive("a")), await begin(await receive("b"))]
    const waiting = await receive("c")
    const elsewhere = await begin(await receive("d", { wizard: "kimi" }))
    const verb = await receive("stop")
    expect(await perform(verb)).toBe("stopped 2 and paused; what waits stays (resume)")
    expect([...running, waiting, elsewhere].map(stateOf)).toEqual(["cancelled", "cancelled", "acknowledged", "working"])
    expect(running.map((row) => store.command.get(row.actor)?.reason)).toEqual(["stopped", "stopped"])
    await perform(verb)
    expect(stateOf(waiting)).toBe("acknowledged")
  })

  it("stop has paused before the first attempt ends, so that nothing begins in the room that it makes", async () => {
    await begin(await receive("runs"))
    await receive("waits")
    const paused: boolean[] = []
    engine.watch(({ steps }) => {
      if (steps.some(({ after }) => after === "cancelled")) paused.push(isPaused(store, "timmy"))
    })
    await perform(await receive("stop"))
    expect(paused).toEqual([true])
  })
})
