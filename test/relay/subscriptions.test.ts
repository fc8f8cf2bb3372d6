import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as fc from "fast-check"
import { expect, it } from "vitest"
import { limits } from "../../src/limits.ts"
import { type NostrEvent, withId } from "../../src/protocol/event.ts"
import { liveFeed } from "../../src/relay/live.ts"
import { openSight } from "../../src/relay/sight.ts"
import { openStorage } from "../../src/relay/storage.ts"
import { clientSubscriptions } from "../../src/relay/subscriptions.ts"
import { virtualClock } from "../../src/services/clock.ts"
import { unsigned } from "./client.ts"

/** A client that takes `room` frames and then nothing, until it is given room again. */
const scriptedClient = (bufferBytesMax: number) => {
  const storage = openStorage({ file: ":memory:", rowsMax: 100 })
  const live = liveFeed()
  const sent: (readonly unknown[])[] = []
  const state = { room: 0, cut: false, serial: 0 }
  const subscriptions = clientSubscriptions(
    {
      storage,
      live,
      sight: () => openSight,
      clock: virtualClock(),
      limits: { ...limits, relayPaceBytesMax: 1, relayBufferBytesMax: bufferBytesMax },
    },
    {
      address: "",
      send: (text) => {
        state.room--
        sent.push(JSON.parse(text) as readonly unknown[])
      },
      bufferedBytes: () => (state.room > 0 ? 0 : 1),
      pause: () => undefined,
      resume: () => undefined,
      cut: () => {
        state.cut = true
      },
    },
  )
  const publish = (at: number): NostrEvent => {
    const content = String(state.serial++)
    const event = unsigned(withId("a".repeat(64), { kind: 1, created_at: at, tags: [], content }))
    storage.put(event, JSON.stringify(event), 0)
    live.publish({ event, json: JSON.stringify(event) })
    return event
  }
  const pump = (room: number): void => {
    state.room = room
    subscriptions.pump()
  }
  return { storage, live, sent, state, subscriptions, publish, pump }
}

it("N2, P19: whenever the client reads, each event comes once: the stored in order, EOSE, the live as they came", () => {
  const step = fc.oneof(
    fc.record({ publish: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ pump: fc.integer({ min: 1, max: 3 }) }),
  )
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 10 }), fc.array(step), (before, after) => {
      const client = scriptedClient(1e9)
      const stored = before.map(client.publish)
      client.subscriptions.begin("sub", [{}])
      const live: NostrEvent[] = []
      for (const step of after) {
        if ("publish" in step) live.push(client.publish(step.publish))
        else client.pump(step.pump)
      }
      client.pump(1000)
      stored.sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1))
      const event = ({ id }: NostrEvent) => ["EVENT", id]
      expect(client.sent.map(([verb, , e]) => (verb === "EVENT" ? event(e as NostrEvent) : [verb]))).toEqual([
        ...stored.map(event),
        ["EOSE"],
        ...live.map(event),
      ])
      client.storage.close()
    }),
  )
})

it("N3: live events that are held for a client that does not read count to the bound, and then it is cut off", () => {
  const client = scriptedClient(2000)
  client.publish(1)
  client.subscriptions.begin("sub", [{}])
  while (!client.state.cut && client.state.serial < 100) client.publish(1)
  expect(client.state.cut).toBe(true)
  expect(client.state.serial).toBeLessThan(10)
  expect([client.subscriptions.count(), client.live.count(), client.sent]).toEqual([0, 0, []])
  client.pump(1000)
  expect(client.sent).toEqual([])
  client.storage.close()
})

it("nothing of a stored answer is kept when it is sent", async () => {
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as () => void
  const client = scriptedClient(1e9)
  const { answer } = client.storage
  const answers: WeakRef<object>[] = []
  const remembering: typeof answer = (...asked) => {
    const given = answer(...asked)
    answers.push(new WeakRef(given))
    return given
  }
  Object.assign(client.storage, { answer: remembering })
  client.publish(1)
  client.subscriptions.begin("sub", [{ authors: ["a".repeat(64), "b".repeat(64)] }])
  client.pump(1000)
  expect(client.sent.map(([verb]) => verb)).toEqual(["EVENT", "EOSE"])
  await new Promise(setImmediate)
  collect()
  expect([client.subscriptions.count(), answers.map((each) => each.deref())]).toEqual([1, [undefined]])
  client.storage.close()
})

