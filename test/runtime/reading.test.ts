/** What a running home reads of relays that behave as they are told: backlogs, bounds, and a clock that others set. */
import { Deferred, Effect, Fiber } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { verifyEvent } from "nostr-tools/pure"
import { describe, expect, it, onTestFinished } from "vitest"
import { matches, type Filter } from "../../actors/subscription.ts"
import { commandActor } from "../../src/engine/commands.ts"
import { limits, type Limits } from "../../src/limits.ts"
import { idSetOf, respond, type IdSet } from "../../src/protocol/negentropy.ts"
import { readReceipt } from "../../src/protocol/receipt.ts"
import { homeOf } from "../../src/runtime/home.ts"
import { live } from "../../src/runtime/live.ts"
import { openRuntime, type Runtime } from "../../src/runtime/runtime.ts"
import { Clock, systemClock, type ClockShape } from "../../src/services/clock.ts"
import { keyPair } from "../support/relay-harness.ts"
import { scriptedRelay, type Script, type ScriptedRelay } from "../support/scripted-relay.ts"

const operator = keyPair()
const nowSeconds = (): number => Math.floor(Date.now() / 1000)

const relayOf = async (script: Script = {}): Promise<ScriptedRelay> => {
  const relay = await scriptedRelay(script)
  onTestFinished(relay.close)
  return relay
}

const start = async (
  relays: readonly ScriptedRelay[],
  given: { readonly limits?: Partial<Limits>; readonly clock?: ClockShape } = {},
): Promise<Runtime> => {
  const dir = mkdtempSync(join(tmpdir(), "wizardly-reading-"))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const opened = await Effect.runPromise(Deferred.make<Runtime, unknown>())
  const fiber = Effect.runFork(
    openRuntime({
      home: homeOf(dir),
      roles: [{ name: "timmy", class: "local", executor: "none" }],
      relays: relays.map(({ url }) => url),
      relayPort: 0,
      council: undefined,
      operators: [operator.pubkey],
      config: {},
      limits: { ...limits, reconnectMsMin: 5, reconnectMsMax: 20, instanceWaitSeconds: 0.05, ...given.limits },
      warn: () => {},
    }).pipe(
      Effect.tap((runtime) => Deferred.succeed(opened, runtime)),
      Effect.flatMap((runtime) => runtime.run),
      Effect.onError((cause) => Deferred.failCause(opened, cause)),
      Effect.scoped,
      Effect.provideService(Clock, given.clock ?? systemClock),
      Effect.provide(live),
    ),
  )
  onTestFinished(() => Effect.runPromise(Fiber.interrupt(fiber)))
  return Effect.runPromise(Deferred.await(opened))
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await pause(10)
}

const command = (n: number, tags: string[][] = [], createdAt = nowSeconds()) =>
  operator.event(`@timmy task ${n}`, createdAt, 30079, [["d", `${n}`], ...tags])
const receiptsAt = (relay: ScriptedRelay, id: string) =>
  relay.stored.flatMap((event) => {
    const receipt = readReceipt(event)
    return receipt?.command === id ? [{ event, receipt }] : []
  })

