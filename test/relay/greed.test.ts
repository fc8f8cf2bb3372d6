/** What one client can make the relay hold and do is bounded, whatever it asks for. */
import { afterEach, expect, it } from "vitest"
import { withId } from "../../src/protocol/event.ts"
import { liveFeed } from "../../src/relay/live.ts"
import type { RelayServer } from "../../src/relay/relay.ts"
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
