import * as fc from "fast-check"
import { nip77 } from "nostr-tools"
import { afterEach, describe, expect, it } from "vitest"
import { generateSecretKey, getPublicKey } from "nostr-tools/pure"
import { Client, Filter, Kind, loadWasmSync, SyncDirection, SyncOptions } from "@rust-nostr/nostr-sdk"
import { rankOf } from "../../src/relay/migrations.ts"
import { NegentropyFault, respond } from "../../src/protocol/negentropy.ts"
import { idSetOfRows } from "../../src/relay/negentropy.ts"
import { isBefore } from "../../src/relay/query.ts"
import type { RelayServer } from "../../src/relay/relay.ts"
import { virtualClock } from "../../src/services/clock.ts"
import { type NostrEvent, withId } from "../../src/protocol/event.ts"
import { connect, signed, startRelay, type TestClient, trustingVerifier, unsigned } from "./client.ts"

const running: RelayServer[] = []
const meet = async (options: Parameters<typeof startRelay>[0] = {}): Promise<[RelayServer, TestClient]> => {
  const relay = await startRelay({ verifier: trustingVerifier, ...options })
  running.push(relay)
  return [relay, await connect(relay.url)]
}
afterEach(async () => {
  for (const relay of running.splice(0)) await relay.close()
})

interface Item {
  readonly id: string
  readonly created_at: number
}

const setOf = (items: readonly Item[]) =>
  idSetOfRows(
    items
      .map((item) => ({ id: item.id, rank: rankOf(item) }))
      .sort((a, b) => (isBefore(a, b) ? -1 : isBefore(b, a) ? 1 : 0)),
  )

const asker = (items: readonly Item[], frame = 60_000) => {
  const vector = new nip77.NegentropyStorageVector()
  for (const { created_at, id } of items) vector.insert(created_at, id)
  vector.seal()
  return new nip77.Negentropy(vector, frame)
}

/** Runs the library's asking side to its end; what it has that we need, and what it needs that we have. */
const reconcile = async (asking: nip77.Negentropy, answer: (message: string) => Promise<string> | string) => {
  const have: string[] = []
  const need: string[] = []
  let rounds = 0
  for (let message: string | null = asking.initiate(); message !== null && rounds < 200; rounds++)
    message = asking.reconcile(
      await answer(message),
      (id) => have.push(id),
      (id) => need.push(id),
    )
  return { have: [...new Set(have)].toSorted(), need: [...new Set(need)].toSorted(), rounds }
}

const hex = fc.stringMatching(/^[0-9a-f]{64}$/)
const item = fc.record({ id: hex, created_at: fc.integer({ min: 0, max: 40 }) })
const items = fc.uniqueArray(item, { maxLength: 300, size: "max", selector: ({ id }) => id })

describe("the answering side", () => {
  it("G1: the library's asking side finds exactly the difference of any two sets", async () => {
    await fc.assert(
      fc.asyncProperty(items, fc.infiniteStream(fc.integer({ min: 0, max: 2 })), async (all, where) => {
        const places = all.map(() => where.next().value as number)
        const theirs = all.filter((_, n) => places[n] !== 0)
        const ours = all.filter((_, n) => places[n] !== 1)
        const set = setOf(ours)
        const { have, need, rounds } = await reconcile(asker(theirs), (message) =>
          respond(set, Buffer.from(message, "hex"), 60_000).toString("hex"),
        )
        expect(have).toEqual(
          all
            .filter((_, n) => places[n] === 1)
            .map(({ id }) => id)
            .toSorted(),
        )
        expect(need).toEqual(
          all
            .filter((_, n) => places[n] === 0)
            .map(({ id }) => id)
            .toSorted(),
        )
        expect(rounds).toBeLessThan(10)
      }),
      { numRuns: 60 },
    )
  })

  it("G2: no answer is longer than the bound, and it still ends in the difference", async () => {
    const all = Array.from({ length: 3000 }, (_, n) =>
      withId("a".repeat(64), { kind: 1, created_at: n % 97, tags: [], content: `${n}` }),
    )
    const set = setOf(all)
    let longest = 0
    const { have, need } = await reconcile(asker(all.slice(0, 40)), (message) => {
      const answer = respond(set, Buffer.from(message, "hex"), 5000)
      longest = Math.max(longest, answer.length)
      return answer.toString("hex")
    })
    expect(longest).toBeLessThanOrEqual(5000)
    expect([have, need.length]).toEqual([[], 2960])
  })

  it("G3: any bytes are answered or are a fault", () => {
    const set = setOf([{ id: "a".repeat(64), created_at: 5 }])
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (bytes, isOurs) => {
        const message = Buffer.from(isOurs ? [0x61, ...bytes] : bytes)
        let fault: unknown
        try {
          respond(set, message, 5000)
        } catch (error) {
          fault = error
        }
        expect(fault === undefined || fault instanceof NegentropyFault).toBe(true)
      }),
      { numRuns: 2000 },
    )
    expect([...respond(set, Buffer.from([0x62, 1, 2, 3]), 5000)]).toEqual([0x61])
  })
})

