import { afterEach, expect, it } from "vitest"
import { limits } from "../../src/limits.ts"
import { withId } from "../../src/protocol/event.ts"
import { liveFeed } from "../../src/relay/live.ts"
import { openStorage, type Storage } from "../../src/relay/storage.ts"
import { groupWriter, type WriterParts } from "../../src/relay/writer.ts"
import { virtualClock } from "../../src/services/clock.ts"
import { trustingVerifier, unsigned } from "./client.ts"

const storage = (): Storage => openStorage({ file: ":memory:", rowsMax: 100 })
let held: Storage
afterEach(() => held.close())

const begin = (faults: Partial<Storage>, more: Partial<WriterParts> = {}) => {
  held = storage()
  const told: string[] = []
  const broken: string[] = []
  const live = liveFeed()
  live.subscribe({ filters: [{}], deliver: ({ json }) => told.push(`live ${JSON.parse(json).content}`) })
  const writer = groupWriter({
    storage: { ...held, ...faults },
    live,
    verifier: trustingVerifier,
    clock: virtualClock(),
    limits,
    onBroken: (error) => broken.push(error.message),
    ...more,
  })
  const submit = (content: string): Promise<void> =>
    new Promise((resolve) => {
      const event = unsigned(withId("a".repeat(64), { kind: 1, created_at: 1, tags: [], content }))
      const answer = (ok: boolean, message: string): void => {
        told.push(`${ok} ${content} ${message}`.trim())
        resolve()
      }
      writer.submit({ event, json: JSON.stringify(event), answer })
    })
  return { writer, told, broken, submit }
}

it("W1: OK is said after the sync, the live feed is told before it; what waits makes one group", async () => {
  let confirm = (): void => undefined
  let asked = Promise.withResolvers<void>()
  const { writer, told, submit } = begin({
    sync: () =>
      new Promise((resolve) => {
        confirm = resolve
        asked.resolve()
      }),
  })
  const one = submit("one")
  await asked.promise
  expect(told).toEqual(["live one"])
  asked = Promise.withResolvers()
  const more = Array.from({ length: 10 }, (_, n) => submit(`more ${n}`))
  confirm()
  await one
  await asked.promise
  confirm()
  await Promise.all(more)
  expect(told.indexOf("true one")).toBeLessThan(told.indexOf("true more 0"))
  expect(told.filter((line) => line.startsWith("true")).length).toBe(11)
  expect(writer.stats()).toMatchObject({ accepted: 11 })
  expect(writer.stats().groups).toBeLessThanOrEqual(3)
})

it("W2: a group that cannot be written is refused as an error, and the next one is taken", async () => {
  let full = true
  const { told, submit } = begin({
    transaction: (now, body) => {
      if (full) throw new Error("database or disk is full")
      return held.transaction(now, body)
    },
  })
  await submit("one")
  full = false
  await submit("two")
  expect(told).toEqual([
    "false one error: not stored (database or disk is full); send it again later",
    "live two",
    "true two",
  ])
})

it("W2: a verifier that fails refuses its batch as an error, and the next one is checked", async () => {
  let dead = true
  const { told, submit } = begin(
    {},
    {
      verifier: {
        backend: "nostr-tools",
        verify: (events) => {
          if (dead) throw new Error("worker died")
          return trustingVerifier.verify(events)
        },
      },
    },
  )
  await submit("one")
  dead = false
  await submit("two")
  expect(told[0]).toMatch(/^false one error: /)
  expect(told.at(-1)).toBe("true two")
})

it("W2: after a failed sync nothing is promised, and it is told once", async () => {
  const { writer, told, broken, submit } = begin({ sync: () => Promise.reject(new Error("I/O error")) })
  await submit("one")
  await submit("two")
  await writer.close()
  await submit("three")
  expect(told.filter((line) => line.startsWith("true"))).toEqual([])
  expect(told.at(-1)).toMatch(/^false three error: the relay is closing/)
  expect(broken).toEqual(["I/O error"])
})