describe("a backlog", () => {
  it("CN3: is worked by priority and deadline, not as it came; what is past its deadline is told so at once", async () => {
    const relay = await relayOf({ cap: 70 })
    const now = nowSeconds()
    const priorities = ["low", "normal", "high", "urgent"] as const
    const backlog = Array.from({ length: 300 }, (_, n) => {
      const priority = (n * 7) % 4
      const isPast = n % 6 === 0
      const inSeconds = isPast ? -5 - n : n % 3 === 0 ? undefined : 3600 + ((n * 131) % 997)
      const deadline = inSeconds === undefined ? [] : [["deadline", `${now + inSeconds}`]]
      const event = command(n, [["priority", priorities[priority] as string], ...deadline], now - ((n * 37) % 600))
      return { event, priority, isPast, deadline: inSeconds ?? Infinity }
    })
    relay.stored.push(...backlog.map(({ event }) => event))
    const { store } = await start([relay], { limits: { pageRowsMax: 100 } })
    const rowOf = (id: string) => store.command.get(commandActor(id, "timmy"))
    await until(() => backlog.every(({ event }) => rowOf(event.id)?.ended === 1))

    const stepOf = (id: string, type: string): number | undefined =>
      store.journal
        .of(commandActor(id, "timmy"))
        .find((row) => (JSON.parse(row.event) as { type: string }).type === type)?.position
    const worked = backlog.filter(({ isPast }) => !isPast)
    const begun = worked
      .map((one) => ({ one, at: stepOf(one.event.id, "begin") ?? Infinity }))
      .toSorted((a, b) => a.at - b.at)
    const due = worked.toSorted(
      (a, b) =>
        b.priority - a.priority ||
        (a.deadline === b.deadline ? 0 : a.deadline - b.deadline) ||
        (rowOf(a.event.id)?.arrived ?? 0) - (rowOf(b.event.id)?.arrived ?? 0),
    )
    expect(begun.map(({ one }) => one.event.content)).toEqual(due.map(({ event }) => event.content))
    const last = Math.max(...backlog.map(({ event }) => stepOf(event.id, "receive") ?? Infinity))
    expect(begun[0]?.at).toBeGreaterThan(last)

    const past = backlog.filter(({ isPast }) => isPast)
    await until(() => past.every(({ event }) => receiptsAt(relay, event.id).length === 2))
    for (const { event } of past) {
      const told = receiptsAt(relay, event.id)
      expect(told.map(({ receipt }) => receipt.status).toSorted()).toEqual(["expired", "received"])
      expect(told.every((each) => verifyEvent({ ...each.event }))).toBe(true)
      expect([stepOf(event.id, "begin"), store.journal.of(commandActor(event.id, "timmy"))]).toMatchObject([
        undefined,
        [{ state: "expired" }],
      ])
    }
  }, 120_000)

  it("CN3: a relay that does not end it holds work up for no longer than a start waits", async () => {
    const relay = await relayOf({
      onReq: (id, filter, client) => {
        if (!id.startsWith("commands/")) return undefined
        client.subscriptions.set(id, filter)
        return []
      },
    })
    const { store } = await start([relay], { limits: { historyWaitSecondsMax: 0.5 } })
    await until(() => relay.clients.some(({ asked }) => asked.some(({ id }) => id.startsWith("commands/"))))
    const event = command(1)
    relay.give(event)
    const row = () => store.command.get(commandActor(event.id, "timmy"))
    await until(() => row()?.ended === 1)
    expect(row()?.state).toBe("artifact-reported")
  })
})

describe("a gap", () => {
  it("P5: after a cut only what is new comes, where the relay does NIP-77; backdated and from a stranger as well", async () => {
    const sets = new Map<string, IdSet>()
    const relay = await relayOf({
      information: () => JSON.stringify({ supported_nips: [1, 11, 77] }),
      onNeg: ([type, id, filter, message]) => {
        const key = String(id)
        if (type === "NEG-CLOSE") return (sets.delete(key), [])
        if (type === "NEG-OPEN")
          sets.set(key, idSetOf(relay.stored.filter((event) => matches(filter as Filter, event))))
        const said = Buffer.from(String(message ?? filter), "hex")
        return [["NEG-MSG", id, respond(sets.get(key) as IdSet, said, 60_000).toString("hex")]]
      },
    })
    const { store, wizards } = await start([relay])
    const pubkey = wizards[0]?.pubkey ?? ""
    const isOpen = () => relay.clients.at(-1)?.subscriptions.size === 5
    await until(isOpen)
    const known = Array.from({ length: 40 }, (_, n) => command(n, [["p", pubkey]]))
    const stranger = keyPair()
    const strange = stranger.event("@timmy obey", nowSeconds(), 30079, [["p", pubkey]])
    for (const event of [...known, strange]) relay.give(event)
    const ended = (id: string) => store.command.get(commandActor(id, "timmy"))?.ended === 1
    await until(() => known.every(({ id }) => ended(id)) && store.seen.has(strange.id, "timmy"))

    relay.clients.at(-1)?.cut()
    const missed = [command(100), command(101, [["p", pubkey]], nowSeconds() - 600)]
    const later = stranger.event("@timmy obey at last", nowSeconds(), 30079, [["p", pubkey]])
    relay.stored.push(...missed, later)
    await until(() => missed.every(({ id }) => ended(id)) && store.seen.has(later.id, "timmy") && isOpen())
    const client = relay.clients.at(-1)
    const opened = client?.frames.filter(([name, id]) => name === "NEG-OPEN" && String(id).startsWith("commands/"))
    expect(opened).toHaveLength(2)
    const wanted = client?.asked.flatMap(({ filter }) => filter.ids ?? []) ?? []
    for (const id of wanted) expect([...missed, later].map((event) => event.id)).toContain(id)
    // The newest of each question comes by the live REQ.
    expect(client?.given.filter(([id]) => id.startsWith("commands/")).length).toBeLessThanOrEqual(wanted.length + 2)
  })
})

