/** NIP-40: what has expired is not taken, not served, not counted. */
import type { NostrEvent } from "../../src/protocol/event.ts"
import { demand, type NipChecks, optional, required, show, skip } from "./check.ts"
import { reconcile } from "./negentropy-client.ts"
import { now, person, type Person } from "./person.ts"
import { settled } from "./relay.ts"

export const nip40: NipChecks = {
  nip: 40,
  title: "Expiration",
  claimedBy: [40],
  checks: [
    required("an event that has expired is refused", async (relay) => {
      const { ok, frame } = await (await relay.connect()).publish(until(person(), -60))
      demand(ok === false, "OK false", show(frame))
    }),
    required("an event that has expired is neither stored nor delivered live", async (relay) => {
      const alice = person()
      const [observer, publisher] = [await relay.connect(), await relay.connect()]
      await observer.open("s", { authors: [alice.pubkey] })
      await publisher.publish(until(alice, -60))
      await settled(observer, publisher)
      demand(observer.eventsOf("s").length === 0, "nothing live", show(observer.eventsOf("s")))
      const stored = await publisher.query({ authors: [alice.pubkey] })
      demand(stored.length === 0, "nothing stored", show(stored))
    }),
    required("an event that expires later is taken, delivered live and served", async (relay) => {
      const alice = person()
      const [observer, publisher] = [await relay.connect(), await relay.connect()]
      await observer.open("s", { authors: [alice.pubkey] })
      const event = until(alice, 3_600)
      await publisher.store(event)
      await settled(observer, publisher)
      demand(observer.eventsOf("s").length === 1, "the event, live", String(observer.eventsOf("s").length))
      demand((await publisher.query({ ids: [event.id] })).length === 1, "the event, stored", "none")
    }),
    required("an event is served until it expires, and not after", async (relay) => {
      const alice = person()
      const client = await relay.connect()
      const event = until(alice, 3)
      await client.store(event)
      demand((await client.query({ ids: [event.id] })).length === 1, "the event before its time", "none")
      await past(event)
      for (const filter of [{ ids: [event.id] }, { authors: [alice.pubkey] }]) {
        const after = await client.query(filter)
        demand(after.length === 0, `nothing after its time for ${show(filter)}`, show(after))
      }
    }),
    required("an event that expires does not take another's place among the newest", async (relay) => {
      const alice = person()
      const client = await relay.connect()
      const event = until(alice, 3)
      const lasting = alice.event({ created_at: now() - 10 })
      await client.store(lasting, event)
      await past(event)
      const came = await client.query({ authors: [alice.pubkey], limit: 1 })
      demand(came[0]?.id === lasting.id, "the event that lasts", show(came))
    }),
    optional("an event that has expired is not counted", async (relay) => {
      if (!relay.claims(45)) skip("the relay does not claim NIP-45")
      const alice = person()
      const client = await relay.connect()
      const event = until(alice, 3)
      await client.store(event, alice.event())
      await past(event)
      client.send("COUNT", "c", { authors: [alice.pubkey] })
      const answer = await client.until("COUNT", (m) => m[0] === "COUNT")
      demand((answer[2] as { count: number }).count === 1, "1", show(answer))
    }),
    optional("an event that has expired is not offered by negentropy", async (relay) => {
      if (!relay.claims(77)) skip("the relay does not claim NIP-77")
      const alice = person()
      const client = await relay.connect()
      const [event, lasting] = [until(alice, 3), alice.event()]
      await client.store(event, lasting)
      await past(event)
      const { need } = await reconcile(client, { authors: [alice.pubkey] }, [])
      demand(show(need) === show([lasting.id]), "the event that lasts", show(need))
    }),
    optional("an expiration that is no number is none, or a reason to refuse", async (relay) => {
      const client = await relay.connect()
      for (const value of ["", "soon", "1e400"]) {
        const event = person().event({ tags: [["expiration", value]] })
        const { ok } = await client.publish(event)
        const came = await client.query({ ids: [event.id] })
        demand(
          came.length === (ok === true ? 1 : 0),
          "the event exactly if it was taken",
          `${came.length} for ${show(value)}`,
        )
      }
    }),
    required("an ephemeral event that expires later is delivered live", async (relay) => {
      const alice = person()
      const client = await relay.connect()
      await client.open("s", { authors: [alice.pubkey] })
      client.send("EVENT", alice.event({ kind: 20_001, tags: [["expiration", String(now() + 60)]] }))
      await client.until("the event", (m) => m[0] === "EVENT" && m[1] === "s")
    }),
  ],
}

const until = (who: Person, seconds: number): NostrEvent =>
  who.event({ tags: [["expiration", String(now() + seconds)]] })

/** Waits until the event has surely expired. */
const past = async (event: NostrEvent): Promise<void> => {
  const at = Number(event.tags[0]?.[1])
  await new Promise((resolve) => setTimeout(resolve, at * 1000 - Date.now() + 1_200))
}
