import * as fc from "fast-check"
import { afterEach, expect, it } from "vitest"
import { WebSocket } from "ws"
import type { RelayServer } from "../../src/relay/relay.ts"
import { connect, signed, startRelay } from "./client.ts"

let relay: RelayServer
afterEach(() => relay.close())

const event = signed({ content: "good", tags: [["t", "x"]] })
const subscription = fc.oneof(fc.string(), fc.constantFrom("sub", ""), fc.integer(), fc.constant(null))
const mangled = fc
  .tuple(fc.constantFrom("id", "pubkey", "created_at", "kind", "tags", "content", "sig", "__proto__"), fc.jsonValue())
  .map(([field, value]) => ({ ...event, [field]: value }))
const filter = fc.dictionary(
  fc.constantFrom("ids", "authors", "kinds", "since", "until", "limit", "#t", "#e", "#tt", "search", "__proto__"),
  fc.oneof(fc.jsonValue(), fc.array(fc.oneof(fc.integer(), fc.string({ unit: "binary" }), fc.double()))),
)
const json = (value: unknown): string => JSON.stringify(value)
const cut = (text: fc.Arbitrary<string>) =>
  fc.tuple(text, fc.nat()).map(([whole, at]) => whole.slice(0, at % (whole.length + 1)))
const message = fc.oneof(
  fc.tuple(fc.constant("EVENT"), fc.oneof(mangled, fc.jsonValue())).map(json),
  fc.tuple(fc.constant("REQ"), subscription, filter, filter).map(json),
  fc.tuple(fc.constant("CLOSE"), subscription).map(json),
  fc.tuple(fc.oneof(fc.string(), fc.constantFrom("constructor", "__proto__", "AUTH")), fc.jsonValue()).map(json),
  fc.jsonValue().map(json),
  fc.string({ unit: "binary" }),
  fc.constantFrom(
    "",
    "\u0000",
    "[",
    '["EVENT"]',
    '["REQ"]',
    '["EVENT",{}]',
    "[1e999]",
    '["REQ","\\ud800",{"#t":["\\ud800"]}]',
  ),
)

it("P24, N1: thousands of bad frames are answered and the client goes on", async () => {
  relay = await startRelay()
  const client = await connect(relay.url)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(message, cut(message)), { minLength: 20, maxLength: 60 }), async (frames) => {
      const from = client.received.length
      for (const frame of frames) client.sendText(frame)
      // A CLOSED is answered at once and in order, so everything before it has been read.
      client.send("REQ", "fence", { kinds: "fence" })
      await client.until((m) => m[0] === "CLOSED" && m[1] === "fence" && client.received.indexOf(m) >= from)
      for (const id of client.received.filter((m) => m[0] === "EOSE").map((m) => m[1])) client.send("CLOSE", id)
      for (const answer of client.received.splice(0))
        expect(answer[0]).toBeOneOf(["NOTICE", "OK", "CLOSED", "EOSE", "EVENT", "AUTH", "COUNT", "NEG-ERR", "NEG-MSG"])
    }),
    { numRuns: 100 },
  )
  expect(await client.publish(event)).toMatchObject({ ok: true })
  expect(await client.req("good", { "#t": ["x"], ids: [event.id] })).toEqual([event])
})

it("N1: what cannot be read is named: NOTICE for no message, OK false for a bad event with an id", async () => {
  relay = await startRelay()
  const client = await connect(relay.url)
  const notice = async (text: string): Promise<unknown> => {
    const from = client.received.length
    client.sendText(text)
    return (await client.until((m) => m[0] === "NOTICE" && client.received.indexOf(m) >= from))[1]
  }
  expect(await notice("hello")).toBe("invalid: a message is a JSON list")
  expect(await notice('{"EVENT":1}')).toBe("invalid: a message is a JSON list")
  expect(await notice('["constructor"]')).toMatch(/^invalid: unknown verb.*EVENT, REQ, CLOSE/)
  expect(await notice('["EVENT",{"id":3}]')).toMatch(/^invalid: id is not/)
  expect(await notice("[".repeat(200_000))).toBe("invalid: a message is a JSON list")
  expect(await notice(`${"[".repeat(200_000)}${"]".repeat(200_000)}`)).toMatch(/^invalid: unknown verb/)
  const bad = { ...event, kind: 70_000 }
  expect(await client.publish(bad)).toEqual({ ok: false, message: "invalid: kind is not between 0 and 65535" })
})

it("a frame that is too long, binary or not UTF-8 costs that client its socket and nobody else's", async () => {
  relay = await startRelay({ limits: { frameBytesMax: 1000 } })
  const good = await connect(relay.url)
  const codeAfter = (frame: Buffer, binary: boolean): Promise<number> =>
    new Promise((resolve) => {
      const socket = new WebSocket(relay.url)
      socket.on("error", () => undefined)
      socket.once("close", resolve)
      socket.once("open", () => socket.send(frame, { binary }))
    })
  expect(await codeAfter(Buffer.alloc(1001, 32), false)).toBe(1009)
  expect(await codeAfter(Buffer.from("[]"), true)).toBe(1003)
  expect(await codeAfter(Buffer.from([0xff, 0xfe]), false)).toBe(1007)
  expect(await good.publish(event)).toMatchObject({ ok: true })
})
