/**
 * The relay's events on disk: what is kept, what replaces what (NIP-01), what has expired (NIP-40). `query.ts` turns
 * filters into SQL; who may write or read is not decided here, nor are signatures checked.
 *
 * S1  Of replaceable and addressable events the newest is held, of two in one second the one with the lower id,
 *     whatever the order they came in.
 * S2  A kind 30079 without a non-empty `d` is a regular event: every one is kept.
 * S3  An expired event is never served, and counts for nothing when another takes its place.
 */
import { tagValue, type NostrEvent } from "../protocol/event.ts"
import { keepingOf, Kind } from "../protocol/kinds.ts"
import { openDatabase } from "../store/sqlite.ts"
import { type Filter, indexedTags } from "./filter.ts"
import { expirationOf } from "./policies.ts"
import { type Row, storedQuery } from "./query.ts"

export type Outcome = "stored" | "duplicate" | "older"

export interface Storage {
  /** All or nothing, and drops some of what has expired. Throws what SQLite throws: a full disk, say. */
  readonly transaction: <A>(nowSeconds: number, body: () => A) => A
  /** Keeps the event by NIP-01's rules; `json` is what will be served. Not for ephemeral kinds. */
  readonly put: (event: NostrEvent, json: string, nowSeconds: number) => Outcome
  /** Numbers of the stored events that any of the filters asks for, newest first, then lowest id. */
  readonly query: (filters: readonly Filter[], nowSeconds: number) => readonly number[]
  /** The event of that number as JSON; undefined if it was replaced or has expired. A number is never used again. */
  readonly read: (seq: number, nowSeconds: number) => string | undefined
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

export const openStorage = ({ file, rowsMax, durability = "full" }: StorageOptions): Storage => {
  const database = openDatabase({ file, migrations, durability })
  const { statement } = database

  const insert = (event: NostrEvent, json: string, slot: string | null): void => {
    const { id, pubkey, kind, created_at } = event
    const expiration = expirationOf(event)
    const seq = statement(insertEvent).run({
      id,
      pubkey,
      kind,
      created_at,
      d: slot,
      json,
      expires: expiration === Infinity ? null : expiration,
    }).lastInsertRowid
    for (const [name, value] of indexedTags(event)) statement(insertTag).run(name, value, created_at, seq)
  }

  return {
    transaction: (nowSeconds, body) =>
      database.transaction(() => {
        statement(deleteExpired).run(nowSeconds)
        return body()
      }),
    put: (event, json, nowSeconds) => {
      if (statement("SELECT 1 FROM events WHERE id = ?").get(event.id) !== undefined) return "duplicate"
      const slot = slotOf(event)
      if (slot !== null) {
        const held = statement(selectHeld).get(event.pubkey, event.kind, slot) as Held | undefined
        if (held !== undefined) {
          if (isNewer(held, event) && (held.expires ?? Infinity) > nowSeconds) return "older"
          statement("DELETE FROM events WHERE seq = ?").run(held.seq)
        }
      }
      insert(event, json, slot)
      return "stored"
    },
    query: (filters, nowSeconds) => {
      const found = new Map<number, Row>()
      for (const filter of filters) {
        const { sql, values } = storedQuery(filter, nowSeconds, rowsMax)
        for (const row of statement(sql).all(values) as Row[]) found.set(row.seq, row)
      }
      return [...found.values()].sort((a, b) => (isNewer(a, b) ? -1 : 1)).map((row) => row.seq)
    },
    read: (seq, nowSeconds) => (statement(selectJson).get(seq, nowSeconds) as { json: string } | undefined)?.json,
    count: () => (statement("SELECT count(*) AS n FROM events").get() as { n: number }).n,
    sync: database.sync,
    close: database.close,
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

interface Held extends Row {
  readonly expires: number | null
}

/** NIP-01's order: newest first, then lowest id. */
const isNewer = (a: Omit<Row, "seq">, b: Omit<Row, "seq">): boolean =>
  a.created_at > b.created_at || (a.created_at === b.created_at && a.id < b.id)

/**
 * The tables. Indexes end with the time and not the id: SQLite sorts the few of one second itself, and stops at the
 * limit all the same. AUTOINCREMENT: an answer under way names events by number, so the number of a replaced one must not come back.
 */
export const migrations = [
  `CREATE TABLE events (
     seq INTEGER PRIMARY KEY AUTOINCREMENT,
     id TEXT NOT NULL UNIQUE, pubkey TEXT NOT NULL, kind INTEGER NOT NULL, created_at INTEGER NOT NULL,
     d TEXT, expires INTEGER, json TEXT NOT NULL
   ) STRICT;
   CREATE INDEX events_by_time ON events (created_at DESC);
   CREATE INDEX events_by_author ON events (pubkey, created_at DESC);
   CREATE INDEX events_by_kind ON events (kind, created_at DESC);
   CREATE INDEX events_by_author_kind ON events (pubkey, kind, created_at DESC);
   CREATE UNIQUE INDEX events_by_slot ON events (pubkey, kind, d) WHERE d IS NOT NULL;
   CREATE INDEX events_by_expiry ON events (expires) WHERE expires IS NOT NULL;
   CREATE TABLE tags (
     name TEXT NOT NULL, value TEXT NOT NULL, created_at INTEGER NOT NULL,
     seq INTEGER NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
     PRIMARY KEY (name, value, created_at DESC, seq)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX tags_by_event ON tags (seq, name, value);`,
]

const insertEvent = `INSERT INTO events (id, pubkey, kind, created_at, d, expires, json)
  VALUES (@id, @pubkey, @kind, @created_at, @d, @expires, @json)`
const insertTag = "INSERT OR IGNORE INTO tags (name, value, created_at, seq) VALUES (?, ?, ?, ?)"
const selectHeld = "SELECT seq, created_at, id, expires FROM events WHERE pubkey = ? AND kind = ? AND d = ?"
const selectJson = "SELECT json FROM events WHERE seq = ? AND (expires IS NULL OR expires > ?)"
/** A bounded bite for each transaction; what is left is hidden from every answer until its turn comes. */
const deleteExpired = "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE expires <= ? LIMIT 500)"
