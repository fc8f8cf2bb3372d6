/** From stored to live: who gets an event, and that nothing falls between the two (P19). */
import type { NostrEvent } from "../../../src/protocol/event.ts"
import { type Check, demand, required, optional, show } from "../check.ts"
import type { Connection } from "../connection.ts"
import { person } from "../person.ts"
import { type Relay, settled } from "../relay.ts"

/** A publisher never rests while subscribers join; how often each subscriber saw each event. */
const hammer = async (relay: Relay): Promise<readonly (readonly number[])[]> => {
  const alice = person()
  const events = Array.from({ length: 150 }, () => alice.event())
  const publisher = await relay.connect()
  const joining: Promise<Connection>[] = []
  for (const [n, event] of events.entries()) {
    if (n % 15 === 7) joining.push(join(relay, alice.pubkey))
    await publisher.store(event)
  }
  const observers = await Promise.all(joining)
  for (const observer of observers) await settled(observer, publisher)
  return observers.map((observer) => {
    const came = observer.eventsOf("s")
    return events.map(({ id }) => came.filter((event) => event.id === id).length)
  })
}

const join = async (relay: Relay, author: string): Promise<Connection> => {
  const client = await relay.connect()
  await client.open("s", { authors: [author], limit: 500 })
  return client
}

export const live: readonly Check[] = [
  required("an event reaches a subscription of another connection", async (relay) => {
    const [observer, publisher] = [await relay.connect(), await relay.connect()]
    const alice = person()
    await observer.open("s", { authors: [alice.pubkey] })
    const event = alice.event()
    await publisher.store(event)
    const came = await observer.until("the event", (m) => m[0] === "EVENT" && m[1] === "s")
    demand((came[2] as NostrEvent).sig === event.sig, show(event), show(came[2]))
  }),
  required("an event reaches a subscription of the connection that published it", async (relay) => {
    const client = await relay.connect()
    const alice = person()
    await client.open("s", { authors: [alice.pubkey] })
    await client.store(alice.event())
    await client.until("the event", (m) => m[0] === "EVENT" && m[1] === "s")
  }),
  required("an event reaches thirty subscribers, once each", async (relay) => {
    const alice = person()
    const observers = await Promise.all(Array.from({ length: 30 }, () => relay.connect()))
    await Promise.all(observers.map((observer) => observer.open("s", { authors: [alice.pubkey] })))
    const publisher = await relay.connect()
    await publisher.store(alice.event())
    await Promise.all(observers.map((observer) => observer.until("the event", (m) => m[0] === "EVENT" && m[1] === "s")))
    await settled(observers[0] as (typeof observers)[number], publisher)
    const counts = observers.map((observer) => observer.eventsOf("s").length)
    demand(
      counts.every((count) => count === 1),
      "1 for each",
      show(counts),
    )
  }),
  required("an event that is older than what was asked for last is delivered live all the same", async (relay) => {
    const [observer, publisher] = [await relay.connect(), await relay.connect()]
    const alice = person()
    await publisher.store(alice.event())
    await observer.open("s", { authors: [alice.pubkey] })
    await publisher.store(alice.event({ created_at: Math.floor(Date.now() / 1000) - 40_000 }))
    await settled(observer, publisher)
    demand(observer.eventsOf("s").length === 2, "2 events", String(observer.eventsOf("s").length))
  }),
  required("events come live in the order in which they were taken", async (relay) => {
    const [observer, publisher] = [await relay.connect(), await relay.connect()]
    const alice = person()
    await observer.open("s", { authors: [alice.pubkey] })
    const events = Array.from({ length: 10 }, () => alice.event())
    for (const event of events) await publisher.store(event)
    await settled(observer, publisher)
    const order = observer.eventsOf("s").map(({ id }) => events.findIndex((event) => event.id === id))
    demand(order.join() === "0,1,2,3,4,5,6,7,8,9", "0 to 9", order.join())
  }),
  required("who joins while events are published misses none between stored and live (P19)", async (relay) => {
    const missed = (await hammer(relay)).map((counts) => counts.filter((count) => count === 0).length)
    demand(
      missed.every((count) => count === 0),
      "none missed by ten subscribers",
      `missed: ${missed.join(" ")}`,
    )
  }),
  optional("who joins while events are published gets none twice (P19)", async (relay) => {
    const doubled = (await hammer(relay)).map((counts) => counts.filter((count) => count > 1).length)
    demand(
      doubled.every((count) => count === 0),
      "none twice for ten subscribers",
      `twice: ${doubled.join(" ")}`,
    )
  }),
]
