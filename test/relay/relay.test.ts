import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { Client, Duration, Event, Filter, Keys, EventBuilder, Kind, loadWasmSync } from "@rust-nostr/nostr-sdk"
import { generateSecretKey } from "nostr-tools/pure"
import { withId, type NostrEvent } from "../../src/protocol/event.ts"
import { PortBusy, type RelayServer } from "../../src/relay/relay.ts"
import { virtualClock } from "../../src/services/clock.ts"
import { connect, signed, startRelay, type TestClient, trustingVerifier, unsigned } from "./client.ts"

const running: RelayServer[] = []
const folder = mkdtempSync(join(tmpdir(), "relay-"))
const start = async (options: Parameters<typeof startRelay>[0] = {}): Promise<RelayServer> => {
  const relay = await startRelay(options)
  running.push(relay)
  return relay
}
const meet = async (options: Parameters<typeof startRelay>[0] = {}): Promise<[RelayServer, TestClient]> => {
  const relay = await start(options)
  return [relay, await connect(relay.url)]
}
afterEach(async () => {
  for (const relay of running.splice(0)) await relay.close()
})
process.once("exit", () => rmSync(folder, { recursive: true, force: true }))

const ids = (events: readonly NostrEvent[]): readonly string[] => events.map((event) => event.id)
const inOrder = (events: readonly NostrEvent[]): readonly string[] =>
  ids([...events].sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1)))
const nth = (n: number, more: Partial<NostrEvent> = {}): NostrEvent =>
  unsigned(withId("a".repeat(64), { kind: 1, created_at: 1000 + n, tags: [], content: `number ${n}`, ...more }))
const isEvent = (sub: string, event: NostrEvent) => (message: readonly unknown[]) =>
  message[0] === "EVENT" && message[1] === sub && (message[2] as NostrEvent).id === event.id

