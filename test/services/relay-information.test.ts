import { createServer, type RequestListener } from "node:http"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { describe, expect, it, onTestFinished } from "vitest"
import { limits as defaults, type Limits } from "../../src/limits.ts"
import { nothingSaid, type RelayInformation } from "../../src/protocol/relay-information.ts"
import { systemClock, virtualClock } from "../../src/services/clock.ts"
import { openRelayInformation } from "../../src/services/relay-information.ts"

const serve = async (listener: RequestListener): Promise<{ readonly url: string; readonly asked: () => number }> => {
  let asked = 0
  const server = createServer((request, response) => {
    asked++
    listener(request, response)
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  onTestFinished(async () => {
    server.close()
    server.closeAllConnections()
    await once(server, "close")
  })
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, asked: () => asked }
}

const open = (given: Partial<Limits> = {}) =>
  openRelayInformation({ clock: systemClock, limits: { ...defaults, ...given } })
const good = JSON.stringify({ supported_nips: [1, 77], limitation: { max_limit: 300 } })

describe("what relays say of themselves", () => {
  it("is read, and asked for as NIP-11 says", async () => {
    let accepted: string | undefined
    const { url } = await serve((request, response) => {
      accepted = request.headers.accept
      response.end(good)
    })
    const said = await open().of(url)
    expect([said.reconciles, said.bounds.limitMax, accepted]).toEqual([true, 300, "application/nostr+json"])
  })

  it("IR1: who asks meanwhile shares the question, and for a while nobody asks again", async () => {
    const clock = virtualClock()
    let documents = 0
    let document: unknown = JSON.parse(good)
    const information = openRelayInformation({
      clock,
      limits: { ...defaults, informationSeconds: 100, informationRetrySeconds: 10 },
      read: async () => (documents++, document),
    })
    const all = await Promise.all(Array.from({ length: 50 }, () => information.of("ws://a")))
    expect([documents, new Set(all).size]).toEqual([1, 1])
    clock.advance(99_000)
    expect(information.of("ws://a")).toBe(all[0])
    clock.advance(1000)
    document = undefined
    // IR2: what was said before stays.
    expect(await information.of("ws://a")).toBe(all[0])
    clock.advance(9000)
    expect(information.of("ws://a")).toBe(all[0])
    clock.advance(1000)
    await information.of("ws://a")
    expect(documents).toBe(3)
    // A clock that was set back does not make it wait for a past that comes again.
    clock.step(-3_600_000)
    await information.of("ws://a")
    expect(documents).toBe(4)
  })

  it.each<[string, RequestListener, Partial<Limits>]>([
    ["no document", (_, response) => void response.writeHead(404).end(), {}],
    ["no JSON", (_, response) => void response.end("<html>"), {}],
    ["one that is too long", (_, response) => void response.end(good.padEnd(3000)), { relayInformationBytesMax: 2000 }],
    ["one that does not end", (_, response) => void response.write("{"), { informationMsMax: 1000 }],
    ["silence", () => {}, { informationMsMax: 1000 }],
    ["the way to somewhere else", (_, response) => void response.writeHead(302, { location: "/other" }).end(good), {}],
    ["a list", (_, response) => void response.end("[77]"), {}],
  ])("IR2: %s says nothing", async (_, listener, given) => {
    const { url, asked } = await serve(listener)
    const said: RelayInformation = await open(given).of(url)
    expect([said, asked()]).toEqual([nothingSaid, 1])
  })

  it("IR2: so does a relay that is not there", async () => {
    expect(await open().of("ws://127.0.0.1:1")).toEqual(nothingSaid)
  })
})
