/** Whatever bytes arrive (P24): the relay lives, says what was wrong, and at best the connection goes on. */
import { type Check, demand, optional, required, show } from "../check.ts"
import { hex32, person } from "../person.ts"
import type { Relay } from "../relay.ts"

const long = "x".repeat(5_000)

/** By what is wrong with them; each frame is sent on a connection of its own. */
const frames: Readonly<Record<string, readonly string[]>> = {
  "what is no JSON": [
    "",
    "hello",
    "{",
    '["REQ","s",{"kinds":[1]',
    "[1,2",
    '"',
    "\u0000\u0001",
    "NaN",
    '["EVENT",{"id":',
  ],
  "JSON that is no message": ["{}", "null", "5", '"REQ"', "[]", "[[]]", "[1,2,3]", "[null]", '[{"a":1}]'],
  "verbs that nobody knows": ['["HELLO"]', '["req","s",{}]', '["__proto__"]', '["constructor","s"]', `["${long}"]`],
  "EVENT without an event": [
    '["EVENT"]',
    '["EVENT",null]',
    '["EVENT","hello"]',
    '["EVENT",[]]',
    '["EVENT",5]',
    '["EVENT",{}]',
  ],
  "REQ without an id or filters": [
    '["REQ"]',
    '["REQ","s"]',
    '["REQ",5,{}]',
    '["REQ",null,{}]',
    '["REQ",{},{}]',
    '["REQ",[],[]]',
  ],
  "CLOSE without an id": ['["CLOSE"]', '["CLOSE",5]', '["CLOSE",null]', '["CLOSE",{}]'],
  "AUTH, COUNT and NEG-OPEN without what they need": [
    '["AUTH"]',
    '["AUTH",null]',
    '["AUTH",{}]',
    '["COUNT"]',
    '["COUNT","s"]',
    '["COUNT",5,5]',
    '["NEG-OPEN"]',
    '["NEG-OPEN","s",{},"zz"]',
    '["NEG-MSG","s"]',
  ],
  "numbers out of range": [
    '["REQ","s",{"kinds":[1e400]}]',
    '["REQ","s",{"since":99999999999999999999999}]',
    '["REQ","s",{"limit":-1,"kinds":[-1]}]',
    '["REQ","s",{"limit":1e308,"ids":["00"]}]',
  ],
  "deep nesting": [
    "[".repeat(20_000),
    `["REQ","s",${'{"a":'.repeat(5_000)}1${"}".repeat(5_000)}]`,
    `["EVENT",{"tags":${"[".repeat(5_000)}${"]".repeat(5_000)}}]`,
  ],
  "lone surrogates and NUL in texts": [
    '["REQ","\\ud800",{"ids":["00"]}]',
    '["REQ","a\\u0000b",{"#t":["\\u0000","\\udfff"]}]',
  ],
  "keys with a meaning elsewhere": [
    '["REQ","s",{"__proto__":{"kinds":[1]},"ids":["00"]}]',
    '["EVENT",{"__proto__":{"id":"00"},"constructor":5}]',
    `["REQ","s",{"#t":["' OR 1=1 --","%","_","\\\\"]}]`,
  ],
}

const answers = async (relay: Relay): Promise<void> => {
  const alice = person()
  const client = await relay.connect()
  const event = alice.event()
  await client.store(event)
  const came = await client.query({ ids: [event.id] })
  demand(came.length === 1, "an answer on a fresh connection", show(came))
  client.close()
}

/** Whether this connection still answers. */
const goesOn = async (relay: Relay, frame: string | Buffer): Promise<string | undefined> => {
  const client = await relay.connect()
  client.sendText(frame)
  const id = `after-${hex32().slice(0, 8)}`
  client.send("REQ", id, { ids: [hex32()] })
  const came = await client.seen((m) => m[0] === "EOSE" && m[1] === id, 0, 1_500)
  const isOpen = client.isOpen()
  client.close()
  return came !== undefined ? undefined : isOpen ? "silence" : "the connection's end"
}

export const garbage: readonly Check[] = [
  ...Object.entries(frames).flatMap(([what, list]) => [
    required(`the relay lives after ${what}`, async (relay) => {
      for (const frame of list) {
        const client = await relay.connect()
        client.sendText(frame)
        await client.seen((m) => m[0] !== "AUTH", 0, 120)
      }
      await answers(relay)
    }),
    optional(`the connection goes on after ${what}`, async (relay) => {
      for (const frame of list) {
        const ended = await goesOn(relay, frame)
        demand(ended === undefined, `EOSE for the next REQ after ${show(frame, 60)}`, String(ended))
      }
    }),
  ]),
  optional("what is wrong is answered by NOTICE, CLOSED or OK false", async (relay) => {
    for (const frame of ["hello", "{}", '["HELLO"]', '["EVENT",{}]', '["REQ","s","x"]', '["REQ"]', '["CLOSE"]']) {
      const client = await relay.connect()
      client.sendText(frame)
      await client.until(`NOTICE, CLOSED or OK for ${frame}`, (m) => m[0] !== "AUTH" && m[0] !== "EOSE", 0, 1_500)
      client.close()
    }
  }),
  required("the relay lives after binary frames", async (relay) => {
    const client = await relay.connect()
    client.sendText(Buffer.from([0, 255, 254, 1, 2, 3]))
    client.sendText(Buffer.from('["REQ","s",{}]'))
    await client.seen((m) => m[0] !== "AUTH", 0, 200)
    await answers(relay)
  }),
  required("the relay lives after a frame of 2 MB", async (relay) => {
    const client = await relay.connect()
    client.sendText(JSON.stringify(["EVENT", { ...person().event(), content: "x".repeat(2 * 1024 * 1024) }]))
    await client.seen((m) => m[0] !== "AUTH", 0, 500)
    await answers(relay)
  }),
  required("the relay lives after an event with 20,000 tags", async (relay) => {
    const client = await relay.connect()
    client.send("EVENT", person().event({ tags: Array.from({ length: 20_000 }, (_, n) => ["t", String(n)]) }))
    await client.seen((m) => m[0] === "OK" || m[0] === "NOTICE", 0, 2_000)
    await answers(relay)
  }),
  required("the relay lives after a hundred connections that leave at once", async (relay) => {
    const clients = await Promise.all(Array.from({ length: 100 }, () => relay.connect().catch(() => undefined)))
    for (const client of clients) {
      client?.send("REQ", "s", { kinds: [1], limit: 5 })
      client?.close()
    }
    await answers(relay)
  }),
]
