/** What the number of a kind means: regular events are kept, ephemeral ones pass by. */
import { type Check, demand, optional, required, show } from "../check.ts"
import { now, person } from "../person.ts"
import { type Relay, settled } from "../relay.ts"

const bothKept = async (relay: Relay, kind: number): Promise<void> => {
  const alice = person()
  const client = await relay.connect()
  const tags = [["d", "same"]]
  await client.store(alice.event({ kind, tags }), alice.event({ kind, tags, created_at: now() - 5 }))
  await settled(client, client)
  const came = await client.query({ authors: [alice.pubkey], kinds: [kind] })
  demand(came.length === 2, `both events of kind ${kind}`, String(came.length))
}

const passes = async (relay: Relay, kind: number): Promise<void> => {
  const alice = person()
  const [observer, publisher] = [await relay.connect(), await relay.connect()]
  await observer.open("s", { authors: [alice.pubkey], kinds: [kind] })
  publisher.send("EVENT", alice.event({ kind }))
  await observer.until("the ephemeral event, live", (m) => m[0] === "EVENT" && m[1] === "s")
}

const notKept = async (relay: Relay, kind: number): Promise<void> => {
  const alice = person()
  const client = await relay.connect()
  const event = alice.event({ kind })
  client.send("EVENT", event)
  await settled(client, client)
  for (const filter of [{ ids: [event.id] }, { authors: [alice.pubkey] }, { kinds: [kind], authors: [alice.pubkey] }]) {
    const came = await client.query(filter)
    demand(came.length === 0, `nothing stored of kind ${kind}`, show(came))
  }
}

export const kinds: readonly Check[] = [
  ...[1, 2, 7, 44, 1_000, 9_999].map((kind) =>
    required(`two events of the regular kind ${kind} are both kept`, (relay) => bothKept(relay, kind)),
  ),
  ...[20_000, 23_195, 29_999].map((kind) =>
    required(`ephemeral events of kind ${kind} are delivered live`, (relay) => passes(relay, kind)),
  ),
  required("an ephemeral event is answered by OK like any other", async (relay) => {
    await (await relay.connect()).publish(person().event({ kind: 20_001 }))
  }),
  ...[20_000, 25_000, 29_999].map((kind) =>
    required(`ephemeral events of kind ${kind} are not stored`, (relay) => notKept(relay, kind)),
  ),
  required("ephemeral events are chosen by tags on live subscriptions", async (relay) => {
    const alice = person()
    const [observer, publisher] = [await relay.connect(), await relay.connect()]
    await observer.open("s", { kinds: [24_133], "#p": [alice.pubkey] })
    for (const to of [person(), alice])
      publisher.send("EVENT", person().event({ kind: 24_133, tags: [["p", to.pubkey]] }))
    await settled(observer, publisher)
    demand(observer.eventsOf("s").length === 1, "the one for this key", String(observer.eventsOf("s").length))
  }),
  optional("a kind of 40000 and above is kept", async (relay) => {
    const event = person().event({ kind: 40_001 })
    const client = await relay.connect()
    await client.store(event)
    demand((await client.query({ ids: [event.id] })).length === 1, "the event", "none")
  }),
]
