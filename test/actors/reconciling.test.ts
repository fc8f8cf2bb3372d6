/** A gap that is reconciled (NIP-77): with our own relay, and with relays that do not do what they say. */
import * as fc from "fast-check"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import type { Subscription } from "../../actors/subscription.ts"
import { idSetOf, respond, type Dated } from "../../src/protocol/negentropy.ts"
import { readRelayInformation } from "../../src/protocol/relay-information.ts"
import type { NostrEvent } from "../../src/protocol/event.ts"
import type { RelayServer } from "../../src/relay/relay.ts"
import { systemClock } from "../../src/services/clock.ts"
import { openRelayInformation } from "../../src/services/relay-information.ts"
import { limits } from "../../src/limits.ts"
import { connect as connectClient, startRelay, trustingVerifier, type TestClient } from "../relay/client.ts"
import { harness, keyPair, type Harness } from "../support/relay-harness.ts"
import { scriptedRelay, type Script, type ScriptedRelay } from "../support/scripted-relay.ts"

const now = Math.floor(Date.now() / 1000)
const live = ({ connection }: Harness): boolean => connection.status().state === "live"
const idsOf = (events: readonly Dated[]): Set<string> => new Set(events.map(({ id }) => id))
const newestOf = (events: readonly NostrEvent[]): readonly NostrEvent[] =>
  events.toSorted((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1)).slice(0, 1)

const open: { close: () => Promise<void> }[] = []
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.close()
})
const connect = (...args: Parameters<typeof harness>): Harness => {
  const made = harness(...args)
  open.push(made.connection)
  return made
}
const notes = (pubkey: string, held: () => readonly Dated[], name = "notes"): Subscription => ({
  name,
  filters: [{ kinds: [1], authors: [pubkey] }],
  sinceMs: () => (now - 1000) * 1000,
  held,
})

describe("a gap at our own relay", () => {
  let relay: RelayServer
  let client: TestClient
  beforeAll(async () => {
    relay = await startRelay({ verifier: trustingVerifier })
    client = await connectClient(relay.url)
  })
  afterAll(async () => {
    client.close()
    await relay.close()
  })
  const information = openRelayInformation({ clock: systemClock, limits })

  it("RP1: what we lack comes, all of it and nothing else; a live event that comes meanwhile too", async () => {
    const where = fc.array(fc.record({ at: fc.constantFrom("both", "theirs", "ours"), age: fc.nat(4) }), {
      maxLength: 40,
    })
    await fc.assert(
      fc.asyncProperty(where, fc.integer({ min: 2, max: 9 }), async (places, pageRowsMax) => {
        const author = keyPair()
        const all = places.map(({ at, age }, n) => ({ at, event: author.event(`n${n}`, now - age) }))
        const theirs = all.flatMap(({ at, event }) => (at === "ours" ? [] : [event]))
        const held = all.flatMap(({ at, event }) => (at === "theirs" ? [] : [event]))
        for (const event of theirs) await client.publish(event)
        const sent: (readonly unknown[])[] = []
        const made = harness(relay.url, () => [notes(author.pubkey, () => held)], {
          limits: { pageRowsMax },
          information: () => information.of(relay.url),
          sent: (frame) => void sent.push(frame),
        })
        await made.until(() => live(made))
        const late = author.event("late", now - 500)
        await client.publish(late)
        await made.until(() => made.ids().includes(late.id))
        await made.connection.close()
        const lacking = theirs.filter(({ id }) => !idsOf(held).has(id))
        const free = held.length === 0 ? theirs : newestOf(theirs)
        expect(idsOf([...lacking, ...free, late])).toEqual(new Set([...made.ids(), ...idsOf(free)]))
        expect(made.reads).toEqual(["notes"])
        expect(made.batches.some(({ cursorMs }) => cursorMs !== undefined)).toBe(true)
        if (held.length === 0) return
        expect(sent.filter(([name]) => name === "NEG-OPEN")).toHaveLength(1)
        expect(sent.filter(([name]) => name === "NEG-CLOSE")).toHaveLength(1)
        const pages = sent.filter(([name, , filter]) => name === "REQ" && !("ids" in (filter as object)))
        expect(pages).toHaveLength(1)
      }),
      { numRuns: 25 },
    )
  })

  it("a day that we have is read with a few messages", async () => {
    const author = keyPair()
    const all = Array.from({ length: 400 }, (_, n) => author.event(`n${n}`, now - n))
    await Promise.all(all.map(client.publish))
    const lacking = all.filter((_, n) => n % 100 === 50)
    const held = all.filter((event) => !lacking.includes(event))
    const made = connect(relay.url, () => [notes(author.pubkey, () => held)], {
      information: () => information.of(relay.url),
    })
    await made.until(() => live(made))
    expect(new Set(made.ids())).toEqual(idsOf([...lacking, ...newestOf(all)]))
    expect(made.connection.status().eventsIn).toBe(5)
  })

  it.each([
    ["more than `reconcileNeedMax` are lacking", { reconcileNeedMax: 3 }],
    ["its messages would be too short", { reconcileBytesMax: 4000 }],
  ])("RP2: read page by page where %s", async (_, bounds) => {
    const author = keyPair()
    const all = Array.from({ length: 12 }, (_, n) => author.event(`n${n}`, now - n))
    await Promise.all(all.map(client.publish))
    const made = connect(relay.url, () => [notes(author.pubkey, () => all.slice(6))], {
      limits: bounds,
      information: () => information.of(relay.url),
    })
    await made.until(() => live(made))
    expect(new Set(made.ids())).toEqual(idsOf(all))
  })
})

