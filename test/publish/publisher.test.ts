import * as fc from "fast-check"
import { join } from "node:path"
import { beforeEach, describe, expect, it, onTestFinished } from "vitest"
import type { Signer } from "../../src/identity/signer.ts"
import { limits as defaults, type Limits } from "../../src/limits.ts"
import { withId, type NostrEvent } from "../../src/protocol/event.ts"
import type { Outgoing } from "../../src/engine/commands.ts"
import { openPublisher, type Answer, type Outlet } from "../../src/publish/publisher.ts"
import { virtualClock } from "../../src/services/clock.ts"
import { openStore, outboxStart, type OutboxRow } from "../../src/store/store.ts"
import { counter } from "../engine/counter.ts"
import { diskError, openHost, temporaryFolder, type Disk } from "../support/engine.ts"

const pubkey = "1".repeat(64)
/** Causes are not repeated by a second life. */
let serial = 0
beforeEach(() => {
  serial = 0
})
const accepted: Answer = { accepted: true, message: "" }
const refused = (message: string): Answer => ({ accepted: false, message })
const lost = (): Promise<Answer> => Promise.reject(new Error("not connected"))

/** Signs differently each time, as Schnorr does: a second signature would be seen. */
const countingSigner = () => {
  let made = 0
  const signer: Signer = {
    pubkey,
    sign: async (events) => events.map((event) => ({ ...event, sig: String((made += 1)).padStart(128, "0") })),
  }
  return { signer, made: () => made }
}

/** A relay that answers as its script says; accepts where it has none. */
const outletTo = (
  relay: string,
  script: (event: NostrEvent, nth: number) => Answer | Promise<Answer> = () => accepted,
) => {
  const sent: NostrEvent[] = []
  const taken: NostrEvent[] = []
  let [now, most] = [0, 0]
  const outlet: Outlet = {
    relay,
    publish: async (event) => {
      sent.push(event)
      most = Math.max(most, (now += 1))
      try {
        const answer = await script(event, sent.filter(({ id }) => id === event.id).length)
        if (answer.accepted) taken.push(event)
        return answer
      } finally {
        now -= 1
      }
    },
  }
  return { outlet, sent, taken, most: () => most }
}

const open = (
  options: {
    readonly file?: string
    readonly limits?: Partial<Limits>
    readonly relays?: readonly string[]
    readonly disk?: Disk
    readonly signer?: Signer
  } = {},
) => {
  const file = options.file ?? join(temporaryFolder(), "runtime.db")
  const clock = virtualClock()
  const limits = { ...defaults, reconnectMsMin: 100, reconnectMsMax: 400, okMsMax: 1_000, ...options.limits }
  const warnings: string[] = []
  const host = openHost({
    file,
    kinds: { counter },
    clock,
    ...(options.disk !== undefined && { disk: options.disk }),
    projections: {
      counter: {
        project: ({ actor, event, owe }) => {
          if (event.type !== "add") return
          const note = (content: string): void => {
            const template = { kind: 1, created_at: 1, tags: [], content: `${actor} ${event["by"]}${content}` }
            const outgoing = withId((event["key"] as string | undefined) ?? pubkey, template)
            owe("publish", outgoing, { owner: "timmy", eventId: outgoing.id })
          }
          for (let n = 0; n < ((event["notes"] as number | undefined) ?? 1); n++) note(n === 0 ? "" : `.${n}`)
        },
      },
    },
  })
  const publisher = openPublisher({
    engine: host.engine,
    store: host.store,
    clock,
    limits,
    warn: (message) => void warnings.push(message),
  })
  onTestFinished(publisher.close)
  const { signer, made } = countingSigner()
  publisher.open("timmy", options.signer ?? signer, options.relays ?? ["wss://a"])
  return {
    ...host,
    file,
    clock,
    publisher,
    warnings,
    signed: made,
    /** Owes one event of each of these actors, in that order, in one transaction. */
    owe: (...actors: readonly string[]) =>
      host.engine.deliver(
        actors.flatMap((name) => [
          { actor: `counter/${name}`, cause: "made", event: { type: "receive", input: { from: -1_000_000 } } },
          { actor: `counter/${name}`, cause: `add ${++serial}`, event: { type: "add", by: serial } },
        ]),
      ),
    /** Lets everything happen that happens without the clock. */
    quiet: async () => {
      for (let n = 0; n < 12; n++) {
        await host.engine.write(() => undefined).catch(() => undefined)
        await new Promise<void>((resolve) => setImmediate(resolve))
      }
    },
    states: () => ["a", "b", "c"].flatMap((name) => host.store.outbox.of(`counter/${name}`).map(({ state }) => state)),
  }
}