describe("publishing", () => {
  it("stores a signed event, answers a copy as duplicate, and refuses a forged one", async () => {
    const [, client] = await meet()
    const event = signed({ content: "hello \u0000 é" })
    const forged = { ...signed({ content: "other" }), content: "changed" }
    expect(await client.publish(event)).toEqual({ ok: true, message: "" })
    expect(await client.publish(event)).toEqual({ ok: true, message: expect.stringMatching(/^duplicate: /) })
    expect(await client.publish(forged)).toEqual({ ok: false, message: expect.stringMatching(/^invalid: /) })
    expect(await client.publish({ ...event, sig: "0".repeat(128) })).toEqual({
      ok: false,
      message: expect.stringMatching(/^invalid: /),
    })
    expect(await client.req("all", {})).toEqual([event])
  })

  it("keeps two commands without d of one second and serves both, live and stored, older after newer (P13, S2)", async () => {
    const [relay, client] = await meet()
    const other = await connect(relay.url)
    const at = Math.floor(Date.UTC(2026, 0, 1) / 1000)
    const command = (created_at: number, content: string) => signed({ kind: 30_079, created_at, content })
    const commands = [command(at, "@timmy one"), command(at, "@timmy two"), command(at - 5, "@timmy three")]
    expect(await other.req("live", { kinds: [30_079] })).toEqual([])
    for (const event of commands) expect(await client.publish(event)).toEqual({ ok: true, message: "" })
    for (const event of commands) await other.until(isEvent("live", event))
    expect(ids(await client.req("named", { kinds: [30_079] }))).toEqual(inOrder(commands))
    expect(ids(await client.req("unnamed", { authors: [commands[0]?.pubkey] }))).toEqual(inOrder(commands))
  })

  it("answers an older replaceable event with OK true, keeps the newer and tells nobody", async () => {
    const [, client] = await meet()
    const [old, young] = [signed({ kind: 0, created_at: 1000 }), signed({ kind: 0, created_at: 2000 })]
    await client.req("live", {})
    expect(await client.publish(young)).toEqual({ ok: true, message: "" })
    expect(await client.publish(old)).toEqual({ ok: true, message: "duplicate: a newer one is held" })
    expect(await client.req("stored", {})).toEqual([young])
    expect(ids(client.eventsOf("live"))).toEqual([young.id])
  })

  it("hands ephemeral events on and keeps none", async () => {
    const [relay, client] = await meet()
    const event = signed({ kind: 22_000 })
    await client.req("live", { kinds: [22_000] })
    expect(await client.publish(event)).toEqual({ ok: true, message: "" })
    await client.until(isEvent("live", event))
    expect(await client.req("stored", { kinds: [22_000] })).toEqual([])
    expect(relay.stats()).toMatchObject({ events: 0, accepted: 1 })
  })

  it("refuses what is dated too far ahead, has expired, or is too big, and takes what is just inside", async () => {
    const clock = virtualClock(1_000_000_000)
    const [, client] = await meet({ clock, limits: { eventBytesMax: 1000, relayTagsMax: 3 } })
    const now = 1_000_000
    const refused = { ok: false, message: expect.stringMatching(/^invalid: /) }
    expect(await client.publish(signed({ created_at: now + 900 }))).toEqual({ ok: true, message: "" })
    expect(await client.publish(signed({ created_at: now + 901 }))).toEqual(refused)
    const expiring = signed({ created_at: now, tags: [["expiration", String(now + 1)]] })
    expect(await client.publish(expiring)).toEqual({ ok: true, message: "" })
    expect(await client.publish(signed({ created_at: now, tags: [["expiration", String(now)]] }))).toEqual(refused)
    expect(await client.publish(signed({ created_at: now, content: "x".repeat(1000) }))).toEqual(refused)
    expect(await client.publish(signed({ created_at: now, tags: [["t"], ["t"], ["t"], ["t"]] }))).toEqual(refused)
    expect(ids(await client.req("before", { until: now }))).toEqual([expiring.id])
    clock.step(1000)
    expect(await client.req("after", { until: now })).toEqual([])
  })

  it("sweeps expired events away also where nothing is written (NIP-40)", async () => {
    const clock = virtualClock(1_000_000_000)
    const [relay, client] = await meet({ clock, limits: { relaySweepSeconds: 20 } })
    const expiring = signed({ created_at: 1_000_000, tags: [["expiration", "1000010"]] })
    await client.publish(expiring)
    clock.advance(19_000)
    expect(relay.stats().events).toBe(1)
    expect([await client.req("gone", {}), await client.count("gone", {})]).toEqual([[], 0])
    clock.advance(1000)
    expect(relay.stats().events).toBe(0)
    expect(await client.publish(expiring)).toEqual({ ok: false, message: expect.stringMatching(/^invalid: .*expired/) })
  })

  it("keeps over a restart everything it answered OK (W1)", async () => {
    const file = join(folder, "restart.db")
    const [first, client] = await meet({ file })
    const events = Array.from({ length: 30 }, (_, n) => signed({ created_at: 1000 + n, content: `${n}` }))
    const answers = await Promise.all(events.map(client.publish))
    expect(answers.every((answer) => answer.ok === true)).toBe(true)
    await first.close()
    expect(await client.closed).toBe(1001)
    const [, again] = await meet({ file })
    expect(ids(await again.req("all", {}))).toEqual(inOrder(events))
  })

  it("close answers what is under way before it says goodbye (W2)", async () => {
    const [relay, client] = await meet({ file: join(folder, "close.db") })
    const events = Array.from({ length: 20 }, (_, n) => signed({ content: `${n}` }))
    for (const event of events) client.send("EVENT", event)
    await client.until((message) => message[0] === "OK")
    await relay.close()
    await client.closed
    const accepted = client.received.filter((m) => m[0] === "OK" && m[2] === true).map((m) => m[1])
    const [, again] = await meet({ file: join(folder, "close.db") })
    expect(ids(await again.req("all", {})).toSorted()).toEqual(accepted.toSorted())
  })
})

