/** What a relay says that it bears (NIP-11) is kept to: on sockets, with our own relay and with ones that are strict. */
import * as fc from "fast-check"
import { afterEach, describe, expect, it } from "vitest"
import { bytesOf, readRelayInformation } from "../../src/protocol/relay-information.ts"
import { fitting, type Subscription } from "../../actors/subscription.ts"
import { systemClock } from "../../src/services/clock.ts"
import { limits } from "../../src/limits.ts"
import { openRelayInformation } from "../../src/services/relay-information.ts"
import { startRelay } from "../relay/client.ts"
import { harness, keyPair, notesOf, type Harness } from "../support/relay-harness.ts"
import { scriptedRelay } from "../support/scripted-relay.ts"

const now = Math.floor(Date.now() / 1000)
const author = keyPair()
const live = ({ connection }: Harness): boolean => connection.status().state === "live"
const open: { close: () => Promise<void> }[] = []
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.close()
})
const connect = (...args: Parameters<typeof harness>): Harness => {
  const made = harness(...args)
  open.push(made.connection)
  return made
}
const keptBy = <A extends { close: () => Promise<void> }>(made: A): A => {
  open.push(made)
  return made
}

describe("what a relay says that it bears", () => {
  it("what our own relay would refuse is not sent, what is sent it takes", async () => {
    const bounds = { relayTagsMax: 4, frameBytesMax: 3000, eventBytesMax: 3000, futureSecondsMax: 100 }
    const relay = keptBy(await startRelay({ limits: bounds }))
    const information = openRelayInformation({ clock: systemClock, limits })
    const sent: unknown[] = []
    const made = connect(relay.url, () => [], {
      information: () => information.of(relay.url),
      sent: ([name, event]) => name === "EVENT" && sent.push((event as { id: string }).id),
    })
    await made.until(() => live(made))
    const shape = fc.record({
      tags: fc.integer({ min: 0, max: 8 }),
      chars: fc.oneof(fc.nat(2000), fc.nat(4000)),
      aheadSeconds: fc.constantFrom(-1000, 0, 300),
    })
    let refusals = 0
    await fc.assert(
      fc.asyncProperty(shape, async ({ tags, chars, aheadSeconds }) => {
        const list = Array.from({ length: tags }, (_, n) => ["t", `${n}`])
        const event = author.event("é".repeat(chars / 2), now + aheadSeconds, 1, list)
        const answer = await made.connection.publish(event)
        const isSent = sent.includes(event.id)
        expect([answer.accepted, answer.message.includes("not sent")]).toEqual([isSent, !isSent])
        if (!isSent) refusals++
      }),
      { numRuns: 60 },
    )
    expect(refusals).toBeGreaterThan(5)
    expect(sent.length).toBeGreaterThan(5)
  })

  it.each([1, 2, 3, 4, 6])(
    "RR6: a relay with room for %i REQs at a time gets no more, and everything comes",
    async (max) => {
      const relay = keptBy(await scriptedRelay({ cap: 3 }))
      let most = 0
      relay.script = {
        cap: 3,
        onReq: (id, _filter, client) => {
          if (client.subscriptions.size >= max && !client.subscriptions.has(id))
            return [["CLOSED", id, "error: too many"]]
          most = Math.max(most, client.subscriptions.size + 1)
          return undefined
        },
      }
      const names = ["low", "high", "other"]
      const events = names.map((_, kind) =>
        Array.from({ length: 8 }, (_, n) => author.event(`${n}`, now - n, 100 + kind)),
      )
      relay.stored.push(...events.flat())
      const said = readRelayInformation({ limitation: { max_subscriptions: max } })
      let cursor: number | undefined
      const made = connect(
        relay.url,
        () =>
          names.map((name, kind): Subscription => ({
            name,
            filters: [{ kinds: [100 + kind], authors: [author.pubkey] }],
            sinceMs: () => undefined,
            rank: name === "high" ? 2 : 1,
          })),
        {
          information: () => said,
          limits: { pollSeconds: 2 },
          take: async (batch) => {
            if (batch.subscription === "low") cursor = batch.cursorMs ?? cursor
          },
        },
      )
      await made.until(() => live(made))
      expect(made.reads).toEqual(names)
      for (const [kind, name] of names.entries())
        expect(new Set(made.ids(name))).toEqual(new Set(events[kind]?.map(({ id }) => id)))
      const before = cursor ?? Infinity
      // What has no room is read again and again, and what has stays open.
      const late = names.map((_, kind) => author.event("late", now, 100 + kind))
      for (const event of late) relay.give(event)
      await made.until(() => late.every(({ id }) => made.ids().includes(id)))
      await made.until(() => cursor !== undefined && cursor > before)
      expect(most).toBeLessThanOrEqual(max)
      const begun = (relay.clients[0]?.asked ?? []).filter(
        ({ id, filter }) => id.startsWith("high/") && filter.until === undefined,
      )
      expect(begun.length === 1).toBe(max > 1)
    },
  )

  it("RR6: a `limit` above the relay's is not asked for, nor a longer name", async () => {
    const relay = keptBy(await scriptedRelay({}))
    const events = Array.from({ length: 12 }, (_, n) => author.event(`${n}`, now - n))
    relay.stored.push(...events)
    const said = readRelayInformation({ limitation: { max_limit: 5, max_subid_length: 10 } })
    const made = connect(relay.url, () => [notesOf("a-rather-long-name", author.pubkey)], { information: () => said })
    await made.until(() => live(made))
    expect(new Set(made.ids())).toEqual(new Set(events.map(({ id }) => id)))
    const asked = relay.clients[0]?.asked ?? []
    expect(asked.length).toBeGreaterThan(2)
    for (const { id, filter } of asked) expect([filter.limit, id.length <= 10]).toEqual([5, true])
  })

  it("RR6: a question that is too long is asked in parts", async () => {
    const relay = keptBy(await scriptedRelay({}))
    const keys = Array.from({ length: 60 }, () => keyPair())
    const events = keys.map((key) => key.event("hello", now))
    relay.stored.push(...events)
    const filter = { kinds: [1], authors: keys.map(({ pubkey }) => pubkey) }
    const said = readRelayInformation({ limitation: { max_message_length: 1500 } })
    const sent: number[] = []
    const made = connect(relay.url, () => [{ name: "all", filters: [filter], sinceMs: () => undefined }], {
      information: () => said,
      sent: (frame) => void sent.push(bytesOf(frame)),
    })
    await made.until(() => live(made))
    expect(new Set(made.ids())).toEqual(new Set(events.map(({ id }) => id)))
    expect(made.reads).toEqual(["all"])
    expect(Math.max(...sent)).toBeLessThanOrEqual(1500)
  })

  it("the parts of a question ask for what it asks for, and each is short enough", () => {
    const values = (from: number) =>
      fc.array(fc.integer({ min: from, max: from + 30 }), { minLength: 1, maxLength: 40 })
    const filter = fc.record({
      kinds: values(0),
      authors: values(0).map((list) => list.map((n) => `${n}`.padStart(64, "0"))),
    })
    fc.assert(
      fc.property(filter, fc.integer({ min: 150, max: 3000 }), (whole, bytesMax) => {
        const parts = fitting(whole, bytesMax)
        for (const part of parts) expect(bytesOf(part)).toBeLessThanOrEqual(bytesMax)
        const asked = parts.flatMap(({ kinds = [], authors = [] }) =>
          kinds.flatMap((kind) => authors.map((pubkey) => `${kind} ${pubkey}`)),
        )
        expect(new Set(asked)).toEqual(
          new Set(whole.kinds.flatMap((kind) => whole.authors.map((pubkey) => `${kind} ${pubkey}`))),
        )
      }),
    )
  })

  it("nothing is said before it is known, and a relay that is slow to say it is not waited for twice", async () => {
    const relay = keptBy(await scriptedRelay({}))
    const known = Promise.withResolvers<ReturnType<typeof readRelayInformation>>()
    let asked = 0
    const made = connect(relay.url, () => [notesOf("a", author.pubkey)], {
      information: () => (asked++, known.promise),
    })
    while (relay.clients.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect([relay.clients[0]?.frames, made.connection.status().state]).toEqual([[], "connecting"])
    relay.clients[0]?.cut()
    while (relay.clients.length === 1) await new Promise((resolve) => setTimeout(resolve, 5))
    known.resolve(readRelayInformation({ limitation: { max_limit: 7 } }))
    await made.until(() => live(made))
    expect(relay.clients[1]?.asked[0]?.filter.limit).toBe(7)
    expect(relay.clients[0]?.frames).toEqual([])
    expect(asked).toBe(2)
  })
})
