import * as fc from "fast-check"
import { join } from "node:path"
import { expect, it } from "vitest"
import { limits } from "../../src/limits.ts"
import { withId, type NostrEvent } from "../../src/protocol/event.ts"
import type { Roster } from "../../src/protocol/roster.ts"
import { openRelayLists } from "../../src/runtime/relay-lists.ts"
import { nowSeconds, virtualClock } from "../../src/services/clock.ts"
import { openHost, temporaryFolder } from "../support/engine.ts"
import { roster as council } from "../intake/council.ts"

const operator = council.operators[0]?.pubkey as string

const listBy = (pubkey: string, createdAt: number, ...urls: readonly string[]): NostrEvent => ({
  ...withId(pubkey, { kind: 10002, created_at: createdAt, tags: urls.map((url) => ["r", url]), content: "" }),
  sig: "0".repeat(128),
})

const open = (roster: Roster | undefined = council) => {
  const clock = virtualClock()
  const { engine, store } = openHost({ file: join(temporaryFolder(), "runtime.db"), kinds: {}, clock })
  const lists = openRelayLists({ roster: () => roster, engine, store, clock, limits })
  return {
    ...lists,
    now: nowSeconds(clock),
    again: () => openRelayLists({ roster: () => roster, engine, store, clock, limits }),
  }
}

it("LI1: of a key of the roster the newest list counts, in whatever order relays bring them", async () => {
  const { now } = open()
  const events = [
    listBy(operator, now - 9, "wss://a.example"),
    listBy(operator, now - 5, "wss://b.example"),
    listBy(operator, now - 5, "wss://c.example"),
    listBy(operator, now - 7, "wss://d.example"),
  ]
  const wanted = events.slice(1, 3).toSorted((a, b) => (a.id < b.id ? -1 : 1))[0]?.id
  await fc.assert(
    fc.asyncProperty(fc.shuffledSubarray([...events, ...events], { minLength: 8 }), async (order) => {
      const held = open()
      await Promise.all(order.map(held.offer))
      expect(held.again().of(operator)?.id).toBe(wanted)
    }),
    { numRuns: 10 },
  )
})

it("LI1: a stranger's list, one from the future, one before there is a roster: none is kept", async () => {
  const { offer, of, now } = open()
  await offer(listBy("9".repeat(64), now, "wss://a.example"))
  await offer(listBy(operator, now + limits.futureSecondsMax + 1, "wss://a.example"))
  expect([of("9".repeat(64)), of(operator)]).toEqual([undefined, undefined])
  const revoked = open({ ...council, revoked: [operator] })
  await revoked.offer(listBy(operator, now, "wss://a.example"))
  expect(revoked.of(operator)).toBeUndefined()
})

it("LI2: only TLS and public, and no more than the bound", async () => {
  const { offer, of, now } = open()
  const many = Array.from({ length: limits.relayListUrlsMax + 5 }, (_unused, n) => `wss://r${n}.example`)
  await offer(listBy(operator, now, "ws://a.example", "wss://10.0.0.1", "wss://[::1]", ...many))
  expect(of(operator)?.write).toEqual(many.slice(0, limits.relayListUrlsMax))
})
