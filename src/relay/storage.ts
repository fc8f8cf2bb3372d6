/**
 * The relay's events on disk: what is kept, what replaces what (NIP-01), what was deleted (`deletions.ts`), what has
 * expired (NIP-40). `query.ts` turns filters into SQL; who may write or read is not decided here, nor are signatures checked.
 *
 * S1  Of replaceable and addressable events the newest is held, of two in one second the one with the lower id,
 *     whatever the order they came in.
 * S2  A kind 30079 without a non-empty `d` is a regular event: every one is kept.
 * S3  An expired event is never served, and counts for nothing when another takes its place.
 */
import { tagValue, type NostrEvent } from "../protocol/event.ts"
import { keepingOf, Kind } from "../protocol/kinds.ts"
import { type Lock, takeDatabase } from "../store/lock.ts"
import { type Database, openDatabase } from "../store/sqlite.ts"
import { type Answer, openAnswer } from "./answer.ts"
import { deletionsIn } from "./deletions.ts"
import { type Filter, indexedTags } from "./filter.ts"
import { type Lists, listsIn } from "./lists.ts"
import { migrations, rankOf } from "./migrations.ts"
import { expirationOf } from "./policies.ts"
import { type Asked, countQuery, isBefore, type Row, storedQuery, type Values } from "./query.ts"
import type { Sight } from "./sight.ts"

import { type Cell, rowTally, type Tally, windowTally } from "./tally.ts"

export type Outcome = "stored" | "duplicate" | "older" | "deleted"

export interface Storage {
  /** All or nothing, and drops some of what has expired. Throws what SQLite throws: a full disk, say. */
  readonly transaction: <A>(nowSeconds: number, body: () => A) => A
  /** Keeps the event by NIP-01's rules; `json` is what will be served. Not for ephemeral kinds. */
  readonly put: (event: NostrEvent, json: string, nowSeconds: number) => Outcome
  /** What the filters ask for and the client may see, as it stands now; at most `rowsMax` of one filter. */
  readonly answer: (filters: readonly Filter[], sight: Sight, nowSeconds: number, rowsMax?: number) => Answer
  /** How many events the filters ask for, whatever their limits, as it stands now. */
  readonly tally: (filters: readonly Filter[], sight: Sight, nowSeconds: number) => Tally
  /** The event of that number as JSON; undefined if it is gone or has expired. A number is never used again. */
  readonly read: (seq: number, nowSeconds: number) => string | undefined
  /** Takes an event away, if it is there and not spared. */
  readonly remove: (id: string, isSpared: (event: NostrEvent) => boolean) => void
  /** Takes some expired events away; whether there may be more. */
  readonly sweep: (nowSeconds: number) => boolean
  readonly lists: Lists
  readonly count: () => number
  /** Resolves when everything committed before is on the disk; rejects with DatabaseBroken, and then for good. */
  readonly sync: () => Promise<void>
  readonly close: () => void
}

export interface StorageOptions {
  readonly file: string
  /** Stored events that one filter gets. */
  readonly rowsMax: number
  readonly durability?: "full" | "normal"
}