describe("subscribing", () => {
  it("since and until include their second; limit gives the newest; limit 0 is live only", async () => {
    const [, client] = await meet({ verifier: trustingVerifier })
    const events = Array.from({ length: 5 }, (_, n) => nth(n))
    for (const event of events) await client.publish(event)
    expect(ids(await client.req("window", { since: 1001, until: 1003 }))).toEqual(inOrder(events.slice(1, 4)))
    expect(ids(await client.req("newest", { limit: 2 }))).toEqual(inOrder(events.slice(3)))
    expect(await client.req("none", { limit: 0 })).toEqual([])
    const late = nth(9)
    await client.publish(late)
    await client.until(isEvent("none", late))
  })

  it("pages: at most relayRowsMax newest, the rest by until", async () => {
    const [, client] = await meet({ verifier: trustingVerifier, limits: { relayRowsMax: 4 } })
    const events = Array.from({ length: 10 }, (_, n) => nth(n))
    for (const event of events) await client.publish(event)
    const pages = [await client.req("1", { limit: 100 }), await client.req("2", { until: 1005 })]
    expect(pages.map(ids)).toEqual([inOrder(events.slice(6)), inOrder(events.slice(2, 6))])
  })

  it("CLOSE ends the feed; a REQ with the same id replaces it", async () => {
    const [relay, client] = await meet({ verifier: trustingVerifier })
    await client.req("a", { kinds: [1] })
    await client.req("b", { kinds: [1] })
    client.send("REQ", "b", { kinds: [7] })
    client.send("CLOSE", "a")
    const [note, reaction] = [nth(1), nth(2, { kind: 7 })].map((e) => unsigned(withId(e.pubkey, e))) as [
      NostrEvent,
      NostrEvent,
    ]
    await client.publish(note)
    await client.publish(reaction)
    await client.until(isEvent("b", reaction))
    expect([client.eventsOf("a"), ids(client.eventsOf("b"))]).toEqual([[], [reaction.id]])
    expect(relay.stats().subscriptions).toBe(1)
  })

  it("refuses a REQ that is out of bounds with CLOSED, and bad ids with NOTICE", async () => {
    const [relay, client] = await meet({ limits: { relaySubscriptionsMax: 2, relayFiltersMax: 2 } })
    const closed = async (id: string, ...filters: readonly unknown[]): Promise<unknown> => {
      client.send("REQ", id, ...filters)
      return (await client.until((m) => m[0] === "CLOSED" && m[1] === id))[2]
    }
    expect(await closed("none")).toMatch(/^invalid: 0 filters/)
    expect(await closed("many", {}, {}, {})).toMatch(/^invalid: 3 filters/)
    expect(await closed("bad", { kinds: "1" })).toMatch(/^invalid: .*kinds/)
    await client.req("1", {})
    await client.req("x".repeat(64), {})
    expect(await closed("3", {})).toMatch(/^rate-limited: /)
    expect(relay.stats().subscriptions).toBe(2)
    for (const id of ["", "x".repeat(65), 3, null]) client.send("REQ", id, {})
    await client.req("1", {})
    expect(client.received.filter((m) => m[0] === "NOTICE").length).toBe(4)
  })

  it("P19: publishing while subscribing, nothing is missed and nothing comes twice", async () => {
    const [relay, writer] = await meet({ verifier: trustingVerifier, limits: { relayPaceBytesMax: 2000 } })
    const events = Array.from({ length: 300 }, (_, n) => nth(n % 50, { content: `${n}` })).map((e) =>
      unsigned(withId(e.pubkey, e)),
    )
    const readers = await Promise.all(Array.from({ length: 4 }, () => connect(relay.url)))
    const published = (async () => {
      for (let n = 0; n < events.length; n += 5) await Promise.all(events.slice(n, n + 5).map(writer.publish))
    })()
    for (let round = 0; round < 6; round++) {
      // Each waits for another event, so subscriptions begin all along the stream.
      const awaited = events[round * 50] as NostrEvent
      await writer.until((m) => m[0] === "OK" && m[1] === awaited.id)
      for (const reader of readers) reader.send("REQ", `r${round}`, {})
    }
    await published
    const last = nth(99)
    await writer.publish(last)
    for (const reader of readers)
      for (let round = 0; round < 6; round++) {
        await reader.until(isEvent(`r${round}`, last))
        const got = ids(reader.eventsOf(`r${round}`))
        const eose = reader.received.findIndex((m) => m[0] === "EOSE" && m[1] === `r${round}`)
        const stored = reader.received
          .slice(0, eose)
          .filter((m) => m[0] === "EVENT" && m[1] === `r${round}`)
          .map((m) => m[2] as NostrEvent)
        expect(ids(stored)).toEqual(inOrder(stored))
        expect(got.length).toBe(events.length + 1)
        expect(new Set(got)).toEqual(new Set(ids([...events, last])))
      }
  })

  it("P21: a client that does not read is cut off at the bound, and does not slow the others", async () => {
    const [relay, client] = await meet({ verifier: trustingVerifier, limits: { relayBufferBytesMax: 300_000 } })
    const slow = await connect(relay.url)
    await slow.req("all", { limit: 0 })
    await client.req("all", { limit: 0 })
    slow.pause()
    const big = (n: number) => unsigned(withId("a".repeat(64), { ...nth(n), content: `${n} ${"x".repeat(100_000)}` }))
    let sent = 0
    while (relay.stats().clients === 2 && sent < 500) await client.publish(big(sent++))
    expect(relay.stats()).toMatchObject({ clients: 1, subscriptions: 1, events: sent })
    expect(client.eventsOf("all").length).toBe(sent)
    slow.resume()
    expect(await slow.closed).toBe(1006)
  })

  it("N3: an answer far larger than the bound comes whole to a client that reads", async () => {
    const limits = { relayBufferBytesMax: 300_000, relayPaceBytesMax: 50_000 }
    const [, client] = await meet({ verifier: trustingVerifier, limits })
    const big = Array.from({ length: 60 }, (_, n) => nth(n, { content: `${n} ${"x".repeat(50_000)}` })).map((e) =>
      unsigned(withId(e.pubkey, e)),
    )
    await Promise.all(big.map(client.publish))
    expect(ids(await client.req("all", {}))).toEqual(inOrder(big))
  })
})

