/** Events of all ages: taken unless NIP-11 says how old or how far ahead they may be, and never changed. */
import { type Check, demand, optional, required, show } from "../check.ts"
import { now, person } from "../person.ts"
import type { Relay } from "../relay.ts"

const day = 86_400

const taken = async (relay: Relay, created_at: number): Promise<void> => {
  const event = person().event({ created_at })
  const client = await relay.connect()
  await client.store(event)
  const [back] = await client.query({ ids: [event.id] })
  demand(back?.created_at === created_at, `the event of ${created_at}`, show(back))
}

/** Older than the relay says it takes: then a refusal is right. */
const takenOr = async (relay: Relay, created_at: number): Promise<void> => {
  const lower = relay.limitation("created_at_lower_limit")
  if (lower === undefined || now() - created_at < lower) return taken(relay, created_at)
  const { ok, frame } = await (await relay.connect()).publish(person().event({ created_at }))
  demand(ok === false, `a refusal, as created_at_lower_limit is ${lower}`, show(frame))
}

/** Too far ahead for most: refused with a reason, or kept exactly. */
const ahead = async (relay: Relay, created_at: string): Promise<void> => {
  const event = person().raw({ created_at })
  const client = await relay.connect()
  const { ok, message, frame } = await client.publishRaw(event.id, event.json)
  const { events } = await client.ask({ ids: [event.id] })
  if (ok === true) demand(String(events[0]?.created_at) === created_at, `created_at ${created_at}`, show(events))
  else demand(/^[a-z-]+:/.test(String(message)) && events.length === 0, "a reason, and no event", show(frame))
}

export const dates: readonly Check[] = [
  required("an event a week old is taken", (relay) => taken(relay, now() - 7 * day)),
  required("an event four weeks old is taken", (relay) => takenOr(relay, now() - 28 * day)),
  optional("an event a year old is taken, unless NIP-11 says otherwise", (relay) => takenOr(relay, now() - 365 * day)),
  optional("an event from before Nostr is taken, unless NIP-11 says otherwise", (relay) =>
    takenOr(relay, 1_420_070_461),
  ),
  optional("an event of 1999 is taken, unless NIP-11 says otherwise", (relay) => takenOr(relay, 915_148_861)),
  optional("an event of second 0 is taken, unless NIP-11 says otherwise", (relay) => takenOr(relay, 0)),
  required("an event a minute ahead is taken", (relay) => taken(relay, now() + 60)),
  required("an event a year ahead is refused with a reason, or kept exactly", (relay) =>
    ahead(relay, String(now() + 365 * day)),
  ),
  required("a created_at beyond 31 bits is refused with a reason, or kept exactly", (relay) =>
    ahead(relay, "2147483649"),
  ),
  required("a created_at beyond 32 bits is refused with a reason, or kept exactly", (relay) =>
    ahead(relay, "4294967297"),
  ),
  required("a created_at that no double can hold is refused, or kept exactly", async (relay) => {
    const event = person().raw({ created_at: "9223372036854775807" })
    const client = await relay.connect()
    client.sendText(`["EVENT",${event.json}]`)
    const answer = await client.seen((m) => m[0] === "OK" || m[0] === "NOTICE", 0, 1_200)
    const { events } = await (await relay.connect()).ask({ ids: [event.id] })
    const isTaken = answer?.[0] === "OK" && answer[2] === true
    demand(events.length === (isTaken ? 1 : 0), isTaken ? "the event" : "no event", show(events))
  }),
  required("a created_at before 1970 is refused, or kept exactly", async (relay) => {
    const event = person().raw({ created_at: "-200" })
    const client = await relay.connect()
    client.sendText(`["EVENT",${event.json}]`)
    const answer = await client.seen((m) => m[0] === "OK" || m[0] === "NOTICE", 0, 1_200)
    const { events } = await (await relay.connect()).ask({ ids: [event.id] })
    if (answer?.[0] === "OK" && answer[2] === true) demand(events[0]?.created_at === -200, "-200", show(events))
    else demand(events.length === 0, "no event", show(events))
  }),
]
