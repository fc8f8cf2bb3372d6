/** REQ, EOSE and CLOSE: how a subscription begins, what it is called, and how it ends. */
import { type Check, demand, optional, required, show } from "../check.ts"
import { hex32, person } from "../person.ts"
import { settled } from "../relay.ts"

export const subscriptions: readonly Check[] = [
  required("EOSE comes once where nothing is stored", async (relay) => {
    const [client, publisher] = [await relay.connect(), await relay.connect()]
    const alice = person()
    const { events, closed } = await client.open("s", { authors: [alice.pubkey], kinds: [1], limit: 10 })
    demand(events.length === 0 && closed === undefined, "EOSE alone", closed ?? show(events))
    await publisher.store(alice.event())
    await settled(client, publisher)
    const eoses = client.received.filter((m) => m[0] === "EOSE" && m[1] === "s").length
    demand(eoses === 1, "one EOSE", String(eoses))
  }),
  required("EOSE comes once, after the stored events", async (relay) => {
    const client = await relay.connect()
    const alice = person()
    await client.store(alice.event(), alice.event(), alice.event())
    const { events } = await client.open("s", { authors: [alice.pubkey] })
    demand(events.length === 3, "3 events before EOSE", String(events.length))
    await settled(client, await relay.connect())
    const eoses = client.received.filter((m) => m[0] === "EOSE" && m[1] === "s").length
    demand(
      eoses === 1 && client.eventsOf("s").length === 3,
      "one EOSE and 3 events",
      `${eoses} and ${client.eventsOf("s").length}`,
    )
  }),
  required("EOSE comes once for several filters", async (relay) => {
    const client = await relay.connect()
    const alice = person()
    await client.store(alice.event())
    await client.open("s", { authors: [alice.pubkey] }, { ids: [hex32()] }, { authors: [hex32()] })
    await settled(client, await relay.connect())
    const eoses = client.received.filter((m) => m[0] === "EOSE" && m[1] === "s").length
    demand(eoses === 1, "one EOSE", String(eoses))
  }),
  required("a subscription stays open after EOSE, also one that ends in the past", async (relay) => {
    const client = await relay.connect()
    await client.open("s", { authors: [hex32()], kinds: [1], until: 1_700_000_000 })
    await settled(client, await relay.connect())
    const closed = client.received.find((m) => m[0] === "CLOSED" && m[1] === "s")
    demand(closed === undefined, "an open subscription", show(closed))
  }),
  required(
    "a subscription for an id that is not there yet is closed, or gets the event when it comes",
    async (relay) => {
      const [client, publisher] = [await relay.connect(), await relay.connect()]
      const event = person().event()
      await client.open("s", { ids: [event.id] })
      await publisher.store(event)
      await client.until(
        "the event, or CLOSED",
        (m) => m[1] === "s" && (m[0] === "CLOSED" || (m[0] === "EVENT" && (m[2] as typeof event).id === event.id)),
      )
    },
  ),
  required("CLOSE ends a subscription", async (relay) => {
    const [client, publisher] = [await relay.connect(), await relay.connect()]
    const alice = person()
    await client.open("s", { authors: [alice.pubkey] })
    client.send("CLOSE", "s")
    await client.open("after", { ids: [hex32()] })
    await publisher.store(alice.event())
    await settled(client, publisher)
    demand(client.eventsOf("s").length === 0, "nothing after CLOSE", show(client.eventsOf("s")))
  }),
  required("CLOSE ends only the one that it names", async (relay) => {
    const [client, publisher] = [await relay.connect(), await relay.connect()]
    const alice = person()
    await client.open("one", { authors: [alice.pubkey] })
    await client.open("two", { authors: [alice.pubkey] })
    client.send("CLOSE", "one")
    await client.open("after", { ids: [hex32()] })
    await publisher.store(alice.event())
    await settled(client, publisher)
    const counts = [client.eventsOf("one").length, client.eventsOf("two").length]
    demand(show(counts) === "[0,1]", "nothing for one, the event for two", show(counts))
  }),
  required("CLOSE of what was never opened does no harm", async (relay) => {
    const client = await relay.connect()
    client.send("CLOSE", "never")
    await client.query({ ids: [hex32()] })
  }),
  required("a REQ with the id of an open subscription takes its place", async (relay) => {
    const [client, publisher] = [await relay.connect(), await relay.connect()]
    const [alice, bob] = [person(), person()]
    await client.open("s", { authors: [alice.pubkey] })
    await client.open("s", { authors: [bob.pubkey] })
    await publisher.store(alice.event(), bob.event())
    await settled(client, publisher)
    const authors = client.eventsOf("s").map(({ pubkey }) => (pubkey === bob.pubkey ? "new" : "old"))
    demand(show(authors) === '["new"]', "the new filter's event alone", show(authors))
  }),
  required("a REQ that takes another's place brings stored events and EOSE of its own", async (relay) => {
    const client = await relay.connect()
    const [alice, bob] = [person(), person()]
    await client.store(alice.event(), bob.event())
    await client.open("s", { authors: [alice.pubkey] })
    const { events } = await client.open("s", { authors: [bob.pubkey] })
    demand(events.length === 1 && events[0]?.pubkey === bob.pubkey, "the new filter's event", show(events))
  }),
  required("one id on two connections is two subscriptions", async (relay) => {
    const [one, two, publisher] = [await relay.connect(), await relay.connect(), await relay.connect()]
    const [alice, bob] = [person(), person()]
    await one.open("s", { authors: [alice.pubkey] })
    await two.open("s", { authors: [bob.pubkey] })
    await publisher.store(alice.event(), bob.event())
    await settled(one, publisher)
    await settled(two, publisher)
    const came = [one, two].map((c) =>
      c
        .eventsOf("s")
        .map(({ pubkey }) => (pubkey === alice.pubkey ? "a" : "b"))
        .join(),
    )
    demand(came.join("|") === "a|b", "to each what it asked for", show(came))
  }),
  required("two subscriptions of one connection each get an event that fits both", async (relay) => {
    const [client, publisher] = [await relay.connect(), await relay.connect()]
    const alice = person()
    await client.open("one", { authors: [alice.pubkey] })
    await client.open("two", { authors: [alice.pubkey], kinds: [1] })
    await publisher.store(alice.event())
    await settled(client, publisher)
    const counts = [client.eventsOf("one").length, client.eventsOf("two").length]
    demand(show(counts) === "[1,1]", "the event once for each", show(counts))
  }),
  required("a subscription id of 64 characters is taken", async (relay) => {
    const client = await relay.connect()
    const { closed } = await client.open("x".repeat(64), { ids: [hex32()] })
    demand(closed === undefined, "EOSE", `CLOSED ${show(closed)}`)
  }),
  required("a subscription id of quotes, spaces and emoji comes back as it was", async (relay) => {
    const client = await relay.connect()
    await client.open('a "b" \\ \n 🤙', { ids: [hex32()] })
  }),
  optional("an empty subscription id is refused", async (relay) => {
    const client = await relay.connect()
    client.send("REQ", "", { ids: [hex32()] })
    const answer = await client.until(
      "CLOSED or NOTICE",
      (m) => m[0] === "CLOSED" || m[0] === "NOTICE" || m[0] === "EOSE",
    )
    demand(answer[0] !== "EOSE", "CLOSED or NOTICE", show(answer))
  }),
  optional("a subscription id longer than 64 characters, or than NIP-11 says, is refused", async (relay) => {
    const client = await relay.connect()
    client.send("REQ", "x".repeat((relay.limitation("max_subid_length") ?? 64) + 1), { ids: [hex32()] })
    const answer = await client.until(
      "CLOSED or NOTICE",
      (m) => m[0] === "CLOSED" || m[0] === "NOTICE" || m[0] === "EOSE",
    )
    demand(answer[0] !== "EOSE", "CLOSED or NOTICE", show(answer))
  }),
  optional("twenty subscriptions are open at a time, or as many as NIP-11 says", async (relay) => {
    const count = Math.min(20, relay.limitation("max_subscriptions") ?? 20)
    const [client, publisher] = [await relay.connect(), await relay.connect()]
    const alice = person()
    for (let n = 0; n < count; n++) {
      const { closed } = await client.open(`s${n}`, { authors: [alice.pubkey] })
      demand(closed === undefined, `subscription ${n + 1} of ${count} open`, `CLOSED ${show(closed)}`)
    }
    await publisher.store(alice.event())
    for (let n = 0; n < count; n++)
      await client.until(`the event for subscription ${n + 1}`, (m) => m[0] === "EVENT" && m[1] === `s${n}`)
  }),
  optional("twenty connections are open at a time, and one that left may come again", async (relay) => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => relay.connect()))
    await Promise.all(clients.map((client) => client.query({ ids: [hex32()] })))
    clients[0]?.close()
    await (await relay.connect()).query({ ids: [hex32()] })
  }),
]
