/** Databases of every earlier version are brought up to date with what they hold. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as fc from "fast-check"
import { expect, it } from "vitest"
import { type NostrEvent, withId } from "../../src/protocol/event.ts"
import { type Filter, indexedTags } from "../../src/relay/filter.ts"
import { migrations, rankOf, rankSecondMax, secondOf } from "../../src/relay/migrations.ts"
import { isBefore } from "../../src/relay/query.ts"
import { openSight } from "../../src/relay/sight.ts"
import { openStorage, slotOf } from "../../src/relay/storage.ts"
import { openDatabase } from "../../src/store/sqlite.ts"
import { unsigned } from "./client.ts"

const folder = mkdtempSync(join(tmpdir(), "relay-"))
process.once("exit", () => rmSync(folder, { recursive: true, force: true }))

const [alice, bob] = ["a".repeat(64), "b".repeat(64)]
const event = (pubkey: string, kind: number, created_at: number, tags: readonly string[][], content = "") =>
  unsigned(withId(pubkey, { kind, created_at, tags, content }))

/** What the first version wrote. */
const writeFirst = (file: string, events: readonly NostrEvent[]): void => {
  const database = openDatabase({ file, migrations: migrations.slice(0, 1) })
  for (const each of events) {
    const { id, pubkey, kind, created_at } = each
    const { lastInsertRowid } = database
      .statement("INSERT INTO events (id, pubkey, kind, created_at, d, expires, json) VALUES (?, ?, ?, ?, ?, NULL, ?)")
      .run(id, pubkey, kind, created_at, slotOf(each), JSON.stringify(each))
    for (const [name, value] of indexedTags(each))
      database
        .statement("INSERT OR IGNORE INTO tags (name, value, created_at, seq) VALUES (?, ?, ?, ?)")
        .run(name, value, created_at, lastInsertRowid)
  }
  database.close()
}

it("version 1: events, tags and order stay; what was asked to be deleted goes, and stays away", () => {
  const file = join(folder, "first.db")
  const notes = [5, 5, 9, 2].map((at, n) => event(alice, 1, at, [["t", "x"]], `${n}`))
  const deleted = event(alice, 1, 4, [["t", "x"]], "deleted")
  const wrap = event(bob, 1059, 4, [["p", alice]])
  const article = event(alice, 30_023, 4, [["d", "x"]])
  const newer = event(alice, 30_023, 8, [["d", "y"]])
  const theirs = event(bob, 1, 4, [["t", "x"]], "theirs")
  const request = event(alice, 5, 6, [
    ["e", deleted.id],
    ["e", wrap.id],
    ["e", theirs.id],
    ["a", `30023:${alice}:x`],
    ["a", `30023:${alice}:y`],
  ])
  writeFirst(file, [...notes, deleted, wrap, article, newer, theirs, request])
  const storage = openStorage({ file, rowsMax: 100 })
  const ids = (filter: Filter): string[] => {
    const answer = storage.answer([filter], { ...openSight, keys: [alice] }, 100)
    const found: string[] = []
    for (let row = answer.next(); row !== undefined; row = answer.next()) if (row !== "later") found.push(row.id)
    return found
  }
  const inOrder = (events: readonly NostrEvent[]): string[] =>
    events.toSorted((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1)).map(({ id }) => id)
  expect(ids({})).toEqual(inOrder([...notes, newer, theirs, request]))
  expect(ids({ "#t": ["x"] })).toEqual(inOrder([...notes, theirs]))
  expect(ids({ "#t": ["x"], kinds: [7] })).toEqual([])
  for (const gone of [deleted, wrap, article]) expect(storage.put(gone, JSON.stringify(gone), 100)).toBe("deleted")
  storage.close()
})

it("a rank orders events as NIP-01 does, but for those that share the first bits of their id", () => {
  const hex = fc.stringMatching(/^[0-9a-f]{64}$/)
  const any = fc.record({
    id: hex,
    created_at: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: rankSecondMax })),
  })
  fc.assert(
    fc.property(any, any, (a, b) => {
      const isFirst = a.created_at > b.created_at || (a.created_at === b.created_at && a.id < b.id)
      expect(isBefore({ ...a, rank: rankOf(a) }, { ...b, rank: rankOf(b) })).toBe(isFirst)
      expect(secondOf(rankOf(a))).toBe(a.created_at)
      expect(Number.isSafeInteger(rankOf(a))).toBe(true)
    }),
    { numRuns: 1000 },
  )
})
