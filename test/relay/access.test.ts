import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { minePow } from "nostr-tools/nip13"
import { finalizeEvent, generateSecretKey, getPublicKey } from "nostr-tools/pure"
import { amend, isRosterFault, type Roster, type RosterChange, rosterTemplate } from "../../src/protocol/roster.ts"
import type { RelayServer } from "../../src/relay/relay.ts"
import { rulesAt } from "../../src/relay/rules.ts"
import { virtualClock } from "../../src/services/clock.ts"
import { connect, signed, startRelay, type TestClient } from "./client.ts"

const running: RelayServer[] = []
const folder = mkdtempSync(join(tmpdir(), "relay-"))
process.once("exit", () => rmSync(folder, { recursive: true, force: true }))
const meet = async (options: Parameters<typeof startRelay>[0] = {}): Promise<[RelayServer, TestClient]> => {
  const relay = await startRelay(options)
  running.push(relay)
  return [relay, await connect(relay.url)]
}
afterEach(async () => {
  for (const relay of running.splice(0)) await relay.close()
})

const [councilKey, operator, wizard, stranger] = [1, 2, 3, 4].map(generateSecretKey) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
]
const council = getPublicKey(councilKey)
const members = { write: "members", read: "members" } as const
const closed = { council, rules: members }

/** The council's next roster, signed. */
const rosterAfter = (held: Roster | undefined, ...changes: readonly RosterChange[]) => {
  const content = amend(held, ...changes)
  if (isRosterFault(content)) throw new Error(content.reason)
  const event = signed(rosterTemplate(content, Math.floor(Date.now() / 1000)), councilKey)
  return { event, roster: { ...content, id: event.id } }
}
const add = (key: Uint8Array): RosterChange => ({ type: "add-operator", pubkey: getPublicKey(key), label: "" })
const first = rosterAfter(undefined, add(operator), {
  type: "add-wizard",
  name: "timmy",
  pubkey: getPublicKey(wizard),
  class: "local",
})
const ok = { ok: true, message: "" }
const refused = (prefix: string) => ({ ok: false, message: expect.stringMatching(new RegExp(`^${prefix}: `)) })

describe("members only", () => {
  it("nobody but the council writes before there is a roster; then its members, at once, and those it removes no more", async () => {
    const [, client] = await meet(closed)
    expect(await client.publish(signed({}, operator))).toEqual(refused("restricted"))
    expect(await client.publish(first.event)).toEqual(ok)
    for (const key of [operator, wizard]) expect(await client.publish(signed({}, key))).toEqual(ok)
    expect(await client.publish(signed({}, stranger))).toEqual(refused("restricted"))
    const { event } = rosterAfter(first.roster, { type: "revoke", pubkey: getPublicKey(operator) })
    expect(await client.publish(event)).toEqual(ok)
    expect(await client.publish(signed({ content: "again" }, operator))).toEqual(refused("restricted"))
  })

  it("a roster that does not chain, or is not the council's, admits nobody", async () => {
    const [, client] = await meet(closed)
    const second = rosterAfter(first.roster, add(stranger))
    expect(await client.publish(second.event)).toEqual(ok)
    expect(await client.publish(signed({}, stranger))).toEqual(refused("restricted"))
    expect(await client.publish(first.event)).toEqual(ok)
    expect(await client.publish(signed({}, stranger))).toEqual(ok)
  })

  it("reads the roster again from its database", async () => {
    const file = join(folder, "roster.db")
    const [relay, client] = await meet({ ...closed, file })
    await client.publish(first.event)
    await relay.close()
    const [, again] = await meet({ ...closed, file })
    expect(await again.publish(signed({}, operator))).toEqual(ok)
  })

  it("K2: anybody reads the council's kind 78; the rest is for members who have authenticated", async () => {
    const [relay, client] = await meet(closed)
    await client.publish(first.event)
    const note = signed({}, operator)
    await client.publish(note)
    const roster = { kinds: [78], authors: [council] }
    const reader = await connect(relay.url)
    expect(await reader.req("roster", roster)).toEqual([first.event])
    expect(await reader.req("ids", { ids: [first.event.id, note.id] })).toEqual([first.event])
    expect(await reader.refused("notes", { kinds: [1] })).toMatch(/^auth-required: /)
    expect(await reader.count("notes", { kinds: [1] })).toMatch(/^auth-required: /)
    expect(await reader.refused("all", {})).toMatch(/^auth-required: /)
    await reader.authenticate(stranger)
    expect(await reader.refused("notes", { kinds: [1] })).toMatch(/^restricted: /)
    expect(await reader.req("roster", roster)).toEqual([first.event])
    const second = rosterAfter(first.roster, add(stranger))
    await client.publish(second.event)
    await reader.until((m) => m[0] === "EVENT" && m[1] === "roster" && (m[2] as { id: string }).id === second.event.id)
    expect(await reader.req("notes", { kinds: [1] })).toEqual([note])
  })

  it("who loses the right to read is shown nothing more on what is open", async () => {
    const [relay, client] = await meet(closed)
    await client.publish(first.event)
    const reader = await connect(relay.url)
    await reader.authenticate(operator)
    await reader.req("all", {})
    const { event } = rosterAfter(first.roster, { type: "revoke", pubkey: getPublicKey(operator) })
    for (const each of [event, signed({ content: "secret" }, wizard)]) await client.publish(each)
    // The council's next word is shown again, and shows that the note before it was not.
    const last = signed({ kind: 78, content: "last" }, councilKey)
    await client.publish(last)
    await reader.until((m) => m[0] === "EVENT" && (m[2] as { id: string }).id === last.id)
    expect(reader.eventsOf("all").map(({ kind }) => kind)).toEqual([78, 78, 78])
  })

  it.each([1059, 24_133])("K1: a kind %i is judged by its p tag or by who authenticated", async (kind) => {
    const [relay, client] = await meet(closed)
    await client.publish(first.event)
    const letter = (to: Uint8Array) => signed({ kind, tags: [["p", getPublicKey(to)]] }, generateSecretKey())
    expect(await client.publish(letter(operator))).toEqual(ok)
    expect(await client.publish(letter(stranger))).toEqual(refused("auth-required"))
    await client.authenticate(stranger)
    expect(await client.publish(letter(stranger))).toEqual(refused("restricted"))
    await client.authenticate(wizard)
    const answer = letter(stranger)
    const theirs = await connect(relay.url)
    await theirs.authenticate(stranger)
    theirs.send("REQ", "mine", { kinds: [kind], "#p": [getPublicKey(stranger)] })
    await theirs.until((m) => m[0] === "EOSE")
    expect(await client.publish(answer)).toEqual(ok)
    await theirs.until((m) => m[0] === "EVENT" && (m[2] as { id: string }).id === answer.id)
  })

  it("is the default where others come, and open where they do not", () => {
    const modes = (host: string, urls: readonly string[] = []) => {
      const { write, read, isRated } = rulesAt(host, urls)
      return [write, read, isRated]
    }
    expect(modes("127.0.0.1")).toEqual(["open", "open", false])
    expect(modes("::1", ["ws://localhost:3334"])).toEqual(["open", "open", false])
    expect(modes("0.0.0.0")).toEqual(["members", "members", true])
    expect(modes("127.0.0.1", ["wss://relay.example.com"])).toEqual(["members", "members", true])
  })
})