/** Throws DatabaseHeld where another relay serves that file, DatabaseTooNew, DatabaseBroken. */
export const openStorage = ({ file, rowsMax, durability = "full" }: StorageOptions): Storage => {
  const lock = file === ":memory:" ? undefined : takeDatabase(file)
  const database = opened(() => openDatabase({ file, migrations, durability }), lock)
  const { statement } = database
  for (const pragma of pragmas) database.exec(pragma)
  const deletions = deletionsIn(database)

  const insert = (event: NostrEvent, json: string, slot: string | null): void => {
    const { id, pubkey, kind, created_at } = event
    const expiration = expirationOf(event)
    const rank = rankOf(event)
    const expires = expiration === Infinity ? null : expiration
    const seq = statement(insertEvent).run(id, pubkey, kind, created_at, rank, slot, json, expires).lastInsertRowid
    for (const [name, value] of indexedTags(event)) statement(insertTag).run(name, value, rank, seq, kind)
  }
  const sweep = (nowSeconds: number): boolean => statement(deleteExpired).run(nowSeconds).changes === sweptMax
  const newest = (): number =>
    (statement("SELECT max(seq) AS seq FROM events").get() as { seq: number | null }).seq ?? 0
  const read = (sql: string, values: Values): readonly Row[] => statement(sql).all(values) as Row[]

  return {
    transaction: (nowSeconds, body) =>
      database.transaction(() => {
        sweep(nowSeconds)
        return body()
      }),
    put: (event, json, nowSeconds) => {
      if (statement("SELECT 1 FROM events WHERE id = ?").get(event.id) !== undefined) return "duplicate"
      if (deletions.forbid(event)) return "deleted"
      const slot = slotOf(event)
      if (slot !== null) {
        const held = statement(selectHeld).get(event.pubkey, event.kind, slot) as Held | undefined
        if (held !== undefined) {
          const isOlder = isBefore(held, { id: event.id, rank: rankOf(event) })
          if (isOlder && (held.expires ?? Infinity) > nowSeconds) return "older"
          statement("DELETE FROM events WHERE seq = ?").run(held.seq)
        }
      }
      insert(event, json, slot)
      if (event.kind === Kind.deletion) deletions.apply(event)
      return "stored"
    },
    answer: (filters, sight, nowSeconds, max = rowsMax) => {
      const asked = { nowSeconds, newest: newest(), sight }
      return openAnswer(queriesOf(filters, asked), read, max)
    },
    tally: (filters, sight, nowSeconds) => {
      const asked = { nowSeconds, newest: newest(), sight }
      const only = filters.length === 1 ? countQuery(filters[0] as Filter, asked) : undefined
      return only === undefined
        ? rowTally(openAnswer(queriesOf(filters.map(withoutLimit), asked), read, Infinity))
        : windowTally(only, filters[0] as Filter, (sql, values) => statement(sql).get(values) as Cell | undefined)
    },
    read: (seq, nowSeconds) => (statement(selectJson).get(seq, nowSeconds) as { json: string } | undefined)?.json,
    remove: (id, isSpared) => {
      const held = statement("SELECT seq, json FROM events WHERE id = ?").get(id) as Stored | undefined
      if (held === undefined || isSpared(JSON.parse(held.json) as NostrEvent)) return
      statement("DELETE FROM events WHERE seq = ?").run(held.seq)
    },
    sweep,
    lists: listsIn(database),
    count: () => (statement("SELECT count(*) AS n FROM events").get() as { n: number }).n,
    sync: database.sync,
    close: () => {
      database.close()
      lock?.release()
    },
  }
}

const opened = (open: () => Database, lock: Lock | undefined): Database => {
  try {
    return open()
  } catch (error) {
    lock?.release()
    throw error
  }
}

/** What an event takes the place of: its `d` (`""` for a replaceable one); null for a regular event. */
export const slotOf = (event: NostrEvent): string | null => {
  const keeping = keepingOf(event.kind)
  if (keeping === "replaceable") return ""
  if (keeping !== "addressable") return null
  const d = tagValue(event, "d") ?? ""
  return event.kind === Kind.command && d === "" ? null : d
}

const queriesOf = (filters: readonly Filter[], asked: Asked) =>
  filters.map((filter) => ({ filter, query: storedQuery(filter, asked) }))

const withoutLimit = ({ limit: _limit, ...filter }: Filter): Filter => filter

interface Held extends Row {
  readonly expires: number | null
}

interface Stored {
  readonly seq: number
  readonly json: string
}

/**
 * New events go to many places of many indexes: room for those pages, and a log that is not copied into the database
 * with every other group.
 */
const pragmas = ["PRAGMA cache_size = -65536", "PRAGMA wal_autocheckpoint = 8192"]

const insertEvent = `INSERT INTO events (id, pubkey, kind, created_at, rank, d, json, expires)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
const insertTag = "INSERT OR IGNORE INTO tags (name, value, rank, seq, kind) VALUES (?, ?, ?, ?, ?)"
const selectHeld = "SELECT seq, rank, id, expires FROM events WHERE pubkey = ? AND kind = ? AND d = ?"
const selectJson = "SELECT json FROM events WHERE seq = ? AND (expires IS NULL OR expires > ?)"
/** A bounded bite for each transaction; what is left is hidden from every answer until its turn comes. */
const sweptMax = 500
const deleteExpired = `DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE expires <= ? LIMIT ${sweptMax})`
