/** NIP-45: how many. Exact, unless the answer says that it is an estimate. */
import { type Check, demand, type NipChecks, optional, required, show } from "./check.ts"
import type { Connection } from "./connection.ts"
import { hex32, now, person } from "./person.ts"
import { settled } from "./relay.ts"
import { makeGallery } from "./nip01/filters.ts"

export const nip45: NipChecks = {
  nip: 45,
  title: "Counts",
  claimedBy: [45],
  checks: [
    required("nothing is counted as 0", async (relay) => {
      await counts(await relay.connect(), 0, { authors: [hex32()] })
    }),
    ...byFilter(),
    required("an event that fits two filters is counted once", async (relay) => {
      const client = await relay.connect()
      const alice = person()
      const events = [alice.event(), alice.event({ kind: 7 })]
      await client.store(...events)
      await counts(
        client,
        2,
        { authors: [alice.pubkey] },
        { kinds: [7], authors: [alice.pubkey] },
        { ids: [events[0]?.id] },
      )
    }),
    required("two filters that fit different events are added up", async (relay) => {
      const client = await relay.connect()
      const [alice, bob] = [person(), person()]
      await client.store(alice.event(), bob.event(), bob.event())
      await counts(client, 3, { authors: [alice.pubkey] }, { authors: [bob.pubkey] })
    }),
    required("a version that was replaced is not counted", async (relay) => {
      const client = await relay.connect()
      const alice = person()
      await client.store(alice.event({ kind: 10_002, created_at: now() - 10 }))
      await client.store(alice.event({ kind: 10_002 }))
      await counts(client, 1, { authors: [alice.pubkey], kinds: [10_002] })
    }),
    required("300 events are counted as 300", async (relay) => {
      const client = await relay.connect()
      const alice = person()
      await client.store(...Array.from({ length: 300 }, (_, n) => alice.event({ created_at: now() - n })))
      await counts(client, 300, { authors: [alice.pubkey] })
    }),
    required("a count follows what is published", async (relay) => {
      const client = await relay.connect()
      const alice = person()
      for (let n = 0; n < 3; n++) {
        await counts(client, n, { authors: [alice.pubkey] })
        await client.store(alice.event())
      }
    }),
    required("a count opens no subscription", async (relay) => {
      const [client, publisher] = [await relay.connect(), await relay.connect()]
      const alice = person()
      await counts(client, 0, { authors: [alice.pubkey] })
      await publisher.store(alice.event())
      await settled(client, publisher)
      const stray = client.received.filter((m) => m[1] === "count" && m[0] !== "COUNT")
      demand(stray.length === 0, "COUNT alone", show(stray))
    }),
    required("a count leaves a subscription of the same id alone", async (relay) => {
      const client = await relay.connect()
      const alice = person()
      await client.open("count", { authors: [alice.pubkey] })
      await counts(client, 0, { authors: [hex32()] })
      await client.store(alice.event())
      await client.until("the live event", (m) => m[0] === "EVENT" && m[1] === "count")
    }),
    required("a count that cannot be given is refused by CLOSED", async (relay) => {
      const client = await relay.connect()
      client.send("COUNT", "wrong", { kinds: "all" })
      const answer = await client.until("CLOSED", (m) => m[1] === "wrong")
      demand(answer[0] === "CLOSED" && /^[a-z-]+:/.test(String(answer[2])), "CLOSED with a reason", show(answer))
    }),
    optional("a COUNT without filters is refused by CLOSED or NOTICE", async (relay) => {
      const client = await relay.connect()
      client.send("COUNT", "none")
      const answer = await client.until("CLOSED or NOTICE", (m) => m[0] === "NOTICE" || m[1] === "none")
      demand(answer[0] !== "COUNT", "CLOSED or NOTICE", show(answer))
    }),
    optional("a limit does not cap a count", async (relay) => {
      const client = await relay.connect()
      const alice = person()
      await client.store(alice.event(), alice.event(), alice.event())
      const answer = await count(client, { authors: [alice.pubkey], limit: 0 }, { authors: [alice.pubkey], limit: 1 })
      const number = (answer[2] as { count?: number }).count
      demand(number === 3 || number === 1, "3, or the 1 that the limits leave", show(answer))
    }),
  ],
}

function byFilter(): readonly Check[] {
  const shapes: Readonly<Record<string, (g: ReturnType<typeof makeGallery>) => readonly [number, object]>> = {
    "by author": (g) => [8, { authors: [g.a.pubkey] }],
    "by author and kind": (g) => [2, { authors: [g.a.pubkey], kinds: [g.k2] }],
    "by tag": (g) => [3, { "#t": [g.x] }],
    "by two values of a tag, an event with both once": (g) => [4, { "#t": [g.x, g.y] }],
    "by two tags": (g) => [1, { "#t": [g.x], "#e": [g.e] }],
    "by ids": (g) => [2, { ids: [g.events.x.id, g.events.y.id, hex32()] }],
    "by since and until": (g) => [2, { authors: [g.a.pubkey], since: g.base - 10, until: g.base - 10 }],
  }
  return Object.entries(shapes).map(([way, due]) =>
    required(`the count is exact ${way}`, async (relay) => {
      const gallery = makeGallery()
      const client = await relay.connect()
      await client.store(...gallery.list)
      const [number, filter] = due(gallery)
      await counts(client, number, filter)
    }),
  )
}

const count = (client: Connection, ...filters: readonly object[]) => {
  const from = client.received.length
  client.send("COUNT", "count", ...filters)
  return client.until("COUNT or CLOSED", (m) => (m[0] === "COUNT" || m[0] === "CLOSED") && m[1] === "count", from)
}

const counts = async (client: Connection, due: number, ...filters: readonly object[]): Promise<void> => {
  const answer = await count(client, ...filters)
  const result = answer[2] as { readonly count?: unknown; readonly approximate?: unknown } | null
  const isRight = result?.count === due || (result?.approximate === true && typeof result.count === "number")
  demand(answer[0] === "COUNT" && isRight, `COUNT ${due}`, show(answer))
}
