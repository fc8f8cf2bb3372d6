/**
 * Events that are wrong in one way each. Where only the shape is wrong, hash and signature are right, so nothing else can
 * be the reason for a refusal.
 */
import { randomBytes } from "node:crypto"
import type { NostrEvent } from "../../../src/protocol/event.ts"
import { type Check, demand, optional, required, show } from "../check.ts"
import { hex32, now, person, type RawEvent, unique } from "../person.ts"
import type { Relay } from "../relay.ts"

const sound = () => person().event()
const asRaw = (event: NostrEvent): RawEvent => ({ id: event.id, json: JSON.stringify(event) })
const without = (field: string): RawEvent => {
  const event = sound()
  return { id: event.id, json: JSON.stringify({ ...event, [field]: undefined }) }
}
const flipped = (hex: string): string => hex.slice(0, -1) + (hex.endsWith("0") ? "1" : "0")

/** What is wrong, and an event that is. */
const wrong: Readonly<Record<string, () => RawEvent>> = {
  "a signature of zeros": () => asRaw({ ...sound(), sig: "0".repeat(128) }),
  "a signature with one digit changed": () => {
    const event = sound()
    return asRaw({ ...event, sig: flipped(event.sig) })
  },
  "another's signature": () => {
    const template = { content: unique(), created_at: now() }
    return asRaw({ ...person().event(template), sig: person().event(template).sig })
  },
  "another's pubkey": () => asRaw({ ...sound(), pubkey: person().pubkey }),
  "a content that was changed": () => asRaw({ ...sound(), content: unique() }),
  "a created_at that was changed": () => {
    const event = sound()
    return asRaw({ ...event, created_at: event.created_at - 1 })
  },
  "a kind that was changed": () => asRaw({ ...sound(), kind: 7 }),
  "tags that were changed": () => asRaw({ ...sound(), tags: [["t", unique()]] }),
  "an id of its own choosing": () => asRaw({ ...sound(), id: hex32() }),
  "a pubkey that is no point of the curve": () => person().raw({ pubkey: "f".repeat(64) }),
  "no id": () => without("id"),
  "no pubkey": () => without("pubkey"),
  "no created_at": () => without("created_at"),
  "no kind": () => without("kind"),
  "no tags": () => without("tags"),
  "no content": () => without("content"),
  "no sig": () => without("sig"),
  "a content that is a number": () => person().raw({ content: "12345" }),
  "a content that is null": () => person().raw({ content: "null" }),
  "a content that is an object": () => person().raw({ content: '{"text":"hello"}' }),
  "tags that are an object": () => person().raw({ tags: '{"t":"hello"}' }),
  "tags that are null": () => person().raw({ tags: "null" }),
  "a tag that is a text": () => person().raw({ tags: '["t"]' }),
  "a number in a tag": () => person().raw({ tags: `[["t",5]]` }),
  "null in a tag": () => person().raw({ tags: `[["t",null]]` }),
  "a list in a tag": () => person().raw({ tags: `[["t",["a"]]]` }),
  "a created_at that is a text": () => person().raw({ created_at: `"${now()}"` }),
  "a created_at with a fraction": () => person().raw({ created_at: `${now()}.5` }),
  "a kind that is a text": () => person().raw({ kind: '"1"' }),
  "a kind with a fraction": () => person().raw({ kind: "1.5" }),
  "a kind below 0": () => person().raw({ kind: "-1" }),
  "a kind above 65535": () => person().raw({ kind: "65536" }),
  "an id in capitals": () => {
    const event = sound()
    return asRaw({ ...event, id: event.id.toUpperCase() })
  },
  "an id that is too short": () => asRaw({ ...sound(), id: hex32().slice(2) }),
  "a sig that is too long": () => {
    const event = sound()
    return asRaw({ ...event, sig: `${event.sig}00` })
  },
  "a pubkey in capitals": () => {
    const alice = person()
    return alice.raw({ pubkey: alice.pubkey.toUpperCase() })
  },
}

/** How long an OK may take that perhaps never comes. */
const refusalMs = 1_200

const refused = async (relay: Relay, event: RawEvent): Promise<void> => {
  const client = await relay.connect()
  client.sendText(`["EVENT",${event.json}]`)
  const answer = await client.seen((m) => m[0] === "OK" || m[0] === "NOTICE", 0, refusalMs)
  demand(!(answer?.[0] === "OK" && answer[2] === true), "a refusal", show(answer))
  if (!/^[0-9a-f]{64}$/i.test(event.id)) return
  const reader = await relay.connect()
  const { events } = await reader.ask({ ids: [event.id.toLowerCase()] })
  demand(events.length === 0, "that it is not stored", show(events[0]))
}

export const invalid: readonly Check[] = [
  ...Object.entries(wrong).map(([what, make]) =>
    required(`an event is not taken with ${what}`, (relay) => refused(relay, make())),
  ),
  required("an event that was refused is not delivered live", async (relay) => {
    const alice = person()
    const observer = await relay.connect()
    await observer.open("s", { authors: [alice.pubkey] })
    const publisher = await relay.connect()
    await publisher.publish({ ...alice.event(), sig: randomBytes(64).toString("hex") })
    const event = alice.event()
    await publisher.store(event)
    await observer.until("the sound event", (m) => m[0] === "EVENT" && m[1] === "s")
    const came = observer.eventsOf("s")
    demand(came.length === 1 && came[0]?.id === event.id, "the sound event alone", show(came))
  }),
  required("a forged copy does not stand in the way of the true event", async (relay) => {
    const event = sound()
    const client = await relay.connect()
    await client.publish({ ...event, sig: randomBytes(64).toString("hex") })
    const { ok, frame } = await client.publish(event)
    demand(ok === true, "OK true for the true event after its forgery", show(frame))
    const back = await client.query({ ids: [event.id] })
    demand(back[0]?.sig === event.sig, "the true event", show(back))
  }),
  optional("each event that is wrong is answered, by OK false or NOTICE, and the connection goes on", async (relay) => {
    for (const [what, make] of Object.entries(wrong)) {
      const client = await relay.connect()
      client.sendText(`["EVENT",${make().json}]`)
      await client.until(`OK or NOTICE for an event with ${what}`, (m) => m[0] === "OK" || m[0] === "NOTICE", 0, 1_500)
      demand(client.isOpen(), `an open connection after an event with ${what}`, "its end")
      client.close()
    }
  }),
  required("fields that NIP-01 does not name do no harm: the event is sound when it is served", async (relay) => {
    const event = sound()
    const client = await relay.connect()
    const { ok } = await client.publishRaw(
      event.id,
      JSON.stringify({ ...event, seen_on: ["wss://a"], extra: { deep: 1 } }),
    )
    const [back] = await client.query({ ids: [event.id] })
    const same = back?.id === event.id && back.sig === event.sig && back.content === event.content
    demand(
      ok === true ? same : back === undefined,
      ok === true ? "the event" : "no event, as it was refused",
      show(back),
    )
  }),
]