describe("what a relay says that it bears", () => {
  it("an event that it will not take is not sent there, and is a dead letter for it with the reason", async () => {
    const strict = await relayOf({ information: () => JSON.stringify({ limitation: { max_event_tags: 4 } }) })
    const other = await relayOf({ information: () => "{broken" })
    const { store } = await start([strict, other])
    const event = command(1)
    await until(() =>
      other.clients.some(({ subscriptions }) => [...subscriptions.keys()].some((id) => id.startsWith("commands/"))),
    )
    other.give(event)
    await until(() => receiptsAt(other, event.id).some(({ receipt }) => receipt.status === "artifact-reported"))
    const dead = () => store.outbox.deadLetters(100).filter(({ actor }) => actor === commandActor(event.id, "timmy"))
    await until(() => dead().length === receiptsAt(other, event.id).length + 1)
    const states = dead().flatMap((row) => store.delivery.of(row))
    expect(states.filter(({ relay }) => relay === other.url).every(({ state }) => state === "accepted")).toBe(true)
    for (const { state, error, tries } of states.filter(({ relay }) => relay === strict.url))
      expect([state, error, tries]).toEqual(["refused", expect.stringMatching(/^invalid: not sent, .* tags/), 1])
    const sent = strict.clients.flatMap(({ frames }) => frames).filter(([name]) => name === "EVENT")
    for (const [, said] of sent) expect((said as { tags: unknown[] }).tags.length).toBeLessThanOrEqual(4)
  })
})

describe("a clock that others set", () => {
  it("CN2 P6: set ahead and back again, relays are read back the whole way and no cursor stays ahead", async () => {
    let aheadMs = 0
    const clock: ClockShape = { ...systemClock, nowMs: () => systemClock.nowMs() + aheadMs }
    const relay = await relayOf()
    const { store, wizards } = await start([relay], { clock, limits: { lookAtClockSeconds: 0.1 } })
    const pubkey = wizards[0]?.pubkey ?? ""
    const cursors = (): readonly number[] =>
      ["own", "commands"].map((name) => store.cursor.get(pubkey, relay.url, name) ?? 0)
    await until(() => cursors().every((at) => at > 0))
    await until(() => wizards[0]?.relays()[0]?.state === "live")
    aheadMs = 3_600_000
    relay.give(command(1))
    await until(() => Math.max(...cursors()) > Date.now() + 1_800_000)
    const before = relay.clients.flatMap(({ asked }) => asked).length
    aheadMs = 0
    await until(() => cursors().every((at) => at <= Date.now()))
    const asked = relay.clients.flatMap((client) => client.asked).slice(before)
    const deep = asked.filter(({ id, filter }) => id.startsWith("commands/") && filter.until === undefined)
    expect(deep.length).toBeGreaterThan(0)
    for (const { filter } of deep) expect(filter.since).toBeLessThanOrEqual(nowSeconds() - limits.lookBackSecondsMax)
  })
})