describe("other policies", () => {
  it("an allow-list, for writing alone", async () => {
    const [, client] = await meet({ rules: { write: "allow-list", allowed: [getPublicKey(operator)] } })
    expect(await client.publish(signed({}, operator))).toEqual(ok)
    expect(await client.publish(signed({}, stranger))).toEqual(refused("restricted"))
    expect((await client.req("all", {})).length).toBe(1)
  })

  it("kinds and age, from which the council's roster is free", async () => {
    const clock = virtualClock(2_000_000_000_000)
    const rules = { kinds: [1], ageSecondsMax: 30 * 24 * 3600 }
    const [, client] = await meet({ clock, council, rules })
    const now = 2_000_000_000
    expect(await client.publish(signed({ kind: 1, created_at: now - rules.ageSecondsMax }))).toEqual(ok)
    expect(await client.publish(signed({ kind: 1, created_at: now - rules.ageSecondsMax - 1 }))).toEqual(
      refused("invalid"),
    )
    expect(await client.publish(signed({ kind: 7, created_at: now }))).toEqual(refused("blocked"))
    expect(await client.publish(signed({ kind: 78, created_at: 5 }, councilKey))).toEqual(ok)
  })

  it("proof of work (NIP-13), by the target that the author committed to, and not from those it knows", async () => {
    const [, client] = await meet({ council, rules: { powBitsMin: 8 } })
    await client.publish(first.event)
    const mined = (bits: number) => {
      const template = { kind: 1, created_at: 1_700_000_000, tags: [], content: "", pubkey: getPublicKey(stranger) }
      return signed(finalizeEvent(minePow(template, bits), stranger), stranger)
    }
    expect(await client.publish(mined(8))).toEqual(ok)
    expect(await client.publish(mined(1))).toEqual({
      ok: false,
      message: expect.stringMatching(/^pow: difficulty \d is less than 8/),
    })
    expect(await client.publish(signed({}, operator))).toEqual(ok)
  })

  it("so many a minute by connection and by key; a forged event takes nothing from a key", async () => {
    const clock = virtualClock()
    const limits = { relayConnectionEventsPerMinuteMax: 6, relayKeyEventsPerMinuteMax: 3 }
    const [relay, client] = await meet({ clock, limits, rules: { isRated: true } })
    const now = Math.floor(clock.nowMs() / 1000)
    const note = (content: string, key = operator) => signed({ content, created_at: now }, key)
    const forged = { ...note("forged"), sig: "0".repeat(128) }
    const other = await connect(relay.url)
    for (let n = 0; n < 6; n++) expect(await other.publish(forged)).toEqual(refused("invalid"))
    expect(await other.publish(note("too many", stranger))).toEqual(refused("rate-limited"))
    for (const content of ["1", "2", "3"]) expect(await client.publish(note(content))).toEqual(ok)
    expect(await client.publish(note("4"))).toEqual(refused("rate-limited"))
    expect(await client.publish(note("5", wizard))).toEqual(ok)
    clock.advance(20_000)
    expect(await client.publish(note("6"))).toEqual(ok)
    expect(await client.publish(note("7"))).toEqual(refused("rate-limited"))
  })
})
