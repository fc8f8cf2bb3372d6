import { join } from "node:path"
import { describe, expect, it } from "vitest"
import type { Signer } from "../../src/identity/signer.ts"
import { limits } from "../../src/limits.ts"
import type { NostrEvent } from "../../src/protocol/event.ts"
import { openAnnouncer } from "../../src/runtime/announce.ts"
import { virtualClock } from "../../src/services/clock.ts"
import { openHost, temporaryFolder } from "../support/engine.ts"

const signerOf = (pubkey: string): Signer => ({
  pubkey,
  sign: async (events) => events.map((event) => ({ ...event, sig: "0".repeat(128) })),
})

const open = (given: readonly string[]) => {
  const clock = virtualClock()
  const { engine, store } = openHost({ file: join(temporaryFolder(), "runtime.db"), kinds: {}, clock })
  let relays = given
  const warned: string[] = []
  const announcer = (about = "worker", pubkey = "1".repeat(64)) =>
    openAnnouncer({
      name: "timmy",
      about,
      signer: signerOf(pubkey),
      relays: () => relays,
      engine,
      store,
      clock,
      limits,
      warn: (message) => warned.push(message),
    })
  const told: { readonly url: string; readonly event: NostrEvent }[] = []
  const tell =
    (url: string, accepted = true) =>
    async (event: NostrEvent) => {
      told.push({ url, event })
      return { accepted, message: "" }
    }
  const heard = (kind: number, url?: string): readonly NostrEvent[] =>
    told.filter((each) => each.event.kind === kind && (url ?? each.url) === each.url).map(({ event }) => event)
  return { clock, announcer, tell, heard, warned, use: (next: readonly string[]) => void (relays = next) }
}

describe("what a wizard says of itself", () => {
  it("AN1: every relay gets the same event, once, and the one that refused gets it again", async () => {
    const { announcer, tell, heard } = open(["wss://a.example", "ws://127.0.0.1:1"])
    const own = announcer()
    await Promise.all([own.give("wss://a.example", tell("a")), own.give("ws://127.0.0.1:1", tell("b", false))])
    await own.give("wss://a.example", tell("a"))
    await announcer().give("ws://127.0.0.1:1", tell("b"))
    for (const kind of [0, 10002]) {
      expect(heard(kind, "a").length).toBe(1)
      expect(heard(kind, "b")).toEqual([heard(kind, "a")[0], heard(kind, "a")[0]])
    }
    expect(heard(10002)[0]?.tags).toEqual([["r", "wss://a.example"]])
  })

  it("AN2 P14: what changes is dated later, however often and however the clock is set", async () => {
    const { announcer, tell, heard, use, clock } = open(["wss://a.example"])
    for (const [n, step] of [0, 0, -60_000, 0, 5_000, -300_000].entries()) {
      clock.step(step)
      use(["wss://a.example", `wss://b${n}.example`])
      await announcer(`worker ${n}`).give("wss://a.example", tell("a"))
    }
    for (const kind of [0, 10002]) {
      const dates = heard(kind).map(({ created_at }) => created_at)
      expect(dates.length).toBe(6)
      expect(dates).toEqual([...new Set(dates)].toSorted((a, b) => a - b))
    }
  })

  it("AN2: a date that relays would not accept is not gone on from", async () => {
    const { announcer, tell, heard, clock } = open(["wss://a.example"])
    clock.step(10 * 365 * 24 * 3600 * 1000)
    await announcer("worker 1").give("wss://a.example", tell("a"))
    clock.step(-10 * 365 * 24 * 3600 * 1000)
    await announcer("worker 2").give("wss://a.example", tell("a"))
    expect(heard(0)[1]?.created_at).toBe(Math.floor(clock.nowMs() / 1000))
  })

  it("AN3: no list where nobody else reaches a relay; an empty one where there was a list", async () => {
    const { announcer, tell, heard, use } = open(["ws://127.0.0.1:1", "wss://box.local"])
    await announcer().give("ws://127.0.0.1:1", tell("a"))
    expect([heard(10002), heard(0).length]).toEqual([[], 1])
    use(["ws://127.0.0.1:1", "wss://a.example"])
    await announcer().give("ws://127.0.0.1:1", tell("a"))
    use(["ws://127.0.0.1:1"])
    await announcer().give("ws://127.0.0.1:1", tell("a"))
    expect(heard(10002).map(({ tags }) => tags)).toEqual([[["r", "wss://a.example"]], []])
  })

  it("a key that was changed says it anew, and nothing rejects where the store or the relay fails", async () => {
    const { announcer, tell, heard, warned } = open(["wss://a.example"])
    await announcer().give("wss://a.example", tell("a"))
    await announcer("worker", "2".repeat(64)).give("wss://a.example", tell("a"))
    expect(heard(0).map(({ pubkey }) => pubkey)).toEqual(["1".repeat(64), "2".repeat(64)])
    await announcer("another").give("wss://a.example", () => Promise.reject(new Error("gone")))
    expect(warned).toEqual([])
  })
})
