/** NIP-09: who may delete what, for how long it stays deleted, and that the request itself stays. */
import type { EventTemplate, NostrEvent } from "../../src/protocol/event.ts"
import { demand, type NipChecks, optional, required, show, skip } from "./check.ts"
import type { Connection } from "./connection.ts"
import { hex32, now, person, type Person } from "./person.ts"
import type { Relay } from "./relay.ts"

export const nip09: NipChecks = {
  nip: 9,
  title: "Deletion",
  claimedBy: [9],
  checks: [
    required("an event is gone after its author's deletion, by every filter", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const event = alice.event({ tags: [["t", alice.pubkey]] })
      await client.store(event)
      await client.store(deletionOf(alice, ["e", event.id]))
      for (const filter of [{ ids: [event.id] }, { authors: [alice.pubkey], kinds: [1] }, { "#t": [alice.pubkey] }])
        await gone(client, filter)
    }),
    required("several events go with one deletion, and no others", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const events = Array.from({ length: 4 }, () => alice.event())
      await client.store(...events)
      await client.store(deletionOf(alice, ...events.slice(0, 3).map(({ id }) => ["e", id])))
      const left = await client.query({ authors: [alice.pubkey], kinds: [1] })
      demand(left.length === 1 && left[0]?.id === events[3]?.id, "the fourth alone", show(left))
    }),
    required("the deletion itself is served", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const event = alice.event()
      const deletion = deletionOf(alice, ["e", event.id])
      await client.store(event)
      await client.store(deletion)
      for (const filter of [
        { ids: [deletion.id] },
        { kinds: [5], authors: [alice.pubkey] },
        { kinds: [5], "#e": [event.id] },
      ])
        demand((await client.query(filter)).length === 1, `the deletion for ${show(filter)}`, "none")
    }),
    required("the deletion is delivered live", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const event = alice.event()
      await client.store(event)
      await client.open("s", { kinds: [5], "#e": [event.id] })
      await client.store(deletionOf(alice, ["e", event.id]))
      await client.until("the deletion", (m) => m[0] === "EVENT" && m[1] === "s")
    }),
    required("a deleted event is refused when it is published again", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const event = alice.event()
      await client.store(event)
      await client.store(deletionOf(alice, ["e", event.id]))
      const { ok, frame } = await client.publish(event)
      demand(ok === false, "OK false", show(frame))
      await gone(client, { ids: [event.id] })
    }),
    required("a deleted event that is published again is not served, however it was answered", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const event = alice.event()
      await client.store(event)
      await client.store(deletionOf(alice, ["e", event.id]))
      await client.open("s", { ids: [event.id] })
      await client.publish(event)
      await gone(client, { ids: [event.id] })
      demand(client.eventsOf("s").length === 0, "no live event", show(client.eventsOf("s")))
    }),
    optional("a deletion that comes before its event keeps it out", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const event = alice.event()
      await client.store(deletionOf(alice, ["e", event.id]))
      await client.publish(event)
      await gone(client, { ids: [event.id] })
    }),
    required("a stranger's deletion changes nothing", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const event = alice.event()
      await client.store(event)
      await client.publish(deletionOf(person(), ["e", event.id]))
      await there(client, event)
    }),
    required("a stranger's deletion that comes first does not keep the event out", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const event = alice.event()
      await client.publish(deletionOf(person(), ["e", event.id]))
      await client.store(event)
      await there(client, event)
    }),
    required("of one deletion only the author's own events go", async (relay) => {
      const [alice, bob, client] = [person(), person(), await relay.connect()]
      const [own, other] = [alice.event(), bob.event()]
      await client.store(own, other)
      await client.publish(deletionOf(alice, ["e", other.id], ["e", own.id]))
      await there(client, other)
    }),
    required("a deletion of a deletion changes nothing", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const event = alice.event()
      const deletion = deletionOf(alice, ["e", event.id])
      await client.store(event)
      await client.store(deletion)
      await client.publish(deletionOf(alice, ["e", deletion.id]))
      await there(client, deletion)
      await client.publish(event)
      await gone(client, { ids: [event.id] })
    }),
    required("an a tag deletes the address's event", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      await client.store(article(alice, "x", -30))
      await client.store(deletionOf(alice, ["a", `30023:${alice.pubkey}:x`]))
      await gone(client, { authors: [alice.pubkey], kinds: [30_023] })
    }),
    required("an a tag deletes a replaceable kind's event", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      await client.store(alice.event({ kind: 10_002, created_at: now() - 30 }))
      await client.store(deletionOf(alice, ["a", `10002:${alice.pubkey}:`]))
      await gone(client, { authors: [alice.pubkey], kinds: [10_002] })
    }),
    required("an a tag deletes nothing newer than the deletion", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const young = article(alice, "x", -10)
      await client.store(article(alice, "x", -50))
      await client.store(young)
      await client.publish(deletionOf(alice, ["a", `30023:${alice.pubkey}:x`], -30))
      await there(client, young)
    }),
    optional("an a tag deletes what is of the deletion's own second", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      await client.store(article(alice, "x", -30))
      await client.store(deletionOf(alice, ["a", `30023:${alice.pubkey}:x`], -30))
      await gone(client, { authors: [alice.pubkey], kinds: [30_023] })
    }),
    required("an a tag deletes only the d and the kind that it names", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const [otherD, longerD] = [article(alice, "y", -30), article(alice, "xx", -30)]
      const otherKind = alice.event({ kind: 30_024, tags: [["d", "x"]], created_at: now() - 30 })
      await client.store(article(alice, "x", -30), otherD, longerD, otherKind)
      await client.store(deletionOf(alice, ["a", `30023:${alice.pubkey}:x`]))
      await gone(client, { authors: [alice.pubkey], kinds: [30_023], "#d": ["x"] })
      for (const event of [otherD, longerD, otherKind]) await there(client, event)
    }),
    required("an a tag with colons in its d deletes that address", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const other = article(alice, "a", -30)
      await client.store(article(alice, "a:b:c", -30), other)
      await client.store(deletionOf(alice, ["a", `30023:${alice.pubkey}:a:b:c`]))
      await gone(client, { authors: [alice.pubkey], "#d": ["a:b:c"] })
      await there(client, other)
    }),
    required("a stranger's a tag changes nothing", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const event = article(alice, "x", -30)
      await client.store(event)
      await client.publish(deletionOf(person(), ["a", `30023:${alice.pubkey}:x`]))
      await there(client, event)
    }),
    required("what an a tag deleted is refused when it is published again", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const event = article(alice, "x", -30)
      await client.store(event)
      await client.store(deletionOf(alice, ["a", `30023:${alice.pubkey}:x`]))
      const { ok, frame } = await client.publish(event)
      demand(ok === false, "OK false", show(frame))
    }),
    required("a version older than an a tag's deletion is kept out", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      await client.store(article(alice, "x", -50))
      await client.store(deletionOf(alice, ["a", `30023:${alice.pubkey}:x`], -10))
      await client.publish(article(alice, "x", -30))
      await gone(client, { authors: [alice.pubkey], kinds: [30_023] })
    }),
    required("a version newer than an a tag's deletion is taken", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      await client.store(article(alice, "x", -50))
      await client.store(deletionOf(alice, ["a", `30023:${alice.pubkey}:x`], -30))
      const young = article(alice, "x", -10)
      await client.store(young)
      await there(client, young)
    }),
    required("a deletion of what is not there is taken and served", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const deletion = deletionOf(alice, ["e", hex32()])
      await client.store(deletion)
      await there(client, deletion)
    }),
    optional("odd tags in a deletion do no harm", async (relay) => {
      const [alice, client] = [person(), await relay.connect()]
      const [event, other] = [alice.event(), alice.event()]
      await client.store(event, other)
      await client.publish(
        deletionOf(
          alice,
          ["e"],
          ["e", ""],
          ["e", "zz"],
          ["a"],
          ["a", "x"],
          ["a", `1:${alice.pubkey}:`],
          ["e", event.id],
        ),
      )
      await there(client, other)
    }),
    optional("an event that was deleted is not counted", async (relay) => {
      if (!relay.claims(45)) skip("the relay does not claim NIP-45")
      const [alice, client] = [person(), await relay.connect()]
      const event = alice.event()
      await client.store(event, alice.event())
      await client.store(deletionOf(alice, ["e", event.id]))
      client.send("COUNT", "c", { authors: [alice.pubkey], kinds: [1] })
      const answer = await client.until("COUNT", (m) => m[0] === "COUNT" && m[1] === "c")
      demand((answer[2] as { count: number }).count === 1, "1", show(answer))
    }),
    optional("a gift wrap is deleted by its recipient", async (relay) => {
      const recipient = person()
      const [client, publisher] = [await relay.connect(), await relay.connect()]
      if (isGated(relay)) await client.authenticate(recipient)
      const wrap = person().event({ kind: 1059, tags: [["p", recipient.pubkey]] })
      await publisher.store(wrap)
      await there(client, wrap, { kinds: [1059], "#p": [recipient.pubkey] })
      await publisher.store(deletionOf(recipient, ["e", wrap.id], ["k", "1059"]))
      await gone(client, { kinds: [1059], "#p": [recipient.pubkey] })
    }),
    required("a gift wrap is not deleted by a stranger", async (relay) => {
      const recipient = person()
      const [client, publisher] = [await relay.connect(), await relay.connect()]
      if (isGated(relay)) await client.authenticate(recipient)
      const wrap = person().event({ kind: 1059, tags: [["p", recipient.pubkey]] })
      await publisher.store(wrap)
      await publisher.publish(deletionOf(person(), ["e", wrap.id], ["k", "1059"]))
      await there(client, wrap, { kinds: [1059], "#p": [recipient.pubkey] })
    }),
    required("a note is not deleted by one whom it mentions", async (relay) => {
      const [alice, bob, client] = [person(), person(), await relay.connect()]
      const event = alice.event({ tags: [["p", bob.pubkey]] })
      await client.store(event)
      await client.publish(deletionOf(bob, ["e", event.id]))
      await there(client, event)
    }),
  ],
}

/** Tags, and at the end perhaps how many seconds off now it is dated. */
const deletionOf = (who: Person, ...parts: readonly (readonly string[] | number)[]): NostrEvent => {
  const offset = parts.find((part) => typeof part === "number") ?? 0
  const tags = parts.filter((part) => typeof part !== "number")
  return who.event({ kind: 5, tags, created_at: now() + offset, content: "" } satisfies EventTemplate)
}

/** Where wraps are served to their recipients only. */
const isGated = (relay: Relay): boolean => relay.claims(42) && (relay.claims(17) || relay.claims(59))

const article = (who: Person, d: string, offset: number): NostrEvent =>
  who.event({ kind: 30_023, tags: [["d", d]], created_at: now() + offset })

const gone = async (client: Connection, filter: object): Promise<void> => {
  const events = await client.query(filter)
  demand(events.length === 0, `nothing for ${show(filter)}`, show(events))
}

const there = async (client: Connection, event: NostrEvent, filter: object = { ids: [event.id] }): Promise<void> => {
  const events = await client.query(filter)
  demand(
    events.some(({ id }) => id === event.id),
    `the event of kind ${event.kind} still there`,
    "none",
  )
}
