import { afterEach, describe, expect, it } from "vitest"
import { makeAuthEvent } from "nostr-tools/nip42"
import { generateSecretKey, getPublicKey } from "nostr-tools/pure"
import type { RelayServer } from "../../src/relay/relay.ts"
import { virtualClock } from "../../src/services/clock.ts"
import { aliceKey, connect, signed, startRelay, type TestClient } from "./client.ts"

const running: RelayServer[] = []
const meet = async (options: Parameters<typeof startRelay>[0] = {}): Promise<[RelayServer, TestClient]> => {
  const relay = await startRelay(options)
  running.push(relay)
  return [relay, await connect(relay.url)]
}
afterEach(async () => {
  for (const relay of running.splice(0)) await relay.close()
})

const [alice, bob, eve] = [aliceKey, generateSecretKey(), generateSecretKey()]
const pubkey = getPublicKey
const message = (from: Uint8Array, to: Uint8Array, kind = 4, content = "x?iv=y") =>
  signed({ kind, content, tags: [["p", pubkey(to)]] }, from)

describe("AUTH (NIP-42)", () => {
  it("a challenge comes on connecting, another for each connection", async () => {
    const [relay, client] = await meet()
    const other = await connect(relay.url)
    const challenges = [await client.until((m) => m[0] === "AUTH"), await other.until((m) => m[0] === "AUTH")]
    expect(challenges[0]?.[1]).toMatch(/^[0-9a-f]{32}$/)
    expect(challenges[1]?.[1]).not.toBe(challenges[0]?.[1])
  })

  it("takes the names of its own port and the configured addresses, and no other", async () => {
    const [relay, client] = await meet({
      urls: ["wss://relay.example.com/council"],
      rules: { write: "open", read: "open" },
    })
    const { port } = relay
    for (const url of [
      `ws://127.0.0.1:${port}`,
      `ws://localhost:${port}/`,
      `ws://[::1]:${port}`,
      "wss://Relay.Example.com:443/council/",
    ])
      expect(await client.authenticate(alice, url)).toEqual({ ok: true, message: "" })
    for (const url of [
      "wss://relay.example.com",
      "ws://relay.example.com/council",
      "wss://evil.example.com/council",
      `ws://127.0.0.1:${port + 1}`,
      "relay.example.com",
      "",
    ])
      expect(await client.authenticate(alice, url)).toEqual({
        ok: false,
        message: "invalid: the relay tag names another relay",
      })
  })

  it("refuses a wrong challenge, kind, date and signature, and says which", async () => {
    const clock = virtualClock(1_000_000_000)
    const [relay, client] = await meet({ clock })
    const [, challenge] = await client.until((m) => m[0] === "AUTH")
    const answer = async (event: ReturnType<typeof signed>) => {
      client.send("AUTH", event)
      return (await client.next(event.id, "OK")).slice(2)
    }
    const made = { ...makeAuthEvent(relay.url, challenge as string), created_at: 1_000_000 }
    expect(await answer(signed({ ...made, created_at: 1_000_601 }))).toEqual([
      false,
      expect.stringMatching(/^invalid: created_at is 601 seconds/),
    ])
    expect(await answer(signed({ ...made, created_at: 999_399 }))).toEqual([
      false,
      expect.stringMatching(/^invalid: created_at/),
    ])
    expect(await answer(signed({ ...made, kind: 1 }))).toEqual([false, "invalid: AUTH takes a kind 22242"])
    const stale = { ...makeAuthEvent(relay.url, "0".repeat(32)), created_at: 1_000_000 }
    expect(await answer(signed(stale))).toEqual([false, expect.stringMatching(/^invalid: the challenge/)])
    expect(await answer({ ...signed(made), sig: "0".repeat(128) })).toEqual([
      false,
      "invalid: id or signature is wrong",
    ])
    expect(await client.refused("dm", { kinds: [4] })).toMatch(/^auth-required: /)
    expect(await answer(signed({ ...made, created_at: 999_400 }))).toEqual([true, ""])
  })

  it("an AUTH event is neither stored nor handed on", async () => {
    const [relay, client] = await meet()
    const event = signed(makeAuthEvent(relay.url, "x"))
    expect(await client.publish(event)).toMatchObject({
      ok: false,
      message: expect.stringMatching(/^invalid: kind 22242/),
    })
  })

  it("P10, N5: a REQ sent right behind its AUTH is the authenticated client's", async () => {
    const [relay, client] = await meet()
    const dm = message(bob, alice)
    await client.publish(dm)
    const [, challenge] = await client.until((m) => m[0] === "AUTH")
    client.send("AUTH", signed(makeAuthEvent(relay.url, challenge as string)))
    expect(await client.req("dms", { kinds: [4] })).toEqual([dm])
  })

  it("holds no more keys of one connection than the limit", async () => {
    const [, client] = await meet({ limits: { relayAuthKeysMax: 2 } })
    for (const key of [alice, bob, alice]) expect(await client.authenticate(key)).toMatchObject({ ok: true })
    expect(await client.authenticate(eve)).toEqual({
      ok: false,
      message: "restricted: at most 2 keys on one connection",
    })
  })
})

