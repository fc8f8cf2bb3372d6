/**
 * Text in all its forms: what goes in comes out, letter for letter, or is refused. NIP-01 names seven characters that are
 * escaped before hashing; every other one is hashed as it is.
 */
import { type Check, demand, optional, required, show } from "../check.ts"
import { now, person, type RawParts, unique } from "../person.ts"
import type { Relay } from "../relay.ts"

const kept = async (relay: Relay, parts: RawParts, content?: string, mayRefuse = false): Promise<void> => {
  const event = person().raw(parts)
  const client = await relay.connect()
  client.sendText(`["EVENT",${event.json}]`)
  const answer = await client.until(
    mayRefuse ? "an OK, or a NOTICE that refuses" : "an OK",
    (m) => (m[0] === "OK" && m[1] === event.id) || (mayRefuse && m[0] === "NOTICE"),
  )
  const isTaken = answer[0] === "OK" && answer[2] === true
  demand(isTaken || mayRefuse, "OK true", show(answer))
  const [back] = await client.query({ ids: [event.id] })
  if (!isTaken) return demand(back === undefined, "no event, as it was refused", show(back))
  demand(back !== undefined, "the event that was taken", "none")
  if (content !== undefined) demand(back.content === content, show(content), show(back.content))
}

/** As JSON.stringify would put it. */
const plain = (content: string): RawParts => ({ content: JSON.stringify(content) })

export const text: readonly Check[] = [
  required("the seven escaped characters are hashed as NIP-01 says and come back", (relay) => {
    const content = `${unique()} \n " \\ \r \t \b \f end`
    return kept(relay, plain(content), content)
  }),
  required("letters of many scripts, emoji and joined emoji come back", (relay) => {
    const content = `${unique()} häß 日本語 العربية हिन्दी 👩‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿 é é`
    return kept(relay, plain(content), content)
  }),
  required("characters that HTML or JavaScript would escape are hashed as they are", (relay) => {
    const content = `${unique()} </script> & ' / \u2028 \u2029 \u007f \u0085 \ufeff`
    return kept(relay, plain(content), content)
  }),
  required("Unicode's non-characters come back", (relay) => {
    const content = `${unique()} \ufdd1 \u{10fff2} \uffff \u{1ffff}`
    return kept(relay, plain(content), content)
  }),
  required("unicode in tags comes back and can be asked for", async (relay) => {
    const value = `${unique()} 🤙 ü`
    const event = person().event({ tags: [["t", value]] })
    const client = await relay.connect()
    await client.store(event)
    const [back] = await client.query({ "#t": [value] })
    demand(back?.id === event.id, "the event by its tag", show(back))
  }),
  required("the escapes of the wire do not count: \\u0041 and \\/ are A and /", (relay) => {
    const token = unique()
    return kept(
      relay,
      { content: JSON.stringify(`${token} A/é`), wire: { content: `"${token} \\u0041\\/\\u00e9"` } },
      `${token} A/é`,
    )
  }),
  required("a pair of escaped surrogates is one character", (relay) => {
    const token = unique()
    return kept(
      relay,
      { content: JSON.stringify(`${token} 🤙`), wire: { content: `"${token} \\ud83e\\udd19"` } },
      `${token} 🤙`,
    )
  }),
  optional("control characters are taken when hashed in JSON's usual form, \\u0001", (relay) => {
    const content = `${unique()} \u0001 \u001f \u000b`
    return kept(relay, plain(content), content)
  }),
  required("NUL is kept, or the event is refused", (relay) => {
    const content = `${unique()} \u0000 after`
    return kept(relay, plain(content), content, true)
  }),
  required("a lone surrogate is refused, or kept as it was", (relay) => {
    const token = unique()
    return kept(relay, { content: `"${token} \\ud83e end"` }, `${token} \ud83e end`, true)
  }),
  required(
    "raw control characters in JSON (which it forbids) are refused, or kept, and the relay answers on",
    async (relay) => {
      const token = unique()
      const event = person().raw({ content: `"${token} \n \t \b"` })
      const client = await relay.connect()
      client.sendText(`["EVENT",${event.json}]`)
      const answer = await client.seen((m) => m[0] === "OK" || m[0] === "NOTICE", 0, 1_200)
      const { events } = await (await relay.connect()).ask({ ids: [event.id] })
      const isTaken = answer?.[0] === "OK" && answer[2] === true
      demand(events.length === (isTaken ? 1 : 0), isTaken ? "the event" : "no event, as it was not taken", show(events))
    },
  ),
  optional("spaces between the parts of a frame do no harm", async (relay) => {
    const event = person().event()
    const client = await relay.connect()
    client.sendText(` [ "EVENT" ,\n\t${JSON.stringify(event, undefined, 2)} ] `)
    const ok = await client.until("an OK", (m) => m[0] === "OK" && m[1] === event.id)
    demand(ok[2] === true, "OK true", show(ok))
  }),
  optional("a created_at in another notation of the same number (1.79e9) is the same number", (relay) => {
    const created_at = Math.floor(now() / 1000) * 1000
    return kept(
      relay,
      { created_at: String(created_at), wire: { created_at: `${created_at / 1000}e3` } },
      undefined,
      false,
    )
  }),
]