describe("the port", () => {
  it("a busy port is an error that says what to do, and leaves nothing open", async () => {
    const relay = await start()
    const second = startRelay({ port: relay.port })
    await expect(second).rejects.toBeInstanceOf(PortBusy)
    await expect(second).rejects.toThrow(/--relay-port.*--port/)
  })

  it("serves NIP-11 with CORS, and one line to a browser", async () => {
    const relay = await start()
    const address = relay.url.replace("ws:", "http:")
    const nip11 = await fetch(address, { headers: { Accept: "application/nostr+json" } })
    expect(nip11.headers.get("access-control-allow-origin")).toBe("*")
    expect(nip11.headers.get("content-type")).toBe("application/nostr+json")
    const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string }
    expect(await nip11.json()).toMatchObject({
      version,
      supported_nips: [1, 4, 9, 11, 17, 40, 42, 45, 59, 67, 70, 77],
      limitation: { max_message_length: 1024 * 1024, max_limit: 10_000, created_at_upper_limit: 900 },
    })
    const page = await (await fetch(address)).text()
    expect(page).toMatch(/^This is a Nostr relay.*\n$/)
    expect((await fetch(address, { method: "OPTIONS" })).status).toBe(204)
    expect((await fetch(address, { method: "POST" })).status).toBe(405)
  })

  it("takes no more than relayClientsMax clients", async () => {
    const [relay] = await meet({ limits: { relayClientsMax: 1 } })
    await expect(connect(relay.url)).rejects.toThrow("503")
  })

  it("cuts off a client from which nothing comes for a whole ping interval", async () => {
    const clock = virtualClock()
    const [relay, dead] = await meet({ clock })
    dead.pause()
    clock.advance(25_000)
    expect(relay.stats().clients).toBe(1)
    clock.advance(25_000)
    dead.resume()
    expect(await dead.closed).toBe(1006)
  })

  it("serves a foreign client: rust-nostr publishes, fetches and checks", async () => {
    loadWasmSync()
    const relay = await start()
    const client = new Client()
    await client.addRelay(relay.url)
    await client.connect()
    const keys = Keys.generate()
    const events = ["@timmy one", "@timmy two"].map((text) =>
      new EventBuilder(new Kind(30_079), text).signWithKeys(keys),
    )
    for (const event of events) {
      const output = await client.sendEvent(Event.fromJson(event.asJson()))
      expect(output.success).toEqual([relay.url])
    }
    const filter = new Filter().kind(new Kind(30_079)).author(keys.publicKey)
    const found = (await client.fetchEvents(filter, Duration.fromSecs(5))).toVec()
    expect(found.map((event) => event.content).toSorted()).toEqual(["@timmy one", "@timmy two"])
    expect(found.every((event) => event.verify())).toBe(true)
    await client.shutdown()
  })
})

it("another author's replaceable event is another's", async () => {
  const [, client] = await meet()
  const both = [signed({ kind: 0 }), signed({ kind: 0 }, generateSecretKey())]
  for (const event of both) await client.publish(event)
  expect(ids(await client.req("all", { kinds: [0] }))).toEqual(inOrder(both))
})