const contents = (events: readonly NostrEvent[]): readonly string[] => events.map(({ content }) => content)

describe("publisher", () => {
  it("U1: an event is signed once, is owed in the database before it is sent, and every relay gets the same", async () => {
    const held = open({ relays: ["wss://a", "wss://b"] })
    const reader = openStore(held.file, { readonly: true })
    onTestFinished(() => reader.database.close())
    const stored: unknown[] = []
    const one = outletTo("wss://a", ({ id }) => {
      const row = reader.outbox.of("counter/a").find(({ event_id }) => event_id === id)
      stored.push(JSON.parse(row?.payload ?? "null"))
      return accepted
    })
    const two = outletTo("wss://b", (_event, nth) => (nth < 3 ? refused("rate-limited: slowly") : accepted))
    held.publisher.attach("timmy", one.outlet)
    held.publisher.attach("timmy", two.outlet)
    await held.owe("a")
    for (const ms of [0, 100, 200]) {
      held.clock.advance(ms)
      await held.quiet()
    }
    expect(one.sent.length).toBe(1)
    const signatures = held.store.outbox.of("counter/a").map(({ sig }) => sig)
    expect(stored.map((event, n) => ({ ...(event as Outgoing), sig: signatures[n] }))).toEqual(one.sent)
    expect(two.sent).toEqual([one.sent[0], one.sent[0], one.sent[0]])
    expect([held.signed(), held.states()]).toEqual([1, ["done"]])
  })

  it("U1: nothing is sent before the disk has what owes it", async () => {
    const waiting: (() => void)[] = []
    let holds = false
    const beforeSync = (): Promise<void> | undefined =>
      holds ? new Promise<void>((resolve) => waiting.push(resolve)) : undefined
    const held = open({ disk: { beforeSync } })
    const relay = outletTo("wss://a")
    held.publisher.attach("timmy", relay.outlet)
    await held.quiet()
    holds = true
    const owed = held.owe("a")
    for (let n = 0; n < 20; n++) await new Promise<void>((resolve) => setImmediate(resolve))
    expect([waiting.length, held.states(), held.signed(), relay.sent]).toEqual([1, ["pending"], 0, []])
    holds = false
    for (const release of waiting) release()
    await owed
    await held.quiet()
    expect(relay.taken.length).toBe(1)
  })

  it("U1: after a restart in the middle the same events go out, and what was done does not", async () => {
    const first = open()
    const before = outletTo("wss://a", ({ content }) => (content.startsWith("counter/a") ? accepted : lost()))
    first.publisher.attach("timmy", before.outlet)
    await first.owe("a", "b", "c")
    await first.quiet()
    expect(first.states()).toEqual(["done", "pending", "pending"])
    first.publisher.close()
    await first.close()
    const second = open({ file: first.file })
    const after = outletTo("wss://a")
    second.publisher.attach("timmy", after.outlet)
    await second.quiet()
    expect(after.sent).toEqual(before.sent.slice(1))
    expect([second.signed(), second.states()]).toEqual([0, ["done", "done", "done"]])
  })

  it("U1: a signer that refuses for a while loses nothing, and it is said", async () => {
    const { signer } = countingSigner()
    let refuses = true
    const held = open({
      signer: { pubkey, sign: (events) => (refuses ? Promise.reject(new Error("locked")) : signer.sign(events)) },
    })
    const relay = outletTo("wss://a")
    held.publisher.attach("timmy", relay.outlet)
    await held.owe("a", "b")
    await held.quiet()
    expect([relay.sent, held.warnings]).toEqual([[], [expect.stringContaining("locked")]])
    refuses = false
    held.clock.advance(100)
    await held.quiet()
    expect(contents(relay.taken)).toEqual(["counter/a 1", "counter/b 2"])
  })

  it("U1: a signer that goes on refusing is asked ever more seldom", async () => {
    let asked = 0
    const refuses = async (): Promise<never> => {
      asked += 1
      throw new Error("locked")
    }
    const held = open({ signer: { pubkey, sign: refuses } })
    await held.owe("a")
    const askedAfter: number[] = []
    for (const ms of [0, 100, 199, 1, 399, 1, 399, 1]) {
      held.clock.advance(ms)
      await held.quiet()
      askedAfter.push(asked)
    }
    expect(askedAfter).toEqual([1, 2, 2, 3, 3, 4, 4, 5])
  })

  it("U1: more than is held in memory while the signer is slow is signed from the store, each once", async () => {
    const { signer, made } = countingSigner()
    const ready = Promise.withResolvers<void>()
    const held = open({ signer: { pubkey, sign: (events) => ready.promise.then(() => signer.sign(events)) } })
    const add = (actor: string, notes: number) => ({
      actor: `counter/${actor}`,
      cause: `add ${++serial}`,
      event: { type: "add", by: serial, notes },
    })
    await held.owe("a", "b")
    const [groups, notes] = [10, 450]
    for (let n = 0; n < groups; n++) await held.engine.deliver([add("a", notes), add("b", notes)])
    ready.resolve()
    await held.quiet()
    // And what comes after that is held in memory again.
    await held.engine.deliver([add("a", 3)])
    await held.quiet()
    const rows = held.store.outbox.pending("publish", "timmy", outboxStart, Number.MAX_SAFE_INTEGER)
    expect([rows.length, made()]).toEqual([2 + groups * 2 * notes + 3, 2 + groups * 2 * notes + 3])
    expect(rows.every(({ sig }) => sig !== null)).toBe(true)
  })

  it("U1 P28: whatever disk and signer refuse in between, what is owed goes out once and in its order, and nothing else", async () => {
    const step = fc.constantFrom("owe", "owe", "owe", "disk", "signer", "quiet")
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        let [diskRefuses, signerRefuses] = [0, 0]
        const { signer } = countingSigner()
        const held = open({
          disk: {
            inTransaction: () => {
              if (diskRefuses > 0 && diskRefuses--) throw diskError("SQLITE_FULL")
            },
          },
          signer: {
            pubkey,
            sign: async (events) => {
              if (signerRefuses > 0 && signerRefuses--) throw new Error("locked")
              return signer.sign(events)
            },
          },
        })
        const relay = outletTo("wss://a")
        held.publisher.attach("timmy", relay.outlet)
        const told: Promise<unknown>[] = []
        for (const does of steps) {
          if (does === "owe") told.push(held.owe("a", "b").catch(() => undefined))
          else if (does === "disk") diskRefuses = 2
          else if (does === "signer") signerRefuses = 1
          else await held.quiet()
        }
        await Promise.all(told)
        for (let n = 0; n < 10; n++) {
          held.clock.advance(1_000)
          await held.quiet()
        }
        const owed = ["a", "b"].map((name) => held.store.outbox.of(`counter/${name}`))
        const wanted = owed.map((rows) => rows.map(({ event_id }) => event_id))
        const taken = [...new Set(relay.taken.map(({ id }) => id))]
        expect(wanted.map((ids) => taken.filter((id) => ids.includes(id)))).toEqual(wanted)
        expect(taken).toHaveLength(wanted.flat().length)
        expect(new Set(relay.sent.map((event) => JSON.stringify(event))).size).toBe(taken.length)
        expect(owed.flat().every(({ state }) => state === "done")).toBe(true)
      }),
      { numRuns: 30 },
    )
  }, 60_000)

  it("U7: an event that bears another key is a dead letter that says so, and the others go out", async () => {
    const held = open()
    const relay = outletTo("wss://a")
    held.publisher.attach("timmy", relay.outlet)
    const other = "2".repeat(64)
    await held.engine.deliver([
      { actor: "counter/a", cause: "made", event: { type: "receive", input: { from: 0 } } },
      { actor: "counter/a", cause: "1", event: { type: "add", by: 1, key: other } },
      { actor: "counter/a", cause: "2", event: { type: "add", by: 2 } },
    ])
    await held.quiet()
    expect([held.states(), contents(relay.taken)]).toEqual([["dead", "done"], ["counter/a 2"]])
    expect(held.store.outbox.allDead()[0]?.error).toContain(`it bears the key ${other}`)
    expect(held.warnings).toEqual([expect.stringContaining("1 events bear another key")])
  })

  it.each(["blocked: no", "restricted: no", "ERROR: blocked: no"])(
    "U6: refused with %j an actor waits for the next beginning, others go on, and tries are bounded",
    async (message) => {
      const held = open({ limits: { deliveryTriesMax: 4, deliveriesInFlightMax: 2, suspendSeconds: 3600 } })
      const relay = outletTo("wss://a", ({ content }) => (content === "counter/a 1" ? refused(message) : accepted))
      held.publisher.attach("timmy", relay.outlet)
      await held.owe("a", "a", "b", "b", "c")
      await held.quiet()
      expect(contents(relay.sent)).toEqual(["counter/a 1", "counter/b 3", "counter/b 4", "counter/c 5"])
      const tries = (): number => contents(relay.sent).filter((content) => content === "counter/a 1").length
      held.clock.advance(3_599_999)
      await held.quiet()
      expect(tries()).toBe(1)
      held.clock.advance(1)
      await held.quiet()
      expect(tries()).toBe(2)
      held.publisher.reconnected("timmy", "wss://a")
      await held.quiet()
      expect([tries(), held.states()]).toEqual([3, ["pending", "pending", "done", "done", "done"]])
      held.publisher.reconnected("timmy", "wss://a")
      await held.quiet()
      expect([tries(), held.states()]).toEqual([4, ["dead", "done", "done", "done", "done"]])
    },
  )

  it.each(["invalid: no", "pow: 28", "ERROR: invalid: no"])(
    "U2: refused by all with %j it is a dead letter at once, with the reasons",
    async (message) => {
      const held = open({ relays: ["wss://a", "wss://b"] })
      const relays = ["wss://a", "wss://b"].map((url) => outletTo(url, () => refused(message)))
      for (const { outlet } of relays) held.publisher.attach("timmy", outlet)
      await held.owe("a")
      await held.quiet()
      expect(relays.map(({ sent }) => sent.length)).toEqual([1, 1])
      const [dead] = held.store.outbox.allDead()
      expect(dead?.error).toBe(`wss://a: ${message}; wss://b: ${message}`)
      expect(held.publisher.backlog("timmy")).toBe(0)
    },
  )

  it.each([
    "error: disk",
    "rate-limited: slowly",
    "auth-required: who",
    "ERROR: auth-required: who",
    "mute: what is this",
    "plain words",
    "",
  ])("U2: refused with %j it is sent again, with doubled waits, up to its bound", async (message) => {
    const held = open({ limits: { deliveryTriesMax: 4 } })
    const relay = outletTo("wss://a", () => refused(message))
    held.publisher.attach("timmy", relay.outlet)
    await held.owe("a")
    const sentAfter: number[] = []
    for (const ms of [0, 99, 1, 199, 1, 399, 1, 10_000]) {
      held.clock.advance(ms)
      await held.quiet()
      sentAfter.push(relay.sent.length)
    }
    expect(sentAfter).toEqual([1, 1, 2, 2, 3, 3, 4, 4])
    expect(held.states()).toEqual(["dead"])
    expect(held.store.delivery.of(held.store.outbox.allDead()[0] as OutboxRow)).toMatchObject([{ tries: 4 }])
  })

  it("U2: a relay that keeps silent about one event gets the others, and that one is a dead letter in the end", async () => {
    const late = (): Promise<Answer> => Promise.reject(Object.assign(new Error("no OK in time"), { late: true }))
    const held = open({ limits: { deliveryTriesMax: 3 } })
    const relay = outletTo("wss://a", ({ content }) => (content.startsWith("counter/a") ? late() : accepted))
    held.publisher.attach("timmy", relay.outlet)
    await held.owe("a", "b", "c")
    for (const ms of [0, 100, 200]) {
      held.clock.advance(ms)
      await held.quiet()
    }
    expect(held.states()).toEqual(["dead", "done", "done"])
  })

  it("U2: taken by one and refused by the other it is done; a relay that was never reached keeps it", async () => {
    const held = open({ relays: ["wss://a", "wss://b", "wss://c"] })
    held.publisher.attach("timmy", outletTo("wss://a").outlet)
    held.publisher.attach("timmy", outletTo("wss://b", () => refused("invalid: no")).outlet)
    await held.owe("a")
    await held.quiet()
    expect([held.states(), held.publisher.backlog("timmy")]).toEqual([["pending"], 1])
    const third = outletTo("wss://c")
    const detach = held.publisher.attach("timmy", third.outlet)
    await held.quiet()
    expect([held.states(), third.taken.length]).toEqual([["done"], 1])
    detach()
  })

  it("U2: what waits only for a relay that is no longer ours is settled, now and after a restart", async () => {
    const held = open({ relays: ["wss://a", "wss://b"] })
    held.publisher.attach("timmy", outletTo("wss://a").outlet)
    const detach = held.publisher.attach("timmy", outletTo("wss://b", lost).outlet)
    await held.owe("a")
    await held.quiet()
    expect(held.states()).toEqual(["pending"])
    detach()
    await held.quiet()
    expect(held.states()).toEqual(["done"])

    const before = open({ relays: ["wss://a", "wss://b"] })
    before.publisher.attach("timmy", outletTo("wss://a").outlet)
    await before.owe("a")
    await before.quiet()
    before.publisher.close()
    await before.close()
    const after = open({ file: before.file, relays: ["wss://a"] })
    const again = outletTo("wss://a")
    after.publisher.attach("timmy", again.outlet)
    await after.quiet()
    expect([after.states(), again.sent]).toEqual([["done"], []])
  })

  it("U3: what one step owes goes out in its order, more than ten of them too", async () => {
    const held = open()
    const relay = outletTo("wss://a")
    held.publisher.attach("timmy", relay.outlet)
    await held.engine.deliver([
      { actor: "counter/a", cause: "made", event: { type: "receive", input: { from: 0 } } },
      { actor: "counter/a", cause: "1", event: { type: "add", by: 1, notes: 12 } },
    ])
    await held.quiet()
    const wanted = Array.from({ length: 12 }, (_unused, n) => `counter/a 1${n === 0 ? "" : `.${n}`}`)
    expect(contents(relay.taken)).toEqual(wanted)
  })

  it("U3: the next of an actor is not offered before the one before has its answer; other actors go on", async () => {
    const held = open()
    const answers: (() => void)[] = []
    const relay = outletTo("wss://a", ({ content }) =>
      content.startsWith("counter/a")
        ? new Promise<Answer>((resolve) => answers.push(() => resolve(accepted)))
        : accepted,
    )
    held.publisher.attach("timmy", relay.outlet)
    await held.owe("a", "a", "b", "b")
    await held.quiet()
    expect(contents(relay.sent)).toEqual(["counter/a 1", "counter/b 3", "counter/b 4"])
    answers.shift()?.()
    await held.quiet()
    expect(contents(relay.sent).at(-1)).toBe("counter/a 2")
  })

  it("U3 U4: an answer that comes after the lane began again does not let the next one overtake", async () => {
    const held = open()
    const answers: (() => void)[] = []
    const relay = outletTo("wss://a", () => new Promise<Answer>((resolve) => answers.push(() => resolve(accepted))))
    held.publisher.attach("timmy", relay.outlet)
    await held.owe("a", "a", "a")
    await held.quiet()
    held.publisher.reconnected("timmy", "wss://a")
    await held.quiet()
    for (const answer of answers.splice(0)) answer()
    await held.quiet()
    expect(contents(relay.sent)).toEqual(["counter/a 1", "counter/a 1", "counter/a 2"])
  })

  it("U4: a relay that is away loses nothing; it begins again at the oldest when it is back", async () => {
    let isThere = false
    const held = open({ relays: ["wss://a", "wss://b"] })
    const away = outletTo("wss://a", () => (isThere ? accepted : lost()))
    const other = outletTo("wss://b")
    for (const { outlet } of [away, other]) held.publisher.attach("timmy", outlet)
    await held.owe("a", "b", "a")
    await held.quiet()
    expect([away.taken.length, contents(other.taken)]).toEqual([0, ["counter/a 1", "counter/b 2", "counter/a 3"]])
    expect(held.publisher.backlog("timmy")).toBe(3)
    isThere = true
    held.publisher.reconnected("timmy", "wss://a")
    await held.quiet()
    expect(contents(away.taken)).toEqual(["counter/a 1", "counter/b 2", "counter/a 3"])
    expect([held.publisher.backlog("timmy"), other.sent.length]).toEqual([0, 3])
  })

  it("U4: a relay that is back is offered what it has not answered, and nothing is written for the rest", async () => {
    let written = 0
    const held = open({ relays: ["wss://a", "wss://b"], disk: { inTransaction: () => void (written += 1) } })
    const here = outletTo("wss://a", ({ content }) => (content === "counter/a 1" ? refused("blocked: no") : accepted))
    held.publisher.attach("timmy", here.outlet)
    held.publisher.attach("timmy", outletTo("wss://b", lost).outlet)
    await held.owe("a", "a", "b", "b", "c")
    await held.quiet()
    expect([here.taken.length, held.publisher.backlog("timmy")]).toEqual([3, 5])
    written = 0
    here.sent.length = 0
    held.publisher.reconnected("timmy", "wss://a")
    for (let n = 0; n < 20; n++) await new Promise<void>((resolve) => setImmediate(resolve))
    expect([written, contents(here.sent)]).toEqual([0, ["counter/a 1"]])
    await held.owe("c")
    await held.quiet()
    expect(contents(here.sent)).toEqual(["counter/a 1", "counter/c 6"])
  })

  it("U4: days of being away cost no tries", async () => {
    let isThere = false
    const held = open({ limits: { deliveryTriesMax: 2 } })
    const relay = outletTo("wss://a", () => (isThere ? accepted : lost()))
    held.publisher.attach("timmy", relay.outlet)
    await held.owe("a")
    for (let n = 0; n < 10; n++) {
      held.clock.advance(1_000)
      await held.quiet()
    }
    expect(held.states()).toEqual(["pending"])
    isThere = true
    held.clock.advance(1_000)
    await held.quiet()
    expect(held.states()).toEqual(["done"])
  })

  it("U4: an answer that could not be stored is asked for again", async () => {
    let isFull = false
    const held = open({
      disk: {
        inTransaction: () => {
          if (isFull) throw diskError("SQLITE_FULL")
        },
      },
    })
    const relay = outletTo("wss://a", (_event, nth) => {
      isFull = nth === 1
      return nth === 1 ? accepted : { accepted: true, message: "duplicate: have it" }
    })
    held.publisher.attach("timmy", relay.outlet)
    await held.owe("a")
    await held.quiet()
    expect(held.states()).toEqual(["pending"])
    expect(held.warnings).toContainEqual(expect.stringContaining("an answer could not be stored"))
    isFull = false
    held.clock.advance(100)
    await held.quiet()
    expect(held.states()).toEqual(["done"])
    expect(relay.sent[1]).toEqual(relay.sent[0])
  })

  it("U5: no more than its bound is under way to a relay, and all of a long backlog goes out", async () => {
    const held = open({ limits: { deliveriesInFlightMax: 8 } })
    const relay = outletTo("wss://a", () => new Promise((resolve) => setImmediate(() => resolve(accepted))))
    const names = Array.from({ length: 600 }, (_unused, n) => String(n))
    await held.owe(...names)
    held.publisher.attach("timmy", relay.outlet)
    for (let n = 0; n < 200 && held.publisher.backlog("timmy") > 0; n++) await held.quiet()
    expect(relay.most()).toBe(8)
    expect([relay.taken.length, held.publisher.backlog("timmy")]).toEqual([600, 0])
  })

  it.each([1, 2])(
    "U11: a dead letter that is sent again is the same event, to those that refused it, at its place (%s relays refuse)",
    async (refusing) => {
      const held = open({ relays: ["wss://a", "wss://b"], limits: { deliveriesInFlightMax: 2 } })
      let refuses = true
      const scripts = ["wss://a", "wss://b"].map((url, n) =>
        outletTo(url, ({ content }) =>
          refuses && n < refusing && content.startsWith("counter/b") ? refused("invalid: no") : accepted,
        ),
      )
      for (const { outlet } of scripts) held.publisher.attach("timmy", outlet)
      await held.owe("a", "b", "b", "c", "a")
      await held.quiet()
      const dead = held.store.outbox.deadPlaces()
      expect(dead.map(({ effect }) => effect)).toEqual(["counter/b/2/0", "counter/b/3/0"])
      expect(held.publisher.backlog("timmy")).toBe(0)
      refuses = false
      const before = scripts.map(({ sent }) => sent.splice(0))
      await held.publisher.resend(dead)
      await held.quiet()
      for (const [n, { sent }] of scripts.entries())
        expect(sent).toEqual(n < refusing ? before[n]?.filter(({ content }) => content.startsWith("counter/b")) : [])
      expect([held.store.outbox.deadPlaces(), held.publisher.backlog("timmy"), held.signed()]).toEqual([[], 0, 5])
      await held.owe("b")
      await held.quiet()
      expect(scripts.map(({ sent }) => sent.at(-1)?.content)).toEqual(["counter/b 6", "counter/b 6"])
    },
  )

  it("U11: goes out after a restart too, where nothing else is owed", async () => {
    const before = open()
    before.publisher.attach("timmy", outletTo("wss://a", () => refused("invalid: no")).outlet)
    await before.owe("a", "b")
    await before.quiet()
    before.publisher.close()
    await before.close()
    const after = open({ file: before.file })
    const relay = outletTo("wss://a")
    after.publisher.attach("timmy", relay.outlet)
    await after.quiet()
    await after.publisher.resend(after.store.outbox.deadPlaces())
    await after.quiet()
    expect([contents(relay.taken), after.signed()]).toEqual([["counter/a 1", "counter/b 2"], 0])
  })

  it("U11: what is refused once more is a dead letter once more, and what is dropped is none any more", async () => {
    const held = open({ limits: { deliveryTriesMax: 2 } })
    const relay = outletTo("wss://a", () => refused("error: no"))
    held.publisher.attach("timmy", relay.outlet)
    await held.owe("a", "b")
    const pass = async (): Promise<void> => {
      for (const ms of [0, 100]) {
        held.clock.advance(ms)
        await held.quiet()
      }
    }
    await pass()
    const dead = held.store.outbox.deadPlaces()
    await held.publisher.resend(dead.slice(0, 1))
    await pass()
    expect(contents(relay.sent)).toEqual([
      "counter/a 1",
      "counter/b 2",
      "counter/a 1",
      "counter/b 2",
      "counter/a 1",
      "counter/a 1",
    ])
    expect([held.states(), held.store.outbox.deadPlaces()]).toEqual([["dead", "dead"], dead])
    await held.publisher.drop(dead)
    held.publisher.reconnected("timmy", "wss://a")
    await held.quiet()
    expect([held.states(), held.store.outbox.deadPlaces(), relay.sent.length]).toEqual([["done", "done"], [], 6])
  })

  it("U11: sent again while new events are being signed, none is lost and none overtakes", async () => {
    const held = open()
    const relay = outletTo("wss://a", (_event, nth) => (nth === 1 ? refused("invalid: no") : accepted))
    held.publisher.attach("timmy", relay.outlet)
    await held.owe("a", "b", "a")
    await held.quiet()
    const more = held.owe("a", "b", "c")
    await held.publisher.resend(held.store.outbox.deadPlaces())
    await more
    await held.quiet()
    await held.publisher.resend(held.store.outbox.deadPlaces())
    await held.quiet()
    expect(held.states().every((state) => state === "done")).toBe(true)
    const ofA = contents(relay.taken).filter((content) => content.startsWith("counter/a"))
    expect(ofA).toEqual(["counter/a 1", "counter/a 3", "counter/a 4"])
    expect([held.signed(), held.publisher.backlog("timmy")]).toEqual([6, 0])
  })

  it.each([
    "invalid: the event was made 900000 seconds ago",
    "blocked: created_at too old",
    "error: event too old",
    "invalid: created_at too early",
  ])(
    "U10: refused for its age with %j it is a dead letter for that relay at once, and never signed anew",
    async (message) => {
      const held = open({ relays: ["wss://a", "wss://b"] })
      const strict = outletTo("wss://a", ({ content }) => (content === "counter/a 1" ? refused(message) : accepted))
      const other = outletTo("wss://b")
      for (const { outlet } of [strict, other]) held.publisher.attach("timmy", outlet)
      await held.owe("a", "a")
      await held.quiet()
      expect([contents(strict.sent), held.signed(), held.states()]).toEqual([
        ["counter/a 1", "counter/a 2"],
        2,
        ["done", "done"],
      ])
      expect(held.store.outbox.deadPlaces().map(({ effect }) => effect)).toEqual(["counter/a/2/0"])
    },
  )

  it("U9: a relay that limits the rate is left alone as a whole, then gets fewer, and loses nothing", async () => {
    const held = open({ limits: { deliveriesInFlightMax: 16, reconnectMsMax: 1_000 } })
    // Takes eight in 100 ms.
    let room = 8
    const relay = outletTo("wss://a", async () => {
      await new Promise<void>((resolve) => setImmediate(resolve))
      return room-- > 0 ? accepted : refused("rate-limited: slowly")
    })
    const names = Array.from({ length: 100 }, (_unused, n) => String(n))
    await held.owe(...names)
    held.publisher.attach("timmy", relay.outlet)
    await held.quiet()
    const first = relay.sent.length
    expect(first).toBeLessThanOrEqual(8 + 16)
    held.clock.advance(99)
    await held.quiet()
    expect(relay.sent.length).toBe(first)
    for (let n = 0; n < 200 && held.publisher.backlog("timmy") > 0; n++) {
      room = 8
      held.clock.advance(100)
      await held.quiet()
    }
    expect([relay.taken.length, held.store.outbox.allDead(), held.publisher.backlog("timmy")]).toEqual([100, [], 0])
    // Each event that is refused in vain costs the relay: about as many as its answers allow, not sixteen for each eight.
    expect(relay.sent.length).toBeLessThan(100 * 1.5)
  })

  it("nobody's outbox takes no outlet", () => {
    const held = open()
    expect(() => held.publisher.attach("nobody", outletTo("wss://a").outlet)).toThrow("nobody")
  })

  it("U1 U2 U3 U4: whatever two relays answer, each takes each event once, in the order of its actor", async () => {
    const answer = fc.constantFrom("take", "take", "take", "rate-limited: slowly", "error: x", "lost")
    const scripts = fc.array(fc.array(answer, { maxLength: 4 }), { minLength: 2, maxLength: 2 })
    const actors = fc.array(fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 4 }), {
      minLength: 1,
      maxLength: 4,
    })
    await fc.assert(
      fc.asyncProperty(actors, scripts, fc.nat({ max: 3 }), async (groups, lists, restartAfter) => {
        let held = open({ relays: ["wss://a", "wss://b"], limits: { deliveriesInFlightMax: 3 } })
        const relays = lists.map((list, which) => {
          let at = 0
          return outletTo(`wss://${"ab"[which]}`, () => {
            const next = list[at++] ?? "take"
            if (next === "lost") return lost()
            return next === "take" ? accepted : refused(next)
          })
        })
        const attach = (): void => relays.forEach(({ outlet }) => held.publisher.attach("timmy", outlet))
        attach()
        for (const [n, group] of groups.entries()) {
          await held.owe(...group)
          if (n !== restartAfter) continue
          held.publisher.close()
          await held.close()
          held = open({ file: held.file, relays: ["wss://a", "wss://b"], limits: { deliveriesInFlightMax: 3 } })
          attach()
        }
        for (let n = 0; n < 40 && held.publisher.backlog("timmy") > 0; n++) {
          held.clock.advance(1_000)
          await held.quiet()
        }
        expect(held.publisher.backlog("timmy")).toBe(0)
        const owed = ["a", "b", "c"].map((name) =>
          held.store.outbox.of(`counter/${name}`).map(({ payload }) => (JSON.parse(payload) as NostrEvent).id),
        )
        for (const { taken, sent } of relays) {
          // A relay may take one twice where its answer was lost; it is the same event then.
          const first = [...new Map(taken.map((event) => [event.id, event])).keys()]
          expect(owed.map((ids) => first.filter((id) => ids.includes(id)))).toEqual(owed)
          const copies = new Set(sent.map((event) => JSON.stringify(event)))
          expect(copies.size).toBe(new Set(sent.map(({ id }) => id)).size)
        }
      }),
      { numRuns: 20 },
    )
  }, 60_000)
})
