/** `limit`: the newest so many, in their order; and pages that lose nothing (P4, P8). */
import type { NostrEvent } from "../../../src/protocol/event.ts"
import { type Check, demand, optional, required, show } from "../check.ts"
import type { Connection } from "../connection.ts"
import { newestFirst, now, person } from "../person.ts"
import { settled } from "../relay.ts"

/** By their place in the order that is due, so that a failure can be read. */
const places = (due: readonly NostrEvent[], came: readonly NostrEvent[]): string =>
  came.map(({ id }) => due.findIndex((event) => event.id === id) + 1).join(" ")

/** Six events, published in a muddle. */
const six = () => {
  const alice = person()
  const base = now() - 50
  const events = [3, 1, 5, 0, 2, 4].map((age) => alice.event({ created_at: base - age }))
  return { alice, events, due: [...events].sort(newestFirst) }
}

/** One after the other; when it returns, none of them can come live any more. */
const fill = async (client: Connection, events: readonly NostrEvent[]): Promise<void> => {
  for (const event of events) await client.store(event)
  await settled(client, client)
}

export const limits: readonly Check[] = [
  required("stored events come newest first", async (relay) => {
    const { alice, events, due } = six()
    const client = await relay.connect()
    await fill(client, events)
    const dates = (await client.query({ authors: [alice.pubkey] })).map(({ created_at }) => created_at)
    demand(show(dates) === show(due.map(({ created_at }) => created_at)), "the newest first", show(dates))
  }),
  required("events of one second come by the lowest id", async (relay) => {
    const alice = person()
    const created_at = now() - 50
    const events = Array.from({ length: 8 }, () => alice.event({ created_at }))
    const due = [...events].sort(newestFirst)
    const client = await relay.connect()
    await client.store(...events)
    const came = await client.query({ authors: [alice.pubkey] })
    demand(places(due, came) === places(due, due), places(due, due), places(due, came))
  }),
  ...[1, 2, 3, 4].map((limit) =>
    required(`limit ${limit} brings exactly the newest ${limit}`, async (relay) => {
      const { alice, events, due } = six()
      const client = await relay.connect()
      await fill(client, events)
      const came = await client.query({ authors: [alice.pubkey], kinds: [1], limit })
      const wanted = due.slice(0, limit)
      demand(places(due, came) === places(due, wanted), `numbers ${places(due, wanted)} of 6`, places(due, came))
    }),
  ),
  required("the newest are chosen among two values of a tag", async (relay) => {
    const alice = person()
    const base = now() - 50
    const [x, y] = [alice.pubkey.slice(0, 20), alice.pubkey.slice(20, 40)]
    const events = [0, 1, 2, 3].map((age) =>
      alice.event({ kind: age % 2 === 0 ? 1 : 7, created_at: base - age, tags: [["t", age % 2 === 0 ? x : y]] }),
    )
    const client = await relay.connect()
    await fill(client, events.toReversed())
    const came = await client.query({ "#t": [x, y], kinds: [1, 7], limit: 2 })
    demand(places(events, came) === "1 2", "numbers 1 2 of 4", places(events, came))
  }),
  required("a limit above what there is brings all", async (relay) => {
    const { alice, events, due } = six()
    const client = await relay.connect()
    await client.store(...events)
    const came = await client.query({ authors: [alice.pubkey], limit: 400 })
    demand(came.length === due.length, "6 events", String(came.length))
  }),
  required("limit 0 brings nothing stored, EOSE, and what comes live", async (relay) => {
    const { alice, events } = six()
    const client = await relay.connect()
    await client.store(...events)
    const { events: before, closed } = await client.open("s", { authors: [alice.pubkey], limit: 0 })
    demand(before.length === 0 && closed === undefined, "EOSE alone", closed ?? `${before.length} events`)
    const event = alice.event()
    await client.store(event)
    const came = await client.until("the live event", (m) => m[0] === "EVENT" && m[1] === "s")
    demand((came[2] as NostrEvent).id === event.id, "the live event", show(came))
  }),
  required("limit does not count live events", async (relay) => {
    const { alice, events } = six()
    const [observer, publisher] = [await relay.connect(), await relay.connect()]
    await publisher.store(...events)
    await observer.open("s", { authors: [alice.pubkey], limit: 1 })
    await publisher.store(alice.event(), alice.event(), alice.event())
    await settled(observer, publisher)
    demand(observer.eventsOf("s").length === 4, "1 stored and 3 live", String(observer.eventsOf("s").length))
  }),
  optional("each filter of a REQ has its own limit", async (relay) => {
    const [one, two] = [six(), six()]
    const client = await relay.connect()
    await client.store(...one.events, ...two.events)
    const came = await client.query(
      { authors: [one.alice.pubkey], limit: 1 },
      { authors: [two.alice.pubkey], limit: 2 },
    )
    const count = (pubkey: string) => came.filter((event) => event.pubkey === pubkey).length
    demand(
      count(one.alice.pubkey) === 1 && count(two.alice.pubkey) === 2,
      "1 and 2 events",
      `${count(one.alice.pubkey)} and ${count(two.alice.pubkey)}`,
    )
  }),
  required("pages by until lose nothing, and a page has no more than was asked for", async (relay) => {
    const alice = person()
    const base = now() - 500
    const events = Array.from({ length: 60 }, (_, n) => alice.event({ created_at: base - Math.floor(n / 3) }))
    const client = await relay.connect()
    await client.store(...events)
    const found = new Set<string>()
    let until: number | undefined
    for (let page = 0; page < 40; page++) {
      const came = await client.query({ authors: [alice.pubkey], limit: 7, ...(until !== undefined && { until }) })
      demand(came.length <= 7, "at most 7 events", String(came.length))
      const fresh = came.filter(({ id }) => !found.has(id))
      for (const { id } of came) found.add(id)
      if (fresh.length === 0) break
      until = came.at(-1)?.created_at
    }
    demand(found.size === 60, "60 events over the pages", String(found.size))
  }),
  required("many events of one second are all stored and found (P4)", async (relay) => {
    const alice = person()
    const created_at = now() - 20
    const events = Array.from({ length: 120 }, () => alice.event({ created_at }))
    const client = await relay.connect()
    await client.store(...events)
    const came = await client.query({ authors: [alice.pubkey], since: created_at, limit: 200 })
    demand(new Set(came.map(({ id }) => id)).size === 120, "120 events", String(came.length))
  }),
  required("a page of exactly limit events that are all of one second is the lowest ids (P8)", async (relay) => {
    const alice = person()
    const created_at = now() - 20
    const events = Array.from({ length: 20 }, () => alice.event({ created_at }))
    const due = [...events].sort(newestFirst)
    const client = await relay.connect()
    await fill(client, events)
    const came = await client.query({ authors: [alice.pubkey], until: created_at + 1, limit: 10 })
    demand(places(due, came) === places(due, due.slice(0, 10)), "numbers 1 to 10 of 20", places(due, came))
  }),
]
