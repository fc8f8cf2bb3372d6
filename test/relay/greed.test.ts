/** What one client can make the relay hold and do is bounded, whatever it asks for. */
import { afterEach, expect, it } from "vitest"
import { limits } from "../../src/limits.ts"
import { withId } from "../../src/protocol/event.ts"
import { liveFeed } from "../../src/relay/live.ts"
import type { RelayServer } from "../../src/relay/relay.ts"
import { virtualClock } from "../../src/services/clock.ts"
import { connect, signed, startRelay, type TestClient, unsigned } from "./client.ts"

const running: RelayServer[] = []
const meet = async (options: Parameters<typeof startRelay>[0] = {}): Promise<[RelayServer, TestClient]> => {
  const relay = await startRelay(options)
  running.push(relay)
  return [relay, await connect(relay.url)]
}
afterEach(async () => {
  for (const relay of running.splice(0)) await relay.close()
})

it("an event's tags are looked through once, however many filters it meets", () => {
  const live = liveFeed()
  const words = (prefix: string): readonly string[] => Array.from({ length: 1000 }, (_, n) => `${prefix}${n}`)
  const whole = unsigned(
    withId("a".repeat(64), { kind: 1, created_at: 1, content: "", tags: words("x").map((word) => ["t", word]) }),
  )
  let reads = 0
  const event = { ...whole, tags: { flatMap: whole.tags.flatMap.bind(whole.tags) } } as typeof whole
  const counted = new Proxy(event, {
    get: (target, name) => {
      if (name === "tags") reads++
      return Reflect.get(target, name) as unknown
    },
  })
  const delivered: number[] = []
  for (let n = 0; n < 100; n++)
    live.subscribe({
      filters: [{ authors: [event.pubkey], "#t": [...words("y"), ...(n === 99 ? ["x999"] : [])] }],
      deliver: () => void delivered.push(n),
    })
  live.publish({ event: counted, json: "" })
  expect([reads, delivered]).toEqual([1, [99]])
})

it("open subscriptions name so many values together and no more; what is closed or replaced counts no longer", async () => {
  const [, client] = await meet({ limits: { relayOpenValuesMax: 10 } })
  const kinds = (count: number) => ({ kinds: Array.from({ length: count }, (_, n) => n) })
  await client.req("a", kinds(4), { "#t": ["x", "y"], authors: [] })
  await client.req("b", kinds(4))
  expect(await client.refused("c", kinds(1))).toMatch(/^rate-limited: .*10 values; close one/)
  await client.req("b", kinds(3))
  await client.req("c", kinds(1))
  // In the place of one that is open, and refused: that one is closed.
  expect(await client.refused("b", kinds(4))).toMatch(/^rate-limited: /)
  client.send("CLOSE", "a")
  await client.req("b", kinds(9))
  const note = signed({})
  await client.publish(note)
  expect([client.eventsOf("b"), client.eventsOf("c")]).toEqual([[note], []])
})

/** Short questions with long answers, none of which is read. */
const flood = (client: TestClient, many: number): void => {
  client.pause()
  for (let n = 0; n < many; n++) client.sendText('["?"]')
}

it("N7: a client that does not read its answers is not read meanwhile, and hears them all when it reads", async () => {
  const [relay, client] = await meet({ limits: { relayPaceBytesMax: 10_000, relayBufferBytesMax: 500_000 } })
  flood(client, 100_000)
  const other = await connect(relay.url)
  expect(await other.publish(signed({}))).toEqual({ ok: true, message: "" })
  client.resume()
  expect(await client.count("last", {})).toBe(1)
  expect(client.received.filter(([name]) => name === "NOTICE").length).toBe(100_000)
})

it("one that is not read, and takes nothing for a whole ping interval, is cut off", async () => {
  const clock = virtualClock()
  const [relay, client] = await meet({ clock, limits: { relayPaceBytesMax: 10_000 } })
  flood(client, 100_000)
  while (relay.stats().clients > 0) {
    clock.advance(limits.pingSeconds * 1000)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  client.resume()
  expect(await client.closed).toBe(1006)
})
