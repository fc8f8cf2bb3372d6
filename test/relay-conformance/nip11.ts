/** NIP-11: what the relay says of itself, whether it can be read, and whether it is true. */
import type { Check } from "./check.ts"
import { demand, type NipChecks, optional, required, show, skip } from "./check.ts"
import { hex32, now, person } from "./person.ts"
import type { Relay } from "./relay.ts"

const isText = (value: unknown): boolean => typeof value === "string"
const isKey = (value: unknown): boolean => isText(value) && /^[0-9a-f]{64}$/.test(value as string)

const fieldTypes: Readonly<Record<string, (value: unknown) => boolean>> = {
  name: isText,
  description: isText,
  banner: isText,
  icon: isText,
  pubkey: isKey,
  self: isKey,
  contact: isText,
  software: isText,
  version: isText,
  terms_of_service: isText,
  supported_nips: (value) => Array.isArray(value) && value.every((nip) => Number.isInteger(nip) && nip > 0),
  limitation: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
}

const truths = ["auth_required", "payment_required", "restricted_writes"]
const numbers = [
  "max_message_length",
  "max_subscriptions",
  "max_limit",
  "max_subid_length",
  "max_event_tags",
  "max_content_length",
  "min_pow_difficulty",
  "created_at_lower_limit",
  "created_at_upper_limit",
  "default_limit",
]

export const nip11: NipChecks = {
  nip: 11,
  title: "Information document",
  claimedBy: [],
  checks: [
    required("a document is given to who accepts application/nostr+json", async (relay) => {
      const response = await get(relay)
      const text = await response.text()
      demand(
        response.status === 200 && text.startsWith("{"),
        "200 and a JSON object",
        `${response.status} ${show(text)}`,
      )
      JSON.parse(text)
    }),
    required("the document may be read by web pages: the three headers of CORS come with it", async (relay) => {
      const { headers } = await get(relay)
      const origin = headers.get("access-control-allow-origin")
      const missing = corsMissing(headers)
      demand(
        missing.length === 0 && (origin === "*" || origin === "https://client.example.com"),
        "Access-Control-Allow-Origin, -Headers and -Methods",
        `origin ${origin}, missing: ${missing.join(", ") || "none"}`,
      )
    }),
    optional("a preflight is answered with the three headers of CORS", async (relay) => {
      const response = await fetch(relay.httpUrl, {
        method: "OPTIONS",
        headers: {
          origin: "https://client.example.com",
          "access-control-request-method": "GET",
          "access-control-request-headers": "accept",
        },
        signal: AbortSignal.timeout(4_000),
      })
      await response.arrayBuffer()
      const missing = corsMissing(response.headers)
      demand(
        response.ok && missing.length === 0,
        "200 or 204 with the three headers",
        `${response.status}, missing: ${missing.join(", ") || "none"}`,
      )
    }),
    optional("its content type is application/nostr+json", async (relay) => {
      const type = (await get(relay)).headers.get("content-type")
      demand(type?.startsWith("application/nostr+json") === true, "application/nostr+json", String(type))
    }),
    required("its fields are of the types that NIP-11 names", async (relay) => {
      const document = documentOf(relay)
      const wrong = Object.entries(fieldTypes).filter(([name, fits]) => document[name] != null && !fits(document[name]))
      demand(wrong.length === 0, "sound fields", wrong.map(([name]) => `${name}: ${show(document[name])}`).join(", "))
    }),
    required("its limitations are numbers and booleans", async (relay) => {
      const limitation = (documentOf(relay)["limitation"] ?? {}) as Record<string, unknown>
      const wrong = Object.entries(limitation).filter(
        ([name, value]) =>
          value !== null &&
          ((truths.includes(name) && typeof value !== "boolean") ||
            (numbers.includes(name) && !Number.isInteger(value))),
      )
      demand(wrong.length === 0, "integers and booleans", show(wrong))
    }),
    optional("supported_nips names no NIP twice, and NIP-11 itself", async (relay) => {
      const nips = documentOf(relay)["supported_nips"]
      const list = Array.isArray(nips) ? (nips as unknown[]) : []
      demand(new Set(list).size === list.length && list.includes(11), "each once, 11 among them", show(nips))
    }),
    optional("software is a URL, where it is given", async (relay) => {
      const software = documentOf(relay)["software"]
      demand(software === undefined || URL.canParse(String(software)), "a URL", show(software))
    }),
    optional("the name has less than 30 characters, where it is given", async (relay) => {
      const name = String(documentOf(relay)["name"] ?? "")
      demand([...name].length < 30, "under 30 characters", `${[...name].length}: ${show(name)}`)
    }),
    required("the same address answers a browser without an error", async (relay) => {
      const response = await fetch(relay.httpUrl, {
        headers: { accept: "text/html" },
        signal: AbortSignal.timeout(4_000),
      })
      await response.arrayBuffer()
      demand(response.status < 500, "no error of the server's", String(response.status))
    }),
    required("auth_required and payment_required are true only where one may not read without", async (relay) => {
      const limitation = (documentOf(relay)["limitation"] ?? {}) as Record<string, unknown>
      const { closed } = await (await relay.connect()).ask({ kinds: [1], authors: [hex32()] })
      const isClosed = limitation["auth_required"] === true || limitation["payment_required"] === true
      demand((closed !== undefined) === isClosed, isClosed ? "a refusal" : "an answer", closed ?? "an answer")
    }),
    ...claims(),
  ],
}

