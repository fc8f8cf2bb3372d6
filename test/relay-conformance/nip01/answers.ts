/** What a sound EVENT is answered, and that it comes back as it was. */
import { isDeepStrictEqual } from "node:util"
import { demand, optional, required, show } from "../check.ts"
import { hex32, now, person, unique } from "../person.ts"
import { settled } from "../relay.ts"

export const answers = [
  required("a sound event is answered OK true, with four elements and a text", async (relay) => {
    const { frame } = await (await relay.connect()).publish(person().event())
    demand(
      frame.length === 4 && frame[2] === true && typeof frame[3] === "string",
      '["OK", id, true, text]',
      show(frame),
    )
  }),
  required("a stored event comes back with all its fields as they were", async (relay) => {
    const event = person().event({
      tags: [
        ["t", unique()],
        ["e", hex32(), "wss://example.com", "reply"],
        ["x", "", "z"],
      ],
    })
    const client = await relay.connect()
    await client.store(event)
    const [back] = await (await relay.connect()).query({ ids: [event.id] })
    demand(isDeepStrictEqual(back, event), show(event, 500), show(back, 500))
  }),
  required("a duplicate is answered OK true", async (relay) => {
    const client = await relay.connect()
    const event = person().event()
    await client.store(event)
    const { ok, frame } = await client.publish(event)
    demand(ok === true, "OK true for an event that the relay has", show(frame))
  }),
  optional("a duplicate is answered with the prefix duplicate:", async (relay) => {
    const client = await relay.connect()
    const event = person().event()
    await client.store(event)
    const { message, frame } = await client.publish(event)
    demand(String(message).startsWith("duplicate:"), "duplicate: in the OK", show(frame))
  }),
  required("a duplicate is not delivered live again", async (relay) => {
    const alice = person()
    const event = alice.event()
    const observer = await relay.connect()
    await observer.open("s", { authors: [alice.pubkey] })
    const publisher = await relay.connect()
    await publisher.store(event)
    await publisher.publish(event)
    await settled(observer, publisher)
    const count = observer.eventsOf("s").length
    demand(count === 1, "the event once", `${count} times`)
  }),
  required("fifty events sent without waiting are each answered and each stored", async (relay) => {
    const alice = person()
    const events = Array.from({ length: 50 }, () => alice.event())
    const client = await relay.connect()
    await client.store(...events)
    const back = await client.query({ authors: [alice.pubkey], limit: 100 })
    demand(back.length === 50, "50 events", String(back.length))
  }),
  required("an event is there for others as soon as its OK has come", async (relay) => {
    const [writer, reader] = [await relay.connect(), await relay.connect()]
    for (let n = 0; n < 10; n++) {
      const event = person().event()
      await writer.store(event)
      const back = await reader.query({ ids: [event.id] })
      demand(back.length === 1, "the event right after its OK", `no event in try ${n + 1}`)
    }
  }),
  required("the same question asked again is answered with what came in between", async (relay) => {
    const [alice, client] = [person(), await relay.connect()]
    for (let n = 0; n < 3; n++) {
      const events = await client.query({ authors: [alice.pubkey], kinds: [1] })
      demand(events.length === n, `${n} events`, String(events.length))
      await client.store(alice.event())
      await settled(client, client)
    }
  }),
  required("a refusal carries a word, a colon and a reason", async (relay) => {
    const client = await relay.connect()
    const event = person().event()
    const { ok, message, frame } = await client.publish({ ...event, content: unique() })
    demand(ok === false, "OK false for an event whose id is wrong", show(frame))
    demand(/^[a-z-]+:\s*\S/.test(String(message)), "a reason such as invalid: …", show(frame))
  }),
  optional("a refusal's word is one of the standard ones", async (relay) => {
    const client = await relay.connect()
    const { message, frame } = await client.publish({ ...person().event(), content: unique() })
    demand(
      /^(pow|blocked|rate-limited|invalid|restricted|mute|error):/.test(String(message)),
      "invalid: …",
      show(frame),
    )
  }),
  optional("relay lists (10002) and DM relay lists (10050) of strangers are taken", async (relay) => {
    const client = await relay.connect()
    await client.store(
      person().event({ kind: 10002, tags: [["r", "wss://relay.example.com"]], content: "" }),
      person().event({ kind: 10050, tags: [["relay", "wss://relay.example.com"]], content: "" }),
    )
  }),
  optional("a contact list of 1,000 keys is taken and comes back whole", async (relay) => {
    const alice = person()
    const most = Math.min(1_000, relay.limitation("max_event_tags") ?? 1_000)
    const event = alice.event({ kind: 3, content: "", tags: Array.from({ length: most }, () => ["p", hex32()]) })
    const client = await relay.connect()
    await client.store(event)
    const [back] = await client.query({ authors: [alice.pubkey], kinds: [3] })
    demand(isDeepStrictEqual(back, event), `a list of ${most} keys`, show(back?.tags.length))
  }),
  optional("a note of 30,000 characters is taken and comes back whole", async (relay) => {
    const most = Math.min(30_000, relay.limitation("max_content_length") ?? 30_000)
    const event = person().event({ content: "x".repeat(most) })
    const client = await relay.connect()
    await client.store(event)
    const [back] = await client.query({ ids: [event.id] })
    demand(back?.content === event.content, `a content of ${most} characters`, show(back?.content.length))
  }),
  optional("events with empty tags are taken and served as they were, or refused", async (relay) => {
    const client = await relay.connect()
    const event = person().event({ tags: [[], [""], ["t"]], created_at: now() })
    const { ok } = await client.publish(event)
    const [back] = await client.query({ ids: [event.id] })
    demand(
      ok === true ? isDeepStrictEqual(back, event) : back === undefined,
      ok === true ? show(event.tags) : "no event, as it was refused",
      show(back?.tags),
    )
  }),
]