describe("NEG-OPEN, NEG-MSG, NEG-CLOSE (NIP-77)", () => {
  const nth = (n: number, kind = 1): NostrEvent =>
    unsigned(withId("a".repeat(64), { kind, created_at: 1000 + (n % 7), tags: [], content: `${n}` }))
  const ask = (client: TestClient, id: string, filter: object) => {
    let isOpen = false
    return async (message: string): Promise<string> => {
      if (isOpen) client.send("NEG-MSG", id, message)
      else client.send("NEG-OPEN", id, filter, message)
      isOpen = true
      return (await client.next(id, "NEG-MSG"))[2] as string
    }
  }

  it("finds what a filter's two sides have and lack", async () => {
    const [, client] = await meet()
    const all = Array.from({ length: 120 }, (_, n) => nth(n))
    await Promise.all(all.slice(20).map(client.publish))
    await client.publish(nth(999, 7))
    const theirs = all.slice(0, 90)
    const { have, need } = await reconcile(asker(theirs), ask(client, "sync", { kinds: [1] }))
    expect(have).toEqual(
      all
        .slice(0, 20)
        .map(({ id }) => id)
        .toSorted(),
    )
    expect(need).toEqual(
      all
        .slice(90)
        .map(({ id }) => id)
        .toSorted(),
    )
  })

  it("V1: shows the ids of private messages to their parties alone", async () => {
    const [relay, client] = await meet()
    const key = generateSecretKey()
    const wrap = signed({ kind: 1059, tags: [["p", getPublicKey(key)]] }, generateSecretKey())
    const note = signed({})
    for (const event of [wrap, note]) await client.publish(event)
    expect((await reconcile(asker([]), ask(client, "a", {}))).need).toEqual([note.id])
    const theirs = await connect(relay.url)
    await theirs.authenticate(key)
    expect((await reconcile(asker([]), ask(theirs, "a", {}))).need).toEqual([note.id, wrap.id].toSorted())
    expect((await reconcile(asker([]), ask(theirs, "b", { kinds: [1059] }))).need).toEqual([wrap.id])
  })

  it("is refused past its bounds, and ends after a rest", async () => {
    const clock = virtualClock()
    const limits = {
      relayNegentropiesMax: 2,
      relayNegentropyRowsMax: 10,
      relayNegentropyRowsTotalMax: 15,
      relayNegentropySecondsMax: 10,
    }
    const [, client] = await meet({ clock, limits })
    for (let n = 0; n < 11; n++) await client.publish(nth(n))
    const error = async (...message: readonly unknown[]) => {
      client.send(...message)
      return (await client.next(message[1] as string, "NEG-ERR")).slice(2)
    }
    expect(await error("NEG-OPEN", "big", {}, "61")).toEqual(["blocked: this query is too big; narrow the filter", 10])
    const open = async (id: string) => {
      client.send("NEG-OPEN", id, { limit: 8 }, "61")
      return client.next(id, "NEG-MSG")
    }
    expect((await open("1"))[2]).toBe("61")
    // 15 in all: 8 are held, 8 more are too many.
    expect(await error("NEG-OPEN", "2", { limit: 8 }, "61")).toEqual([expect.stringMatching(/^blocked: /), 10])
    client.send("NEG-OPEN", "2", { limit: 2 }, "61")
    await client.next("2", "NEG-MSG")
    expect(await error("NEG-OPEN", "3", { limit: 1 }, "61")).toEqual([expect.stringMatching(/^blocked: at most 2/)])
    client.send("NEG-CLOSE", "1")
    expect(await error("NEG-MSG", "1", "61")).toEqual([expect.stringMatching(/^closed: /)])
    expect(await error("NEG-MSG", "2", "zz")).toEqual([expect.stringMatching(/^invalid: /)])
    expect(await error("NEG-OPEN", "4", { kinds: 1 }, "61")).toEqual([expect.stringMatching(/^invalid: /)])
    expect(await error("NEG-OPEN", "4", { limit: 1 }, "00")).toEqual([expect.stringMatching(/^invalid: /)])
    // All were given back.
    await open("5")
    const rested = client.next("5", "NEG-ERR")
    clock.advance(11_000)
    expect((await rested)[2]).toMatch(/^closed: nothing came for 10 seconds/)
  })

  it("a foreign client syncs: rust-nostr finds and fetches what it lacks", async () => {
    loadWasmSync()
    const [relay, client] = await meet()
    const events = Array.from({ length: 60 }, (_, n) =>
      signed({ kind: 7, content: `${n}`, created_at: 1000 + (n % 5) }),
    )
    await Promise.all(events.map(client.publish))
    const rust = new Client()
    await rust.addRelay(relay.url)
    await rust.connect()
    const output = await rust.sync(new Filter().kind(new Kind(7)), new SyncOptions().direction(SyncDirection.Down))
    expect(output.report.remote.map((id) => id.toHex()).toSorted()).toEqual(events.map(({ id }) => id).toSorted())
    expect(output.report.received.length).toBe(60)
    await rust.shutdown()
  })
})
