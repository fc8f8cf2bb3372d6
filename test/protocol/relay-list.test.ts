import * as fc from "fast-check"
import { expect, it } from "vitest"
import { withId } from "../../src/protocol/event.ts"
import { isPublicUrl, readRelayList, relayListTemplate, relayUrlOf } from "../../src/protocol/relay-list.ts"

const signer = "aa".repeat(32)

it.each([
  ["wss://relay.example", "wss://relay.example"],
  ["wss://Relay.Example/", "wss://relay.example"],
  ["wss://relay.example:443/path/", "wss://relay.example/path"],
  ["ws://127.0.0.1:3334", "ws://127.0.0.1:3334"],
  ["https://relay.example", undefined],
  ["relay.example", undefined],
  ["wss://user@relay.example", undefined],
  ["wss://relay.example/#x", undefined],
  ["", undefined],
])("the address of %j is %j", (given, wanted) => {
  expect(relayUrlOf(given)).toBe(wanted)
})

it.each([
  "ws://localhost:3334",
  "ws://127.0.0.1:3334",
  "wss://127.9.9.9",
  "ws://2130706433",
  "ws://0x7f.1",
  "ws://0.0.0.0",
  "wss://10.1.2.3",
  "wss://172.16.0.1",
  "wss://172.31.255.255",
  "wss://192.168.1.2",
  "wss://169.254.1.1",
  "wss://100.64.0.1",
  "wss://224.0.0.1",
  "wss://[::1]:7777",
  "wss://[::]",
  "wss://[::ffff:127.0.0.1]",
  "wss://[fd00::1]",
  "wss://[fe80::1]",
  "wss://box",
  "wss://box.local",
  "wss://box.local.",
  "wss://nas.lan",
  "wss://relay.home.arpa",
  "wss://a.localhost",
  "nonsense",
])("%s is not for others", (url) => {
  expect(isPublicUrl(url)).toBe(false)
  expect(relayListTemplate([url, "wss://relay.example"], 1).tags).toEqual([["r", "wss://relay.example"]])
})

it.each(["wss://relay.example", "ws://relay.example:7777", "wss://172.32.0.1", "wss://8.8.8.8", "wss://[2001:db8::1]"])(
  "%s is",
  (url) => {
    expect(isPublicUrl(url)).toBe(true)
  },
)

it("another's list is read with its markers, TLS only, public only, each once", () => {
  const tags = [
    ["r", "wss://both.example/"],
    ["r", "wss://both.example"],
    ["r", "wss://in.example", "read"],
    ["r", "wss://out.example", "write"],
    ["r", "ws://plain.example"],
    ["r", "wss://127.0.0.1"],
    ["r", "wss://[::1]"],
    ["r"],
    ["p", "wss://none.example"],
  ]
  const event = withId(signer, { kind: 10002, created_at: 1, tags, content: "" })
  expect(readRelayList(event)).toEqual({
    read: ["wss://both.example", "wss://in.example"],
    write: ["wss://both.example", "wss://out.example"],
  })
  expect(readRelayList({ ...event, kind: 1 })).toBeUndefined()
})

it("P24: no tags make it throw, and nothing private comes through", () => {
  const text = fc.oneof(
    fc.string(),
    fc.webUrl(),
    fc.ipV4().map((ip) => `wss://${ip}`),
    fc.ipV6().map((ip) => `wss://[${ip}]`),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom("r", "p"), text)), (tags) => {
      const list = readRelayList(withId(signer, { kind: 10002, created_at: 1, tags, content: "" }))
      for (const url of [...(list?.read ?? []), ...(list?.write ?? [])]) expect(isPublicUrl(url)).toBe(true)
    }),
  )
})