describe("kinds 4 and 1059 are for their parties", () => {
  const setUp = async () => {
    const [relay, client] = await meet()
    const events = {
      note: signed({ kind: 1, tags: [["p", pubkey(bob)]] }),
      dm: message(alice, bob),
      wrap: message(alice, bob, 1059),
      other: message(alice, eve, 1059),
    }
    for (const event of Object.values(events)) expect(await client.publish(event)).toMatchObject({ ok: true })
    return { relay, client, events }
  }
  const ids = (events: readonly { readonly id: string }[]) => events.map(({ id }) => id).toSorted()

  it("V2: without AUTH a filter for them alone is refused, by REQ, COUNT and NEG; a wider one leaves them out", async () => {
    const { client, events } = await setUp()
    for (const filter of [{ kinds: [4] }, { kinds: [1059], "#p": [pubkey(bob)] }, { kinds: [4, 1059] }]) {
      expect(await client.refused("a", filter)).toMatch(/^auth-required: /)
      expect(await client.count("b", filter)).toMatch(/^auth-required: /)
      client.send("NEG-OPEN", "c", filter, "6100000200")
      expect((await client.next("c", "NEG-ERR", "NEG-MSG"))[2]).toMatch(/^auth-required: /)
    }
    const wide = [{}, { ids: ids(Object.values(events)) }, { "#p": [pubkey(bob)] }, { authors: [pubkey(alice)] }]
    for (const filter of [...wide, { kinds: [1, 4, 1059] }]) {
      expect(await client.req("d", filter)).toEqual([events.note])
      expect(await client.count("e", filter)).toBe(1)
    }
  })

  it("V1: each key sees what it is a party to, whatever filter asks; several keys see it all", async () => {
    const { relay, events } = await setUp()
    const { note, dm, wrap, other } = events
    const expected: readonly [readonly Uint8Array[], readonly { readonly id: string }[]][] = [
      [[alice], [note, dm]],
      [[bob], [note, dm, wrap]],
      [[eve], [note, other]],
      [
        [bob, eve],
        [note, dm, wrap, other],
      ],
    ]
    for (const [keys, seen] of expected) {
      const client = await connect(relay.url)
      for (const key of keys) await client.authenticate(key)
      for (const filter of [{}, { ids: ids(Object.values(events)) }, { kinds: [1, 4, 1059] }]) {
        expect(ids(await client.req("all", filter))).toEqual(ids(seen))
        expect(await client.count("all", filter)).toBe(seen.length)
        expect(await client.count("two", filter, { kinds: [1] })).toBe(seen.length)
      }
    }
  })

  it("an authenticated stranger is told that it is restricted", async () => {
    const { client } = await setUp()
    await client.authenticate(eve)
    expect(await client.refused("a", { kinds: [1059], "#p": [pubkey(bob)] })).toMatch(/^restricted: /)
    expect(await client.count("a", { kinds: [4], authors: [pubkey(alice)], "#p": [pubkey(bob)] })).toMatch(
      /^restricted: /,
    )
    expect(await client.req("b", { kinds: [4], authors: [pubkey(alice)] })).toEqual([])
  })

  it("N6: the live feed shows them to their parties alone, from AUTH on", async () => {
    const { relay, client } = await setUp()
    const bobs = await connect(relay.url)
    const stranger = await connect(relay.url)
    await stranger.authenticate(eve)
    for (const each of [bobs, stranger, client]) await each.req("live", { limit: 0 })
    await bobs.authenticate(bob)
    const [dm, wrap, note] = [message(alice, bob, 4, "new"), message(eve, bob, 1059, "new"), signed({ content: "end" })]
    for (const event of [dm, wrap, note]) await client.publish(event)
    for (const each of [bobs, stranger, client])
      await each.until((m) => m[0] === "EVENT" && (m[2] as { id: string }).id === note.id)
    expect(bobs.eventsOf("live")).toEqual([dm, wrap, note])
    // Eve made the wrap, but a wrap's author is a throw-away key: it is the recipient's.
    expect(stranger.eventsOf("live")).toEqual([note])
    expect(client.eventsOf("live")).toEqual([note])
  })
})

describe("protected events (NIP-70)", () => {
  it("come from their authenticated author alone, and not inside a repost", async () => {
    const [relay, client] = await meet()
    const event = signed({ tags: [["-"]] }, alice)
    expect(await client.publish(event)).toEqual({ ok: false, message: expect.stringMatching(/^auth-required: /) })
    await client.authenticate(bob)
    expect(await client.publish(event)).toEqual({ ok: false, message: expect.stringMatching(/^restricted: /) })
    await client.authenticate(alice)
    expect(await client.publish(event)).toEqual({ ok: true, message: "" })
    const other = await connect(relay.url)
    expect(await other.req("all", {})).toEqual([event])
    const repost = signed({ kind: 6, content: JSON.stringify(event) }, bob)
    expect(await other.publish(repost)).toEqual({ ok: false, message: expect.stringMatching(/^blocked: /) })
    expect(await other.publish(signed({ kind: 6, content: "" }, bob))).toMatchObject({ ok: true })
  })
})
