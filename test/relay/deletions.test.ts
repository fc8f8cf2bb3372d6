import * as fc from "fast-check"
import { afterEach, describe, expect, it } from "vitest"
import { generateSecretKey, getPublicKey } from "nostr-tools/pure"
import { withId } from "../../src/protocol/event.ts"
import { openSight } from "../../src/relay/sight.ts"
import { openStorage } from "../../src/relay/storage.ts"
import type { RelayServer } from "../../src/relay/relay.ts"
import { aliceKey, connect, signed, startRelay, unsigned } from "./client.ts"

let relay: RelayServer | undefined
afterEach(async () => {
  await relay?.close()
  relay = undefined
})

const bobKey = generateSecretKey()
const deletion = (tags: readonly string[][], key = aliceKey, created_at?: number) =>
  signed({ kind: 5, tags, ...(created_at !== undefined && { created_at }) }, key)

describe("deletion requests (NIP-09)", () => {
  it("D1, D2: what its author deletes is gone, stays refused, and the request itself is served", async () => {
    relay = await startRelay()
    const client = await connect(relay.url)
    const note = signed({ content: "oh no" })
    const theirs = signed({ content: "theirs" }, bobKey)
    for (const event of [note, theirs]) await client.publish(event)
    const asked = deletion([
      ["e", note.id],
      ["e", theirs.id],
      ["k", "1"],
    ])
    expect(await client.publish(asked)).toEqual({ ok: true, message: "" })
    expect((await client.req("all", {})).map(({ id }) => id).toSorted()).toEqual([asked.id, theirs.id].toSorted())
    expect(await client.publish(note)).toEqual({ ok: false, message: expect.stringMatching(/^blocked: /) })
    expect(await client.count("n", { kinds: [1] })).toBe(1)
  })

  it("D2: a request that comes before its event", async () => {
    relay = await startRelay()
    const client = await connect(relay.url)
    const note = signed({ content: "late" })
    const wrong = deletion([["e", note.id]], bobKey)
    await client.publish(wrong)
    expect(await client.publish(note)).toMatchObject({ ok: true })
    const late = signed({ content: "later" })
    await client.publish(deletion([["e", late.id]]))
    expect(await client.publish(late)).toMatchObject({ ok: false, message: expect.stringMatching(/^blocked: /) })
  })

  it("a gift wrap is deleted by its recipient too; a deletion is deleted by nobody", async () => {
    relay = await startRelay()
    const client = await connect(relay.url)
    const wrap = signed({ kind: 1059, tags: [["p", getPublicKey(aliceKey)]] }, generateSecretKey())
    await client.publish(wrap)
    await client.authenticate(aliceKey)
    expect(await client.req("wraps", { kinds: [1059] })).toEqual([wrap])
    const asked = deletion([["e", wrap.id]])
    await client.publish(asked)
    expect(await client.req("wraps", { kinds: [1059] })).toEqual([])
    expect(await client.publish(wrap)).toMatchObject({ ok: false })
    expect(await client.publish(deletion([["e", asked.id]]))).toMatchObject({ ok: true })
    expect(await client.req("deletions", { ids: [asked.id] })).toEqual([asked])
  })

  it("by `a`, up to its own second, and only its author's", async () => {
    relay = await startRelay()
    const client = await connect(relay.url)
    const article = (created_at: number, key = aliceKey) =>
      signed({ kind: 30_023, tags: [["d", "a:b"]], created_at }, key)
    const coordinate = `30023:${getPublicKey(aliceKey)}:a:b`
    await client.publish(article(1000))
    await client.publish(deletion([["a", coordinate]], bobKey, 2000))
    expect((await client.req("1", { kinds: [30_023] })).length).toBe(1)
    await client.publish(deletion([["a", coordinate]], aliceKey, 2000))
    expect(await client.req("2", { kinds: [30_023] })).toEqual([])
    expect(await client.publish(article(2000))).toMatchObject({
      ok: false,
      message: expect.stringMatching(/^blocked: /),
    })
    const newer = article(2001)
    expect(await client.publish(newer)).toEqual({ ok: true, message: "" })
    expect(await client.req("3", { kinds: [30_023] })).toEqual([newer])
  })

  it("P13: every command without d falls to a request for the coordinate with an empty d", async () => {
    relay = await startRelay()
    const client = await connect(relay.url)
    const commands = [1, 2, 3].map((n) => signed({ kind: 30_079, content: `@timmy ${n}`, created_at: 1000 + n }))
    for (const command of commands) await client.publish(command)
    await client.publish(deletion([["a", `30079:${getPublicKey(aliceKey)}:`]], aliceKey, 1002))
    expect(await client.req("left", { kinds: [30_079] })).toEqual([commands[2]])
  })

  it("P15, D2: whatever the order, the same is held and the same refused", () => {
    const author = fc.constantFrom("a".repeat(64), "b".repeat(64))
    const target = fc.record({
      pubkey: author,
      kind: fc.constantFrom(1, 1059, 0, 30_023, 30_079),
      created_at: fc.integer({ min: 1, max: 4 }),
      tags: fc.constantFrom([], [["d", "x"]], [["p", "a".repeat(64)]]),
      content: fc.constantFrom("", "1"),
    })
    const made = fc.array(target, { maxLength: 6 }).chain((targets) => {
      const events = targets.map(({ pubkey, ...template }) => unsigned(withId(pubkey, template)))
      const named = fc.oneof(
        fc.constantFrom("0".repeat(64), ...events.map(({ id }) => id)).map((id) => ["e", id]),
        fc
          .tuple(fc.constantFrom(0, 1, 30_023, 30_079), author, fc.constantFrom("", "x"))
          .map(([kind, pubkey, d]) => ["a", `${kind}:${pubkey}:${d}`]),
      )
      const request = fc
        .record({ pubkey: author, at: fc.integer({ min: 1, max: 4 }), tags: fc.array(named, { maxLength: 3 }) })
        .map(({ pubkey, at, tags }) => unsigned(withId(pubkey, { kind: 5, created_at: at, tags, content: "" })))
      return fc.array(request, { maxLength: 3 }).chain((requests) => {
        const all = [...new Map([...events, ...requests].map((event) => [event.id, event])).values()]
        return fc.tuple(
          fc.shuffledSubarray(all, { minLength: all.length }),
          fc.shuffledSubarray([...all, ...all], { minLength: all.length * 2 }),
        )
      })
    })
    fc.assert(
      fc.property(made, ([one, other]) => {
        // Offered twice: a version that gave way to one which was then deleted may come again.
        const held = [
          [...one, ...one],
          [...other, ...other],
        ].map((order) => {
          const storage = openStorage({ file: ":memory:", rowsMax: 100 })
          for (const event of order) storage.transaction(9, () => storage.put(event, JSON.stringify(event), 9))
          const sight = { ...openSight, keys: ["a".repeat(64), "b".repeat(64)] }
          const answer = storage.answer([{}], sight, 9)
          const ids: string[] = []
          for (let row = answer.next(); row !== undefined; row = answer.next()) if (row !== "later") ids.push(row.id)
          storage.close()
          return ids
        })
        expect(held[0]).toEqual(held[1])
      }),
      { numRuns: 300 },
    )
  })
})
