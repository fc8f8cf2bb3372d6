/**
 * Deletion requests (NIP-09): what a kind 5 takes away, and what must not come back.
 *
 * D1  A kind 5 deletes only its author's events, and gift wraps to its author; never a kind 5.
 * D2  What is deleted stays refused, in whatever order the two came; by `a` up to the deletion's second.
 */
import { isHex64, type NostrEvent, tagValue, tagValues } from "../protocol/event.ts"
import { keepingOf, Kind } from "../protocol/kinds.ts"
import type { Database } from "../store/sqlite.ts"

export interface Deletions {
  /** Whether somebody who may has asked that this event be gone. */
  readonly forbid: (event: NostrEvent) => boolean
  /** Deletes what a kind 5 names, now and for later. */
  readonly apply: (deletion: NostrEvent) => void
}

export const deletionsIn = ({ statement }: Database): Deletions => {
  const until = (target: string, pubkey: string): number | undefined =>
    (statement(selectUntil).get(target, pubkey) as { until: number } | undefined)?.until

  return {
    forbid: (event) => {
      if (event.kind === Kind.deletion) return false
      const askers = event.kind === Kind.giftWrap ? [event.pubkey, ...tagValues(event, "p")] : [event.pubkey]
      if (askers.some((pubkey) => until(event.id, pubkey) !== undefined)) return true
      const coordinate = coordinateOf(event)
      return coordinate !== undefined && (until(coordinate, event.pubkey) ?? -1) >= event.created_at
    },
    apply: (deletion) => {
      const { pubkey, created_at } = deletion
      for (const id of new Set(tagValues(deletion, "e").filter(isHex64))) {
        statement(remember).run(id, pubkey, 0)
        statement(deleteById).run({ id, pubkey })
      }
      for (const target of new Set(tagValues(deletion, "a"))) {
        const [kind = "", author, ...rest] = target.split(":")
        if (author !== pubkey || !/^\d{1,5}$/.test(kind)) continue
        statement(remember).run(`${Number(kind)}:${pubkey}:${rest.join(":")}`, pubkey, created_at)
        statement(deleteByCoordinate).run({ pubkey, kind: Number(kind), d: rest.join(":"), until: created_at })
      }
    },
  }
}

/** As `a` tags write it: a missing `d` is an empty one, also where each such event is kept (kind 30079). */
export const coordinateOf = (event: NostrEvent): string | undefined => {
  const keeping = keepingOf(event.kind)
  if (keeping === "replaceable") return `${event.kind}:${event.pubkey}:`
  return keeping === "addressable" ? `${event.kind}:${event.pubkey}:${tagValue(event, "d") ?? ""}` : undefined
}

const selectUntil = "SELECT until FROM deletions WHERE target = ? AND pubkey = ?"
const remember = `INSERT INTO deletions (target, pubkey, until) VALUES (?, ?, ?)
  ON CONFLICT DO UPDATE SET until = max(until, excluded.until)`
const deleteById = `DELETE FROM events WHERE id = @id AND kind <> ${Kind.deletion} AND (pubkey = @pubkey OR (kind = ${Kind.giftWrap}
  AND EXISTS (SELECT 1 FROM tags t WHERE t.seq = events.seq AND t.name = 'p' AND t.value = @pubkey)))`
/** Regular kinds have no coordinate: without a `d` only those rows of kinds that could have one are meant. */
const deleteByCoordinate = `DELETE FROM events WHERE pubkey = @pubkey AND kind = @kind AND coalesce(d, '') = @d
  AND created_at <= @until
  AND (kind IN (0, 3) OR kind BETWEEN 10000 AND 19999 OR kind BETWEEN 30000 AND 39999)`