/** What `limitation` claims, held against what is done. */
function claims(): readonly Check[] {
  return [
    required("max_subid_length is taken", async (relay) => {
      const most = stated(relay, "max_subid_length")
      const { closed } = await (await relay.connect()).open("s".repeat(most), { ids: [hex32()] })
      demand(closed === undefined, `EOSE for an id of ${most} characters`, `CLOSED ${show(closed)}`)
    }),
    required("max_subscriptions are given", async (relay) => {
      const most = Math.min(100, stated(relay, "max_subscriptions"))
      const client = await relay.connect()
      for (let n = 1; n <= most; n++) {
        const { closed } = await client.open(`s${n}`, { ids: [hex32()] })
        demand(closed === undefined, `subscription ${n} of ${most}`, `CLOSED ${show(closed)}`)
      }
    }),
    optional("one more than max_subscriptions is refused", async (relay) => {
      const most = stated(relay, "max_subscriptions")
      if (most > 200) skip(`${most} are too many to try`)
      const client = await relay.connect()
      for (let n = 1; n <= most; n++) await client.open(`s${n}`, { ids: [hex32()] })
      const from = client.received.length
      client.send("REQ", "more", { ids: [hex32()] })
      const answer = await client.until("CLOSED or NOTICE", (m) => m[0] === "NOTICE" || m[1] === "more", from)
      demand(answer[0] !== "EOSE", "CLOSED or NOTICE", show(answer))
    }),
    required("max_event_tags are taken", async (relay) => {
      const most = stated(relay, "max_event_tags")
      if (most > 3_000) return taken(relay, { tags: Array.from({ length: 3_000 }, (_, n) => ["x", String(n)]) })
      return taken(relay, { tags: Array.from({ length: most }, (_, n) => ["x", String(n)]) })
    }),
    optional("one more than max_event_tags is refused", async (relay) => {
      const most = stated(relay, "max_event_tags")
      if (most > 20_000) skip(`${most} are too many to try`)
      return refused(relay, { tags: Array.from({ length: most + 1 }, (_, n) => ["x", String(n)]) })
    }),
    required("max_content_length is taken", async (relay) => {
      const room = (relay.limitation("max_message_length") ?? Infinity) - 1_000
      return taken(relay, { content: "x".repeat(Math.min(100_000, room, stated(relay, "max_content_length") - 1_000)) })
    }),
    optional("more than max_content_length is refused", async (relay) => {
      const most = stated(relay, "max_content_length")
      if (most > 600_000) skip(`${most} are too many to try`)
      return refused(relay, { content: "x".repeat(most + 1) })
    }),
    required("created_at_upper_limit: what is well within is taken", (relay) => {
      const most = stated(relay, "created_at_upper_limit")
      return taken(relay, { created_at: now() + Math.min(most - 5, 86_400) })
    }),
    required("created_at_upper_limit: what is beyond is refused", (relay) =>
      refused(relay, { created_at: now() + stated(relay, "created_at_upper_limit") + 60 }),
    ),
    required("created_at_lower_limit: what is beyond is refused", (relay) => {
      const most = stated(relay, "created_at_lower_limit")
      if (most > now()) skip("it is before 1970")
      return refused(relay, { created_at: now() - most - 60 })
    }),
    optional("max_limit: a higher limit gets no more", async (relay) => {
      const most = stated(relay, "max_limit")
      if (most > 300) skip(`${most} events are too many to try`)
      const alice = person()
      const client = await relay.connect()
      await client.store(...Array.from({ length: most + 5 }, () => alice.event()))
      const events = await client.query({ authors: [alice.pubkey], limit: most + 5 })
      demand(events.length === most, `${most} events`, String(events.length))
    }),
    optional("a frame longer than max_message_length is not taken", async (relay) => {
      const most = stated(relay, "max_message_length")
      if (most > 4 * 1024 * 1024) skip(`${most} bytes are too many to try`)
      const event = person().event({ content: "x".repeat(most) })
      const client = await relay.connect()
      client.send("EVENT", event)
      const ok = await client.seen((m) => m[0] === "OK", 0, 1_500)
      demand(ok?.[2] !== true, "a refusal, or the connection's end", show(ok))
    }),
  ]
}

const corsMissing = (headers: Headers): readonly string[] =>
  ["origin", "headers", "methods"].filter((name) => !headers.has(`access-control-allow-${name}`))

const get = (relay: Relay): Promise<Response> =>
  fetch(relay.httpUrl, {
    headers: { accept: "application/nostr+json", origin: "https://client.example.com" },
    signal: AbortSignal.timeout(4_000),
  })

const documentOf = (relay: Relay): Readonly<Record<string, unknown>> => {
  if (relay.document === undefined) skip("there is no document")
  return relay.document as Readonly<Record<string, unknown>>
}

const stated = (relay: Relay, name: string): number => relay.limitation(name) ?? skip(`${name} is not stated`)

type Parts = Parameters<ReturnType<typeof person>["event"]>[0]

const taken = async (relay: Relay, parts: Parts): Promise<void> => {
  const { ok, frame } = await (await relay.connect()).publish(person().event(parts))
  demand(ok === true, "OK true", show(frame))
}

const refused = async (relay: Relay, parts: Parts): Promise<void> => {
  const client = await relay.connect()
  client.send("EVENT", person().event(parts))
  const answer = await client.seen((m) => m[0] === "OK" || m[0] === "NOTICE", 0, 1_500)
  demand(answer?.[0] !== "OK" || answer[2] === false, "OK false", show(answer))
}
