/** A client that pages with `until` reads it all, however the events lie in time, and knows when it is done (NIP-67). */
import * as fc from "fast-check"
import { afterEach, describe, expect, it } from "vitest"
import { type NostrEvent, withId } from "../../src/protocol/event.ts"
import type { RelayServer } from "../../src/relay/relay.ts"
import { connect, startRelay, type TestClient, trustingVerifier, unsigned } from "./client.ts"

const running: RelayServer[] = []
const meet = async (options: Parameters<typeof startRelay>[0] = {}): Promise<[RelayServer, TestClient]> => {
  const relay = await startRelay({ verifier: trustingVerifier, ...options })
  running.push(relay)
  return [relay, await connect(relay.url)]
}
afterEach(async () => {
  for (const relay of running.splice(0)) await relay.close()
})

const at = (created_at: number, n: number): NostrEvent =>
  unsigned(
    withId("a".repeat(64), { kind: 1, created_at, tags: [["t", n % 2 === 0 ? "even" : "odd"]], content: `${n}` }),
  )
const ids = (events: readonly NostrEvent[]): readonly string[] => events.map(({ id }) => id)
const inOrder = (events: readonly NostrEvent[]): readonly string[] =>
  ids([...events].sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1)))
const ask = async (client: TestClient, filter: object) => {
  const events = await client.req("page", filter)
  const hints = client.received.findLast((m) => m[0] === "EOSE" && m[1] === "page")?.[2]
  return { events, hints }
}

describe("paging", () => {
  it("A2, P4, P8: pages of the relay's own length, each from the second before the last, hold every event once", async () => {
    const seconds = fc.array(fc.integer({ min: 100, max: 106 }), { maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(seconds, fc.integer({ min: 1, max: 9 }), fc.boolean(), async (times, rowsMax, isTwoTags) => {
        const [relay, client] = await meet({ limits: { relayRowsMax: rowsMax } })
        const events = times.map(at)
        await Promise.all(events.map(client.publish))
        const got: NostrEvent[] = []
        let until: number | undefined
        for (;;) {
          const wanted = isTwoTags ? { "#t": ["even", "odd"] } : {}
          const page = await ask(client, { ...wanted, ...(until !== undefined && { until }) })
          expect(ids(page.events)).toEqual(inOrder(page.events))
          got.push(...page.events)
          expect(page.hints).toEqual([page.events.length > 0 && got.length < events.length ? "more" : "finish"])
          if ((page.hints as string[])[0] === "finish") break
          until = (page.events.at(-1) as NostrEvent).created_at - 1
        }
        expect(ids(got)).toEqual(inOrder(events))
        client.close()
        await relay.close()
        running.pop()
      }),
      { numRuns: 25 },
    )
  })

  it("P8: a client's own limit is kept to, and the hint tells a full page from the end", async () => {
    const [, client] = await meet()
    const events = Array.from({ length: 6 }, (_, n) => at(100, n))
    await Promise.all(events.map(client.publish))
    const order = inOrder(events)
    expect(await ask(client, { limit: 6 })).toMatchObject({ hints: ["finish"] })
    const five = await ask(client, { limit: 5 })
    expect([ids(five.events), five.hints]).toEqual([order.slice(0, 5), ["more"]])
    expect(await ask(client, { limit: 0 })).toEqual({ events: [], hints: ["more"] })
    expect(await ask(client, { limit: 0, kinds: [7] })).toEqual({ events: [], hints: ["finish"] })
    expect(await ask(client, { ids: [events[0]?.id] })).toMatchObject({ hints: ["finish"] })
  })

  it("A3: an answer of many turns comes whole and in order, while others are served", async () => {
    const [relay, client] = await meet()
    const events = Array.from({ length: 3000 }, (_, n) => at(100 + (n % 40), n))
    await Promise.all(events.map(client.publish))
    const other = await connect(relay.url)
    client.send("REQ", "page", {})
    client.send("REQ", "tags", { "#t": ["odd", "even"] })
    expect((await other.req("one", { limit: 1 })).length).toBe(1)
    for (const id of ["page", "tags"]) {
      await client.until((m) => m[0] === "EOSE" && m[1] === id)
      expect(ids(client.eventsOf(id))).toEqual(inOrder(events))
    }
    expect(await client.count("n", {})).toBe(3000)
    expect(await client.count("n", { "#t": ["odd"] }, { kinds: [1], until: 110 })).toBe(
      events.filter((event, n) => n % 2 === 1 || event.created_at <= 110).length,
    )
  })

  it("COUNT is exact by any filter, and takes no notice of limit", async () => {
    const [, client] = await meet({ limits: { relayTurnRowsMax: 1 } })
    await Promise.all(Array.from({ length: 25 }, (_, n) => client.publish(at(100, n))))
    for (const filter of [{}, { kinds: [1, 1, 7] }, { "#t": ["even", "odd"], limit: 3 }, { authors: ["a".repeat(64)] }])
      expect(await client.count("n", filter)).toBe(25)
    expect(await client.count("n", { "#t": ["even"] })).toBe(13)
    expect(await client.count("n", { kinds: "1" })).toMatch(/^invalid: /)
    expect(await client.count("n")).toMatch(/^invalid: /)
  })
})
