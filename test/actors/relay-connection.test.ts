import * as fc from "fast-check"
import { afterEach, describe, expect, it } from "vitest"
import { Undelivered } from "../../actors/relay-outgoing.ts"
import type { Limits } from "../../src/limits.ts"
import { harness, keyPair, notesOf, type Harness } from "../support/relay-harness.ts"
import { scriptedRelay, type Script, type ScriptedRelay } from "../support/scripted-relay.ts"

const open: { close: () => Promise<void> }[] = []
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.close()
})
const relayWith = async (script: Script = {}): Promise<ScriptedRelay> => {
  const relay = await scriptedRelay(script)
  open.push(relay)
  return relay
}
const connect = (...args: Parameters<typeof harness>): Harness => {
  const made = harness(...args)
  open.push(made.connection)
  return made
}
const author = keyPair()
const now = Math.floor(Date.now() / 1000)
const live = ({ connection }: Harness) => connection.status().state === "live"

describe("relay connection", () => {
  it("reads what is stored, then what comes, and the cursor follows our own clock", async () => {
    const relay = await relayWith()
    relay.give(author.event("stored", now + 900))
    const at = Date.now()
    const held = connect(relay.url, () => [notesOf("notes", author.pubkey)])
    await held.until(() => live(held))
    expect(held.reads).toEqual(["notes"])
    const [stored, done] = held.batches
    expect([stored?.phase, stored?.cursorMs, done?.events]).toEqual(["stored", undefined, []])
    expect(done?.cursorMs).toBeGreaterThanOrEqual(at)
    relay.give(author.event("live", now - 60))
    await held.until(() => held.batches.length > 2)
    expect(held.batches[2]?.phase).toBe("live")
    expect(held.batches[2]?.cursorMs).toBeGreaterThanOrEqual(done?.cursorMs ?? Infinity)
    expect(held.batches[2]?.cursorMs).toBeLessThanOrEqual(Date.now())
    await held.connection.close()
    expect(held.connection.status()).toMatchObject({ eventsIn: 2, attempts: 0 })
  })

  it("RR1: subscriptions are read one after the other, in order", async () => {
    const relay = await relayWith()
    for (let i = 0; i < 5; i++) relay.give(author.event(`n${i}`, now - i))
    const held = connect(relay.url, () => ["roster", "own", "commands"].map((name) => notesOf(name, author.pubkey)))
    await held.until(() => live(held))
    expect(held.reads).toEqual(["roster", "own", "commands"])
    const order = held.batches.map(({ subscription }) => subscription)
    expect(order).toEqual(order.toSorted((a, b) => held.reads.indexOf(a) - held.reads.indexOf(b)))
  })

  it("P8: the gap is fully read, whatever the page, the cap, the seconds and the hints", async () => {
    const dates = fc.array(fc.integer({ min: now - 4, max: now }), { maxLength: 14 })
    const script = fc.record({ cap: fc.integer({ min: 4, max: 8 }), hints: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(dates, script, fc.integer({ min: 4, max: 9 }), async (seconds, script, pageRowsMax) => {
        const crowded = Object.values(Object.groupBy(seconds, String)).some((each) => (each?.length ?? 0) > 4)
        fc.pre(!crowded)
        const relay = await scriptedRelay(script)
        const events = seconds.map((second, index) => author.event(`n${index}`, second))
        events.forEach(relay.give)
        const held = harness(relay.url, () => [notesOf("notes", author.pubkey)], { limits: { pageRowsMax } })
        await held.until(() => live(held))
        await held.connection.close()
        await relay.close()
        expect(new Set(held.ids())).toEqual(new Set(events.map(({ id }) => id)))
      }),
      { numRuns: 25 },
    )
  })

  it("PG4: a second that holds more than a page is read by kinds and authors", async () => {
    const relay = await relayWith({ cap: 3 })
    const others = [author, keyPair(), keyPair()]
    const events = others.flatMap((each) => [1, 42].flatMap((kind) => [0, 1].map((n) => each.event(`${n}`, now, kind))))
    events.forEach(relay.give)
    relay.give(author.event("older", now - 9))
    const filter = { kinds: [1, 42], authors: others.map(({ pubkey }) => pubkey) }
    const held = connect(relay.url, () => [{ name: "all", filters: [filter], sinceMs: () => undefined }])
    await held.until(() => live(held))
    expect(new Set(held.ids()).size).toBe(events.length + 1)
  })

  it("P7: forged, foreign and malformed events have no effect; a true one of the same id still comes", async () => {
    const truth = author.event("truth", now - 5)
    const forged = { ...truth, sig: "0".repeat(128) }
    const lie = { ...author.event("x", now - 7), content: "y" }
    const stranger = keyPair().event("stranger", now - 6)
    const relay = await relayWith({
      onReq: (id, filter) =>
        filter.until === undefined
          ? [forged, lie, stranger, { id: 1 }, null]
              .map((event) => ["EVENT", id, event])
              .concat([["EVENT", "other", truth]])
          : undefined,
    })
    const held = connect(relay.url, () => [notesOf("notes", author.pubkey)], { limits: { historyWaitSecondsMax: 0.1 } })
    await held.until(() => live(held))
    expect(held.batches).toEqual([])
    const [client] = relay.clients
    client?.send("EVENT", client.asked[0]?.id, truth)
    await held.until(() => held.batches.length > 0)
    expect(held.ids()).toEqual([truth.id])
    expect(held.batches[0]).not.toHaveProperty("cursorMs")
  })

  it("P9: EOSE absent is waited for only so long; late and doubled it still ends the reading", async () => {
    const relay = await relayWith({ onReq: () => [] })
    const held = connect(relay.url, () => [notesOf("a", author.pubkey), notesOf("b", author.pubkey)], {
      limits: { historyWaitSecondsMax: 0.05 },
    })
    await held.until(() => live(held))
    expect([held.reads, held.batches]).toEqual([["a", "b"], []])
    const [client] = relay.clients
    const id = client?.asked[0]?.id
    client?.send("EVENT", id, author.event("early", now))
    client?.send("EOSE", id, ["finish"])
    client?.send("EOSE", id)
    await held.until(() => held.batches.some(({ cursorMs }) => cursorMs !== undefined))
    expect(held.batches.map(({ subscription, events }) => [subscription, events.length])).toEqual([
      ["a", 1],
      ["a", 0],
    ])
  })

  it("RR3: what was overdue when it counted as read is told of again when it is read after all, once", async () => {
    const relay = await relayWith({ onReq: () => [] })
    const held = connect(relay.url, () => [notesOf("a", author.pubkey), notesOf("b", author.pubkey)], {
      limits: { historyWaitSecondsMax: 0.05 },
    })
    await held.until(() => live(held))
    const [client] = relay.clients
    for (const _ of "twice") client?.send("EOSE", client.asked[0]?.id, ["finish"])
    client?.send("EVENT", client.asked[1]?.id, author.event("after", now))
    await held.until(() => held.ids("b").length === 1)
    expect(held.reads).toEqual(["a", "b", "a"])
  })

  it("P9: a live event with an old date before EOSE does not hide what lies between", async () => {
    const events = Array.from({ length: 8 }, (_, index) => author.event(`n${index}`, now - 10 * index))
    const relay = await relayWith({ cap: 4 })
    events.forEach(relay.give)
    const old = author.event("backdated", now - 75)
    relay.script = {
      cap: 4,
      onReq: (id, filter, client) => {
        if (filter.until === undefined) client.send("EVENT", id, old)
        return undefined
      },
    }
    const held = connect(relay.url, () => [notesOf("notes", author.pubkey)])
    await held.until(() => live(held))
    expect(new Set(held.ids())).toEqual(new Set([...events, old].map(({ id }) => id)))
  })

  it("P10: AUTH only where it is demanded; then what was refused is asked for again, and sent again", async () => {
    const relay = await relayWith({ auth: true })
    relay.stored.push(author.event("secret", now))
    const held = connect(relay.url, () => [notesOf("notes", author.pubkey)])
    await held.until(() => held.ids().length === 1 && live(held))
    expect(held.reports.map(({ state }) => state)).toContain("authenticating")
    expect(held.reads).toEqual(["notes"])
    const sent = author.event("mine", now)
    await expect(held.connection.publish(sent)).resolves.toMatchObject({ accepted: true })
  })

  it("P10: OK false with auth-required is answered with AUTH and sent again once", async () => {
    const relay = await relayWith({ auth: true })
    const held = connect(relay.url, () => [])
    await held.until(() => live(held))
    await expect(held.connection.publish(author.event("mine", now))).resolves.toMatchObject({ accepted: true })
    expect(held.reports.map(({ state }) => state)).toContain("authenticating")
  })

  it("RA1: after AUTH was taken another challenge is kept, and answered only when it is demanded again", async () => {
    const relay = await relayWith({ auth: true })
    const held = connect(relay.url, () => [notesOf("notes", author.pubkey)])
    await held.until(() => live(held))
    const [client] = relay.clients
    if (client === undefined) throw new Error("no client")
    for (const n of [2, 3, 4, 5]) client.send("AUTH", (client.challenge = `challenge-${n}`))
    relay.give(author.event("after", now))
    await held.until(() => held.ids().length === 1)
    expect(held.connection.status().state).toBe("live")
    client.authenticated = false
    await expect(held.connection.publish(author.event("mine", now, 7))).resolves.toMatchObject({ accepted: true })
    expect(client.answered).toEqual(["challenge-1", "challenge-5"])
  })

  it("P11: CLOSED: restricted stops that subscription, others are tried again, both count as read; read after all, once more (RR3)", async () => {
    let tries = 0
    const relay = await relayWith({
      onReq: (id) => {
        if (id.startsWith("never")) return [["CLOSED", id, "restricted: not for you"]]
        return id.startsWith("later") && tries++ === 0 ? [["CLOSED", id, "rate-limited: slow down"]] : undefined
      },
    })
    relay.give(author.event("n", now))
    const held = connect(relay.url, () => ["never", "later", "good"].map((name) => notesOf(name, author.pubkey)))
    await held.until(() => held.ids("later").length === 1 && live(held))
    expect(held.reads).toEqual(["never", "later", "good", "later"])
    expect(relay.clients[0]?.asked.filter(({ id }) => id.startsWith("never"))).toHaveLength(1)
    expect(held.batches.some(({ subscription }) => subscription === "never")).toBe(false)
    relay.script = {}
    held.connection.resubscribe()
    await held.until(() => held.ids("never").length === 1 && live(held))
    expect(held.reads.slice(4)).toEqual(["never"])
  })

  it("RR4: reread reads one subscription again from its cursor, although a take that was resolved moved none", async () => {
    const relay = await relayWith({ hints: true })
    const held = connect(relay.url, () => ["a", "b"].map((name) => notesOf(name, author.pubkey, (now - 60) * 1000)))
    await held.until(() => live(held))
    held.connection.resubscribe()
    expect(relay.clients[0]?.asked).toHaveLength(2)
    const left = author.event("left", now - 30)
    relay.stored.push(left)
    held.connection.reread("a")
    await held.until(() => held.ids("a").length === 1 && live(held))
    held.connection.reread("nothing")
    relay.give(author.event("live", now))
    await held.until(() => held.ids("a").length === 2 && held.ids("b").length === 1)
    expect(held.reads).toEqual(["a", "b", "a"])
    expect(relay.clients[0]?.asked.map(({ filter }) => filter.since)).toEqual([now - 60, now - 60, now - 60])
    expect(relay.clients[0]?.subscriptions.size).toBe(2)
    const last = held.batches.findLast(({ subscription }) => subscription === "a")
    expect([last?.phase, typeof last?.cursorMs]).toEqual(["live", "number"])
  })

  it("RR4: while it waits for its turn to be read again it stays live, without a cursor", async () => {
    const relay = await relayWith()
    const held = connect(relay.url, () => ["a", "b"].map((name) => notesOf(name, author.pubkey, (now - 60) * 1000)))
    await held.until(() => live(held))
    relay.script = { onReq: () => [] }
    held.connection.reread("a")
    held.connection.reread("b")
    const backdated = author.event("backdated", now - 3600)
    for (const [id] of relay.clients[0]?.subscriptions ?? []) relay.clients[0]?.send("EVENT", id, backdated)
    await held.until(() => held.ids("b").length === 1)
    expect(held.batches.findLast(({ subscription }) => subscription === "b")).not.toHaveProperty("cursorMs")
    expect(held.reads).toEqual(["a", "b"])
    relay.script = {}
    relay.clients[0]?.send("EOSE", relay.clients[0].asked.at(-1)?.id, ["finish"])
    await held.until(() => live(held))
    expect(held.reads).toEqual(["a", "b", "a", "b"])
  })

  it("RR4: the end of a reading that was broken off does not end the one that waits", async () => {
    const asked = Promise.withResolvers<string>()
    const relay = await relayWith({
      onReq: (id) => (id.startsWith("b") ? (asked.resolve(id), []) : undefined),
    })
    const held = connect(relay.url, () => ["a", "b"].map((name) => notesOf(name, author.pubkey)))
    const id = await asked.promise
    relay.script = { onReq: () => [] }
    held.connection.reread("a")
    held.connection.reread("b")
    relay.clients[0]?.send("EOSE", id, ["finish"])
    relay.clients[0]?.send("EVENT", id, author.event("former", now))
    await held.until(() => held.ids("b").length === 1)
    const [batch, ...more] = held.batches.filter(({ subscription }) => subscription === "b")
    expect([batch?.cursorMs, more]).toEqual([undefined, []])
    expect(held.reads).toEqual(["a"])
  })

  it("RR4: reread from the middle of a reading begins it anew, and the former one's end moves no cursor", async () => {
    const again = Promise.withResolvers<string>()
    const former = author.event("former", now)
    const relay = await relayWith({
      onReq: (id) => {
        if (id.endsWith("/1")) again.resolve(id)
        return id.endsWith("/0")
          ? [
              ["EVENT", id, former],
              ["EOSE", id, ["finish"]],
            ]
          : []
      },
    })
    const held = connect(relay.url, () => [notesOf("notes", author.pubkey)], {
      take: async ({ events }) => {
        if (events.length === 0) return
        // Its OK comes after the EOSE, which waits for this batch.
        await held.connection.publish(author.event("beacon", now, 7))
        held.connection.reread("notes")
      },
    })
    const id = await again.promise
    await held.until(() => held.ids().length === 1)
    expect(held.reads).toEqual([])
    relay.clients[0]?.send("EOSE", id, ["finish"])
    await held.until(() => live(held))
    expect(held.reads).toEqual(["notes"])
    expect(held.batches.map(({ cursorMs }) => cursorMs !== undefined)).toEqual([false, true])
  })

  it("P3: what is in flight when the connection drops is undelivered; duplicate counts as accepted", async () => {
    const relay = await relayWith({ onEvent: (_event, client) => (client.cut(), []) })
    const held = connect(relay.url, () => [])
    await held.until(() => live(held))
    const event = author.event("mine", now)
    await expect(held.connection.publish(event)).rejects.toBeInstanceOf(Undelivered)
    await expect(held.connection.publish(event)).rejects.toThrow("not connected")
    relay.script = {}
    relay.stored.push(event)
    await held.until(() => live(held))
    await expect(held.connection.publish(event)).resolves.toEqual({ accepted: true, message: "duplicate: have it" })
  })

  it("P12: no OK in time is undelivered; foreign and repeated OKs mean nothing; one event twice is sent once", async () => {
    let sent = 0
    const relay = await relayWith({ onEvent: () => (sent++, []) })
    const held = connect(relay.url, () => [], { limits: { okMsMax: 40 } })
    await held.until(() => live(held))
    const silent = author.event("silent", now)
    await expect(held.connection.publish(silent)).rejects.toThrow("no OK in time")
    relay.script = {
      onEvent: ({ id }) => (
        sent++,
        [
          ["OK", "f".repeat(64), true, ""],
          ["OK", id, false, "blocked: no"],
          ["OK", id, true, ""],
        ]
      ),
    }
    const event = author.event("twice", now)
    const both = await Promise.all([held.connection.publish(event), held.connection.publish(event)])
    expect(both.map(({ accepted }) => accepted)).toEqual([false, false])
    expect(sent).toBe(2)
  })

  it("P28: what was not committed is read again from the cursor, and no cursor passes it", async () => {
    const relay = await relayWith()
    const events = [0, 1, 2].map((n) => author.event(`n${n}`, now - n))
    events.forEach(relay.give)
    let refusals = 8
    const held = connect(relay.url, () => [notesOf("notes", author.pubkey)], {
      limits: { retryMsMin: 5, uncommittedMsMax: 20, reconnectMsMin: 3_600_000, reconnectMsMax: 3_600_000 },
      take: async ({ events }) => {
        if (events.length > 0 && refusals-- > 0) throw new Error("mailbox full")
      },
    })
    await held.until(() => live(held) && held.batches.some(({ cursorMs }) => cursorMs !== undefined))
    expect(new Set(held.ids())).toEqual(new Set(events.map(({ id }) => id)))
    const cursor = held.batches.findIndex(({ cursorMs }) => cursorMs !== undefined)
    expect(held.batches.slice(0, cursor).flatMap(({ events }) => events)).toHaveLength(3)
    expect(held.reads).toEqual(["notes"])
  })

  it("P28, RR3: a live event that was not committed is read again, and that reading is told of", async () => {
    const relay = await relayWith()
    let refusals = 1
    const held = connect(relay.url, () => [notesOf("notes", author.pubkey)], {
      limits: { retryMsMin: 5, uncommittedMsMax: 20 },
      take: async ({ events }) => {
        if (events.length > 0 && refusals-- > 0) throw new Error("disk full")
      },
    })
    await held.until(() => live(held))
    relay.give(author.event("live", now))
    await held.until(() => held.reads.length === 2)
    expect(held.ids()).toHaveLength(1)
  })

  it.for<Partial<Limits>>([{ intakeRowsMax: 4 }, { intakeBytesMax: 80_000 }])(
    "RI3: more than can be worked on is not read from the socket, and all of it comes in the end: %o",
    async (limits) => {
      const relay = await relayWith()
      const held = connect(relay.url, () => [notesOf("notes", author.pubkey)], {
        limits,
        take: () => new Promise((resolve) => void setImmediate(resolve)),
      })
      await held.until(() => live(held))
      const events = Array.from({ length: 120 }, (_, n) => author.event(`n${n}`.padEnd(20_000), now))
      events.forEach(relay.give)
      await held.until(() => held.ids().length === events.length)
      // Each is 20 kB and one read of a socket 64 kB, so an unread socket shows in the batches.
      expect(Math.max(...held.batches.map(({ events }) => events.length))).toBeLessThan(20)
      expect(new Set(held.ids()).size).toBe(events.length)
    },
  )

  it("a stored event that is too large for us costs only itself", async () => {
    const relay = await relayWith()
    const good = author.event("good", now - 5)
    relay.stored.push(keyPair().event("x".repeat(1_100_000), now), good)
    const held = connect(relay.url, () => [{ name: "all", filters: [{ kinds: [1] }], sinceMs: () => undefined }])
    await held.until(() => live(held) || held.connection.status().attempts > 0)
    expect(held.ids()).toEqual([good.id])
    expect(held.connection.status()).toMatchObject({ attempts: 0, ignored: 1 })
    expect(relay.clients).toHaveLength(1)
  })

  it("a frame above frameInBytesMax loses the connection, and the report says why", async () => {
    const relay = await relayWith()
    relay.stored.push(author.event("x".repeat(2000), now))
    const held = connect(relay.url, () => [notesOf("notes", author.pubkey)], { limits: { frameInBytesMax: 2000 } })
    await held.until(() => held.connection.status().state === "backing-off")
    expect(held.connection.status().lastError).toContain("Max payload size exceeded")
  })

  it("P17, P24: garbage is counted and ignored; a lost connection is dialled again and read again", async () => {
    const relay = await relayWith()
    const held = connect(relay.url, () => [notesOf("notes", author.pubkey)])
    await held.until(() => live(held))
    for (const text of ["", "{", "[]", '["EVENT"]', "[1,2]", '["EVENT","x",{}]', "[".repeat(5000)])
      relay.clients[0]?.sendText(text)
    relay.give(author.event("after", now))
    await held.until(() => held.ids().length === 1)
    expect(held.connection.status().ignored).toBe(7)
    relay.clients[0]?.cut()
    await held.until(() => relay.clients.length === 2 && live(held))
    expect(held.connection.status().attempts).toBe(1)
    expect(held.reads).toEqual(["notes", "notes"])
  })

  it("P1, P4, P7: duplicates, cuts and forgeries in any order: each valid event comes, and no other", async () => {
    const action = fc.oneof(
      { weight: 4, arbitrary: fc.constant("new" as const) },
      fc.constantFrom("again" as const, "forge" as const, "cut" as const, "bye" as const),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 14 }), async (actions) => {
        const relay = await scriptedRelay({ cap: 5 })
        let cursor: number | undefined
        const held = harness(
          relay.url,
          () => [{ ...notesOf("notes", author.pubkey), sinceMs: () => cursor && cursor - 60_000 }],
          {
            take: async ({ cursorMs }) => {
              expect(cursorMs ?? 0).toBeLessThanOrEqual(Date.now())
              cursor = cursorMs ?? cursor
            },
          },
        )
        for (const [index, act] of actions.entries()) {
          const client = relay.clients.at(-1)
          const id = client?.asked.at(-1)?.id
          if (act === "new") relay.give(author.event(`n${index}`, now - (index % 3)))
          else if (act === "cut" || act === "bye") client?.cut(act === "cut" ? 1006 : 1001)
          else if (client !== undefined && id !== undefined && client.subscriptions.size > 0) {
            const event = relay.stored.at(-1) ?? author.event("none", now)
            client.send("EVENT", id, act === "again" ? event : { ...event, content: "forged" })
          }
          await new Promise((resolve) => setImmediate(resolve))
        }
        const valid = new Set(relay.stored.map(({ id }) => id))
        await held.until(() => live(held) && [...valid].every((id) => held.ids().includes(id)))
        await held.connection.close()
        await relay.close()
        for (const { events } of held.batches) for (const { content } of events) expect(content).not.toBe("forged")
      }),
      { numRuns: 25 },
    )
  })

  it("P17, RL2: a socket that answers no ping is cut and dialled again", async () => {
    const relay = await relayWith({ mute: true })
    const held = connect(relay.url, () => [], { limits: { pingSeconds: 0.02, pongMsMax: 20 } })
    await held.until(() => relay.clients.length > 1 || held.reports.length > 20)
    expect(held.reports.map(({ lastError }) => lastError)).toContain("no pong within 20 ms")
  })

  it("a relay that is not there is dialled again and again; wake does not wait", async () => {
    const gone = await scriptedRelay()
    await gone.close()
    const held = connect(gone.url, () => [], { limits: { reconnectMsMin: 3_600_000, reconnectMsMax: 3_600_000 } })
    await held.until(() => held.connection.status().state === "backing-off")
    expect(held.connection.status().lastError).toContain("ECONNREFUSED")
    held.connection.wake()
    await held.until(() => held.connection.status().attempts === 2)
  })

  it("close lets go of everything and rejects what is in flight", async () => {
    const relay = await relayWith({ onEvent: () => [] })
    const held = connect(relay.url, () => [notesOf("notes", author.pubkey)])
    await held.until(() => live(held))
    const answer = held.connection.publish(author.event("mine", now)).catch((error: unknown) => error)
    await held.connection.close()
    expect(await answer).toBeInstanceOf(Undelivered)
    expect(held.connection.status().state).toBe("closed")
  })
})
