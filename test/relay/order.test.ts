/** The order of what a client is told, whatever it asks and when. */
import * as fc from "fast-check"
import { afterEach, expect, it } from "vitest"
import { type NostrEvent, withId } from "../../src/protocol/event.ts"
import type { RelayServer } from "../../src/relay/relay.ts"
import { connect, startRelay, trustingVerifier, unsigned } from "./client.ts"

let relay: RelayServer
afterEach(() => relay.close())

let serial = 0
const eventOf = (kind: number, created_at: number): NostrEvent =>
  unsigned(withId("a".repeat(64), { kind, created_at, tags: [], content: `${serial++}` }))

const id = fc.constantFrom("a", "b")
const step = fc.oneof(
  fc.record({ req: id, limit: fc.constantFrom(0, 2, 500) }),
  fc.record({ bad: id }),
  fc.record({ close: id }),
  fc.record({ publish: fc.constantFrom(1, 7, 20_001), at: fc.integer({ min: 1, max: 9 }) }),
)

it("P9, P20: one EOSE or CLOSED for each REQ, the stored before it in order, an ephemeral event never among them", async () => {
  relay = await startRelay({ verifier: trustingVerifier, limits: { relayTurnRowsMax: 2 } })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const client = await connect(relay.url)
      const asked = { a: 0, b: 0 }
      let published: NostrEvent | undefined
      for (const each of steps) {
        if ("publish" in each) client.send("EVENT", (published = eventOf(each.publish, each.at)))
        else if ("close" in each) client.send("CLOSE", each.close)
        else {
          const name = ("req" in each ? each.req : each.bad) as "a" | "b"
          asked[name]++
          client.send("REQ", name, "req" in each ? { limit: each.limit } : { kinds: "all" })
        }
      }
      if (published !== undefined) await client.until((m) => m[0] === "OK" && m[1] === published.id)
      // Both are open now, and every answer before was given or given up.
      for (const name of ["a", "b"]) await client.req(name, { limit: 0 })
      const last = eventOf(20_001, 1)
      await client.publish(last)
      for (const name of ["a", "b"] as const) {
        const told = client.received.filter((m) => m[1] === name)
        const ends = told.filter((m) => m[0] === "EOSE" || m[0] === "CLOSED")
        expect(ends.length).toBeLessThanOrEqual(asked[name] + 1)
        const lastEose = told.findLastIndex((m) => m[0] === "EOSE")
        // Limit 0: nothing stored comes after the last answer, and the live event once.
        expect(told.slice(lastEose + 1).map((m) => (m[2] as NostrEvent).id)).toEqual([last.id])
        const lastIds = told.filter((m) => m[0] === "EVENT").map((m) => (m[2] as NostrEvent).id)
        expect(lastIds.filter((one) => one === last.id).length).toBe(1)
      }
      const reader = await connect(relay.url)
      const stored = await reader.req("stored", {})
      expect(stored.every(({ kind }) => kind !== 20_001)).toBe(true)
      expect(stored.map(({ created_at }) => created_at)).toEqual(
        stored.map(({ created_at }) => created_at).toSorted((a, b) => b - a),
      )
      client.close()
      reader.close()
    }),
    { numRuns: 40 },
  )
})

it("P18, P13: commands without a d are kept one by one, those with one give way, over the socket in any order", async () => {
  relay = await startRelay({ verifier: trustingVerifier })
  const d = fc.constantFrom<readonly (readonly string[])[]>(
    [],
    [["d"]],
    [["d", ""]],
    [
      ["d", ""],
      ["d", "x"],
    ],
    [["d", "x"]],
    [
      ["d", "x"],
      ["d", ""],
    ],
  )
  const command = fc.record({ tags: d, created_at: fc.integer({ min: 1, max: 3 }) })
  let author = 0
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 12 }), async (commands) => {
      const pubkey = (author++).toString(16).padStart(64, "0")
      const events = commands.map((each) => unsigned(withId(pubkey, { kind: 30_079, content: `${serial++}`, ...each })))
      const client = await connect(relay.url)
      await client.req("live", { authors: [pubkey] })
      for (const event of events) expect(await client.publish(event)).toMatchObject({ ok: true })
      const isPlain = (event: NostrEvent): boolean => (event.tags[0]?.[1] ?? "") === ""
      const newest = (a: NostrEvent, b: NostrEvent): number => b.created_at - a.created_at || (a.id < b.id ? -1 : 1)
      const plain = events.filter(isPlain)
      const held = [
        ...plain,
        ...events
          .filter((event) => !isPlain(event))
          .sort(newest)
          .slice(0, 1),
      ]
      const wanted = { kinds: [30_079], authors: [pubkey] }
      expect((await client.req("held", wanted)).map(({ id }) => id)).toEqual(held.sort(newest).map(({ id }) => id))
      expect(await client.count("held", wanted)).toBe(held.length)
      const live = new Set(client.eventsOf("live").map(({ id }) => id))
      expect(plain.every((event) => live.has(event.id))).toBe(true)
      client.close()
    }),
    { numRuns: 40 },
  )
})