describe("a relay that says that it does NIP-77", () => {
  const author = keyPair()
  const other = keyPair()
  const said = readRelayInformation({ supported_nips: [1, 77] })
  const held = [0, 1, 2].map((n) => author.event(`held${n}`, now - 20 - n))
  const stored = [...held, ...[0, 1, 2, 3].map((n) => author.event(`n${n}`, now - 10 - n))]

  const answered = (events: () => readonly Dated[]): NonNullable<Script["onNeg"]> => {
    return (frame) => {
      const [type, id] = frame
      if (type === "NEG-CLOSE") return []
      const message = Buffer.from(String(frame.at(-1)), "hex")
      return [["NEG-MSG", id, respond(idSetOf(events()), message, 60_000).toString("hex")]]
    }
  }
  const relayWith = async (script: Script): Promise<ScriptedRelay> => {
    const relay = await scriptedRelay(script)
    relay.stored.push(...stored)
    open.push(relay)
    return relay
  }
  const opened = (relay: ScriptedRelay): number =>
    relay.clients.flatMap(({ frames }) => frames).filter(([name]) => name === "NEG-OPEN").length

  // `again`: whether it is asked so once more for the next subscription.
  it.each([
    ["is silent", () => [], false],
    ["speaks to people only", undefined, false],
    ["refuses", ([, id]: readonly unknown[]) => [["NEG-ERR", id, "blocked: too big"]], true],
    ["says what is no hex", ([, id]: readonly unknown[]) => [["NEG-MSG", id, "zz"]], false],
    ["says what is no text", ([, id]: readonly unknown[]) => [["NEG-MSG", id, { a: 1 }]], false],
    ["says nonsense", ([, id]: readonly unknown[]) => [["NEG-MSG", id, "61ffffff"]], false],
    ["speaks another version", ([, id]: readonly unknown[]) => [["NEG-MSG", id, "60"]], false],
    ["never ends", ([, id]: readonly unknown[]) => [["NEG-MSG", id, `61000001${"ab".repeat(16)}`]], false],
    ["claims to have nothing more", ([, id]: readonly unknown[]) => [["NEG-MSG", id, "61"]], false],
    ["lists what it does not give", answered(() => [...stored, other.event("not here", now - 5)]), false],
    ["does it", answered(() => stored), true],
  ])("RR5: and %s: everything comes", async (_, onNeg, again) => {
    const relay = await relayWith(onNeg === undefined ? {} : { onNeg })
    const made = connect(
      relay.url,
      () => [notes(author.pubkey, () => held), notes(author.pubkey, () => held, "more")],
      { limits: { historyWaitSecondsMax: 0.3 }, information: () => said },
    )
    await made.until(() => live(made))
    for (const name of ["notes", "more"])
      expect([...idsOf(stored)].filter((id) => !idsOf(held).has(id) && !made.ids(name).includes(id))).toEqual([])
    expect(made.reads).toEqual(["notes", "more"])
    expect(made.batches.filter(({ cursorMs }) => cursorMs !== undefined)).toHaveLength(2)
    expect(opened(relay)).toBe(again ? 2 : 1)
    const before = opened(relay)
    relay.clients[0]?.cut()
    await made.until(() => made.reads.length === 4 && live(made))
    expect(opened(relay)).toBeGreaterThan(before)
  })

  it("RP2: and gives fewer events at a time than it is asked for: all come", async () => {
    const relay = await relayWith({ cap: 2, onNeg: answered(() => stored) })
    const made = connect(relay.url, () => [notes(author.pubkey, () => held)], { information: () => said })
    await made.until(() => live(made))
    expect(new Set(made.ids())).toEqual(idsOf(stored.slice(3)))
    expect(opened(relay)).toBe(1)
  })

  it("RR4: broken off by a reading anew, by a lost connection or by silence, it moves no cursor and ends nothing", async () => {
    const asked = Promise.withResolvers<void>()
    const relay = await relayWith({ onNeg: () => (asked.resolve(), []) })
    const made = connect(relay.url, () => [notes(author.pubkey, () => held)], { information: () => said })
    await asked.promise
    const anew = Promise.withResolvers<void>()
    const onNeg = answered(() => stored)
    relay.script = { onNeg: (frame, client) => (frame[0] === "NEG-OPEN" ? (anew.resolve(), []) : onNeg(frame, client)) }
    made.connection.reread("notes")
    await anew.promise
    expect(relay.clients[0]?.frames.filter(([name]) => name === "NEG-CLOSE")).toHaveLength(1)
    expect([made.reads, made.batches.filter(({ cursorMs }) => cursorMs !== undefined)]).toEqual([[], []])
    relay.script = { onNeg }
    relay.clients[0]?.cut()
    await made.until(() => live(made))
    expect(made.reads).toEqual(["notes"])
    expect(made.ids()).toEqual(expect.arrayContaining([...idsOf(stored.slice(3))]))
  })
})
