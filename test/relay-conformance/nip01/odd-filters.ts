/** Filters that are empty, vast, wrong or from another time: never widened, always answered. */
import { verifyEvent } from "nostr-tools/pure"
import { type Check, demand, optional, required, show } from "../check.ts"
import { now, person, unique } from "../person.ts"
import type { Relay } from "../relay.ts"

/** A list without values fits nothing. */
const emptyList = async (relay: Relay, field: string): Promise<void> => {
  const alice = person()
  const client = await relay.connect()
  await client.store(alice.event({ tags: [["t", unique()]] }))
  const { events } = await client.askOdd({ authors: [alice.pubkey], limit: 10, [field]: [] })
  demand(events.length === 0, `no event for an empty list of ${field}`, show(events))
}

const beginning = async (relay: Relay, field: "ids" | "authors", digits: number): Promise<void> => {
  const alice = person()
  const event = alice.event()
  const client = await relay.connect()
  await client.store(event)
  const whole = field === "ids" ? event.id : alice.pubkey
  const { events } = await client.askOdd({ [field]: [whole.slice(0, digits)] })
  demand(events.length === 0, `nothing for the first ${digits} digits, as values are whole`, show(events))
}

/** Not answered by anything but CLOSED, NOTICE, or EOSE without events. */
const wrong = async (relay: Relay, filter: (author: string) => unknown): Promise<void> => {
  const alice = person()
  const client = await relay.connect()
  await client.store(alice.event())
  const from = client.received.length
  client.send("REQ", "wrong", filter(alice.pubkey))
  const end = await client.until(
    `CLOSED, NOTICE or EOSE for ${show(filter("…"))}`,
    (m) => m[0] === "NOTICE" || ((m[0] === "CLOSED" || m[0] === "EOSE") && m[1] === "wrong"),
    from,
  )
  const events = client.eventsOf("wrong")
  demand(events.length === 0, `no events for ${show(filter("…"))}`, `${events.length} and ${show(end)}`)
  await (await relay.connect()).query({ ids: [alice.pubkey] })
}

const wrongFilters: Readonly<Record<string, (author: string) => unknown>> = {
  "a text in place of a filter": () => "hello",
  "null in place of a filter": () => null,
  "a number in place of a filter": () => 5,
  "kinds that are texts": (author) => ({ authors: [author], kinds: ["1"] }),
  "kinds that are no list": (author) => ({ authors: [author], kinds: 1 }),
  "ids that are no list": () => ({ ids: "abc" }),
  "authors that are numbers": () => ({ authors: [5, 6] }),
  "a since that is a text": (author) => ({ authors: [author], since: "yesterday" }),
  "a tag filter that is no list": (author) => ({ authors: [author], "#t": "hello" }),
  "a limit that is a text": (author) => ({ authors: [author], kinds: ["x"], limit: "ten" }),
}

export const oddFilters: readonly Check[] = [
  ...["ids", "authors", "kinds", "#e", "#p", "#t"].map((field) =>
    required(`an empty list of ${field} fits nothing`, (relay) => emptyList(relay, field)),
  ),
  required("the beginning of an id does not stand for it", (relay) => beginning(relay, "ids", 16)),
  required("the beginning of an author does not stand for it", (relay) => beginning(relay, "authors", 63)),
  ...Object.entries(wrongFilters).map(([what, filter]) =>
    required(`a REQ is answered and brings nothing with ${what}`, (relay) => wrong(relay, filter)),
  ),
  required("a REQ that is refused is told so by CLOSED, so that nobody waits for its EOSE", async (relay) => {
    const client = await relay.connect()
    for (const filter of [{ kinds: "all" }, { ids: ["zz"] }, { "#e": [] }, { since: "yesterday" }])
      await client.ask({ ...filter, limit: 1 })
  }),
  optional("ids and authors in capitals fit nothing", async (relay) => {
    const alice = person()
    const event = alice.event()
    const client = await relay.connect()
    await client.store(event)
    const { events } = await client.askOdd({ ids: [event.id.toUpperCase()] }, { authors: [alice.pubkey.toUpperCase()] })
    demand(events.length === 0, "nothing, as values are in lower case", show(events))
  }),
  required("a filter that asks for everything is answered by sound events, or refused by CLOSED", async (relay) => {
    const event = person().event({ created_at: now() + 30 })
    const client = await relay.connect()
    await client.store(event)
    const { events, closed } = await client.ask({ limit: 50 })
    if (closed !== undefined) return demand(/^[a-z-]+:/.test(closed), "a reason", show(closed))
    demand(events.length > 0 && events.length <= 50, "1 to 50 events", String(events.length))
    const unsound = events.find((one) => !verifyEvent({ ...one, tags: one.tags.map((tag) => [...tag]) }))
    demand(unsound === undefined, "sound events", show(unsound))
    const dates = events.map(({ created_at }) => created_at)
    demand(
      dates.every((date, n) => date <= (dates[n - 1] ?? Infinity)),
      "the newest first",
      show(dates),
    )
  }),
  required("an empty filter is answered", async (relay) => {
    await (await relay.connect()).ask({})
  }),
  optional("fields that the relay does not know are ignored, or refused by CLOSED", async (relay) => {
    const alice = person()
    const client = await relay.connect()
    await client.store(alice.event())
    const { events, closed } = await client.askOdd({ authors: [alice.pubkey], "x-unknown": true })
    demand(closed !== undefined || events.length === 1, "the one event, or CLOSED", show(events))
  }),
  optional("a kind above 65535 and a time below 0 in a filter are answered", async (relay) => {
    const alice = person()
    const client = await relay.connect()
    await client.store(alice.event())
    const { events } = await client.askOdd({ authors: [alice.pubkey], kinds: [70_000] })
    demand(events.length === 0, "nothing of kind 70000", show(events))
    const early = await client.askOdd({ authors: [alice.pubkey], until: -5 })
    demand(early.events.length === 0, "nothing from before 1970", show(early.events))
  }),
  required("a filter with 300 values in a list is answered right", async (relay) => {
    const client = await relay.connect()
    const alice = person()
    const event = alice.event()
    await client.store(event)
    const others = Array.from({ length: 299 }, () => person(new Uint8Array(32).fill(7)).pubkey.replace(/^../, "00"))
    const events = await client.query({ authors: [...others, alice.pubkey] })
    demand(
      events.some(({ id }) => id === event.id),
      "the event",
      show(events),
    )
  }),
]