it("a client with much under way has one piece of it done in a turn, each in its order, and none when it is gone", async () => {
  const client = scriptedClient(1e9)
  const done: string[] = []
  const work = (name: string, pieces: number) => (): boolean => {
    done.push(name)
    return --pieces === 0
  }
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  client.subscriptions.inTurns(work("a", 3))
  client.subscriptions.inTurns(work("b", 2))
  client.subscriptions.inTurns(work("c", 1))
  const seen: number[] = [done.length]
  while (done.length < 6) {
    await turn()
    seen.push(done.length)
  }
  // The first begins at once.
  expect(done).toEqual(["a", "a", "b", "c", "a", "b"])
  expect(seen).toEqual([1, 2, 3, 4, 5, 6])
  client.subscriptions.inTurns(work("d", 9))
  client.subscriptions.inTurns(work("e", 9))
  client.subscriptions.leave()
  for (let n = 0; n < 4; n++) await turn()
  expect(done.slice(6)).toEqual(["d"])
  client.storage.close()
})

/** A relay's live feed and store, and clients whose network takes only what they read. */
const world = (bufferBytesMax: number) => {
  const storage = openStorage({ file: ":memory:", rowsMax: 100 })
  const live = liveFeed()
  let serial = 0
  const join = () => {
    const outbox: string[] = []
    const state = { cut: false, bytes: 0, bytesMost: 0, got: [] as string[] }
    const take = (frames: number): void => {
      for (const text of outbox.splice(0, frames)) {
        state.bytes -= text.length
        const [verb, , event] = JSON.parse(text) as readonly [string, string, NostrEvent?]
        if (verb === "EVENT") state.got.push((event as NostrEvent).id)
      }
    }
    const subscriptions = clientSubscriptions(
      {
        storage,
        live,
        sight: () => openSight,
        clock: virtualClock(),
        limits: { ...limits, relayPaceBytesMax: 500, relayBufferBytesMax: bufferBytesMax },
      },
      {
        address: "",
        send: (text) => {
          if (state.cut) return
          outbox.push(text)
          state.bytes += text.length
          state.bytesMost = Math.max(state.bytesMost, state.bytes)
        },
        bufferedBytes: () => state.bytes,
        pause: () => undefined,
        resume: () => undefined,
        cut: () => {
          state.cut = true
          outbox.length = 0
          state.bytes = 0
        },
      },
    )
    const read = (frames: number): void => {
      take(frames)
      subscriptions.pump()
    }
    return { state, read, subscriptions }
  }
  const publish = (chars: number): string => {
    const content = `${serial++} ${"x".repeat(chars)}`
    const event = unsigned(withId("a".repeat(64), { kind: 1, created_at: 1, tags: [], content }))
    storage.put(event, JSON.stringify(event), 0)
    live.publish({ event, json: JSON.stringify(event) })
    return event.id
  }
  return { storage, live, join, publish }
}

it("P21: however clients read, none has more waiting than the bound, none that keeps up is cut, and none slows another", () => {
  const boundBytes = 5000
  const frameBytesMost = 1500
  const reader = fc.nat({ max: 3 })
  const step = fc.oneof(
    fc.record({ publish: fc.nat({ max: 1000 }) }),
    fc.record({ reader, frames: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ subscribe: reader, id: fc.constantFrom("a", "b") }),
  )
  let cuts = 0
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 1000 }), { maxLength: 8 }),
      fc.array(step, { maxLength: 60 }),
      (before, steps) => {
        const { storage, live, join, publish } = world(boundBytes)
        for (const chars of before) publish(chars)
        const eager = join()
        eager.subscriptions.begin("sub", [{ limit: 0 }])
        eager.read(Infinity)
        const slow = Array.from({ length: 4 }, join)
        const published: string[] = []
        for (const each of steps) {
          if ("publish" in each) published.push(publish(each.publish))
          else if ("reader" in each) slow[each.reader]?.read(each.frames)
          else {
            const { subscriptions } = slow[each.subscribe] as (typeof slow)[number]
            subscriptions.end(each.id)
            subscriptions.begin(each.id, [{}])
          }
          // All of it, in the very turn in which it was published, whatever the others leave lying.
          eager.read(Infinity)
          expect(eager.state.got).toEqual(published)
          for (const { state } of slow) expect(state.bytesMost).toBeLessThanOrEqual(boundBytes + frameBytesMost)
        }
        const alive = slow.filter(({ state }) => !state.cut)
        cuts += slow.length - alive.length
        // Who was not cut has lost nothing, once it reads; who was cut costs nothing more.
        for (const each of alive) for (let n = 0; n < 400; n++) each.read(10)
        const all = before.length + published.length
        for (const { state } of alive.filter(({ subscriptions }) => subscriptions.count() > 0))
          expect(new Set(state.got).size).toBe(all)
        const open = [eager, ...alive].reduce((sum, { subscriptions }) => sum + subscriptions.count(), 0)
        expect([eager.state.cut, live.count()]).toEqual([false, open])
        storage.close()
      },
    ),
    { examples: [[[], [{ subscribe: 0, id: "a" }, ...Array.from({ length: 20 }, () => ({ publish: 1000 }))]]] },
  )
  // The example's reader at the least, which reads nothing.
  expect(cuts).toBeGreaterThan(0)
})
