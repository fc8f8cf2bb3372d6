/**
 * The relay's tables, as numbered steps: a database of any earlier version is brought up to date when it is opened.
 * A step that was published is never changed; a new one goes at the end.
 *
 * An event's place in NIP-01's order (newest first, then lowest id) is one number, its `rank`: `created_at` times 2^20,
 * and the first 20 bits of the id turned round. So one index column gives the order, a page goes on where the last one
 * ended, and only the few of one rank are sorted by id.
 */
import type { NostrEvent } from "../protocol/event.ts"

/** The ranks of one second. */
export const ranksPerSecond = 2 ** 20
/** Later dates (year 2242) share the last ranks: a rank is a safe integer. */
export const rankSecondMax = 2 ** 33 - 1

export const rankOf = ({ created_at, id }: Pick<NostrEvent, "created_at" | "id">): number =>
  Math.min(created_at, rankSecondMax) * ranksPerSecond + (ranksPerSecond - 1 - Number.parseInt(id.slice(0, 5), 16))

/** The second of a rank. */
export const secondOf = (rank: number): number => Math.floor(rank / ranksPerSecond)

const hexDigit = (n: number): string => `(instr('0123456789abcdef', substr(id, ${n}, 1)) - 1)`
const first20Bits = [65536, 4096, 256, 16, 1].map((weight, n) => `${hexDigit(n + 1)} * ${weight}`).join(" + ")

/** A replaceable or addressable event's coordinate, as `a` tags write it; NULL for others. */
const coordinate = `CASE WHEN kind IN (0, 3) OR kind BETWEEN 10000 AND 19999 OR kind BETWEEN 30000 AND 39999
  THEN kind || ':' || pubkey || ':' || coalesce(d, '') END`

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

  // Ranks in all indexes, and the kind beside each tag, so that most rows are judged without a look at the event.
  `DROP INDEX events_by_time; DROP INDEX events_by_author; DROP INDEX events_by_kind; DROP INDEX events_by_author_kind;
   ALTER TABLE events ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;
   UPDATE events SET rank = min(created_at, ${rankSecondMax}) * ${ranksPerSecond} + ${ranksPerSecond - 1} - (${first20Bits});
   CREATE INDEX events_by_time ON events (rank DESC);
   CREATE INDEX events_by_author ON events (pubkey, rank DESC);
   CREATE INDEX events_by_kind ON events (kind, rank DESC);
   CREATE INDEX events_by_author_kind ON events (pubkey, kind, rank DESC);
   CREATE TABLE ranked_tags (
     name TEXT NOT NULL, value TEXT NOT NULL, rank INTEGER NOT NULL,
     seq INTEGER NOT NULL REFERENCES events (seq) ON DELETE CASCADE, kind INTEGER NOT NULL,
     PRIMARY KEY (name, value, rank DESC, seq)
   ) STRICT, WITHOUT ROWID;
   INSERT INTO ranked_tags (name, value, rank, seq, kind)
     SELECT t.name, t.value, e.rank, e.seq, e.kind FROM tags t JOIN events e ON e.seq = t.seq;
   DROP TABLE tags;
   ALTER TABLE ranked_tags RENAME TO tags;
   CREATE INDEX tags_by_event ON tags (seq, name, value);`,

  // NIP-09. `target` is an event's id or a coordinate; `until` is a coordinate's last second that is deleted.
  `CREATE TABLE deletions (
     target TEXT NOT NULL, pubkey TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (target, pubkey)
   ) STRICT, WITHOUT ROWID;
   INSERT OR IGNORE INTO deletions (target, pubkey, until)
     SELECT t.value, e.pubkey, 0 FROM tags t JOIN events e ON e.seq = t.seq
     WHERE t.name = 'e' AND t.kind = 5 AND length(t.value) = 64;
   INSERT OR REPLACE INTO deletions (target, pubkey, until)
     SELECT t.value, e.pubkey, max(e.created_at) FROM tags t JOIN events e ON e.seq = t.seq
     WHERE t.name = 'a' AND t.kind = 5 AND substr(t.value, instr(t.value, ':') + 1, 65) = e.pubkey || ':'
     GROUP BY t.value, e.pubkey;
   DELETE FROM events WHERE kind <> 5 AND (
     EXISTS (SELECT 1 FROM deletions x WHERE x.target = events.id AND (x.pubkey = events.pubkey OR events.kind = 1059
       AND EXISTS (SELECT 1 FROM tags t WHERE t.seq = events.seq AND t.name = 'p' AND t.value = x.pubkey)))
     OR EXISTS (SELECT 1 FROM deletions x WHERE x.target = ${coordinate}
       AND x.pubkey = events.pubkey AND x.until >= events.created_at));`,

  // What NIP-86 calls lists: who and what the relay does not (or alone does) store. And its calls, each usable once.
  `CREATE TABLE lists (
     list TEXT NOT NULL, value TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (list, value)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE calls (id TEXT PRIMARY KEY, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;`,
] as const
