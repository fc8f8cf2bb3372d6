/**
 * A filter as SQL. Every shape has a driver: the condition that the fewest events meet, with the index for it named
 * outright, so that a query which would walk the table does not compile. For each of the driver's values the index
 * gives the newest `limit` events that meet the other conditions; of these the newest `limit` are the answer.
 *
 * Lists travel as JSON in one parameter each, so that the number of different texts (and of prepared statements) does
 * not depend on what clients send.
 */
import { type Filter, tagConditions } from "./filter.ts"

export interface Row {
  readonly seq: number
  readonly created_at: number
  readonly id: string
}

export interface StoredQuery {
  readonly sql: string
  readonly values: Readonly<Record<string, string | number>>
}

/** The rows (`Row`) that a filter asks for, newest first, then lowest id, at most `limit` and never more than `rowsMax`. */
export const storedQuery = (filter: Filter, nowSeconds: number, rowsMax: number): StoredQuery => {
  const tags = tagConditions(filter)
  const values: Record<string, string | number> = {
    now: nowSeconds,
    since: filter.since ?? 0,
    until: filter.until ?? Number.MAX_SAFE_INTEGER,
    limit: Math.min(filter.limit ?? rowsMax, rowsMax),
  }
  if (filter.ids !== undefined) values["ids"] = list(filter.ids)
  if (filter.authors !== undefined) values["authors"] = list(filter.authors)
  if (filter.kinds !== undefined) values["kinds"] = list(filter.kinds)
  for (const [name, wanted] of tags) values[tagParameter(name)] = list(wanted)
  const names = tags.map(([name]) => name)
  return { sql: sqlOf(driverOf(filter, names), filter, names), values }
}

type Driver = "ids" | "authors" | "authors-kinds" | "kinds" | "time" | `#${string}`

/** Tags that name one event or coordinate: few events carry the same. */
const selectiveTags = ["e", "a", "q"]
/** Pairs of author and kind that are looked up one by one. More: by author alone. */
const pairsMax = 2000

const driverOf = (filter: Filter, tags: readonly string[]): Driver => {
  const { ids, authors, kinds } = filter
  if (ids !== undefined) return "ids"
  const tag = tags.find((name) => selectiveTags.includes(name)) ?? (authors === undefined ? tags[0] : undefined)
  if (tag !== undefined) return `#${tag}`
  if (authors !== undefined)
    return kinds !== undefined && authors.length * kinds.length <= pairsMax ? "authors-kinds" : "authors"
  return kinds === undefined ? "time" : "kinds"
}

const sqlOf = (driver: Driver, filter: Filter, tags: readonly string[]): string => {
  const inTime = "i.created_at BETWEEN @since AND @until"
  const rest = [
    "(i.expires IS NULL OR i.expires > @now)",
    ...(filter.ids !== undefined && driver !== "ids" ? ["i.id IN (SELECT value FROM json_each(@ids))"] : []),
    ...(filter.authors !== undefined && !driver.startsWith("authors")
      ? ["i.pubkey IN (SELECT value FROM json_each(@authors))"]
      : []),
    ...(filter.kinds !== undefined && driver !== "kinds" && driver !== "authors-kinds"
      ? ["i.kind IN (SELECT value FROM json_each(@kinds))"]
      : []),
    ...tags.filter((name) => driver !== `#${name}`).map(hasTag),
  ].join(" AND ")
  const newest = "ORDER BY i.created_at DESC, i.id LIMIT @limit"

  switch (driver) {
    case "ids":
      // At most one event each: nothing to cut off.
      return best("json_each(@ids) v", `SELECT seq FROM events i WHERE i.id = v.value AND ${inTime} AND ${rest}`)
    case "authors":
      return best("json_each(@authors) v", indexed("events_by_author", "i.pubkey = v.value"))
    case "authors-kinds":
      return best(
        "json_each(@authors) v CROSS JOIN json_each(@kinds) k",
        indexed("events_by_author_kind", "i.pubkey = v.value AND i.kind = k.value"),
      )
    case "kinds":
      return best("json_each(@kinds) v", indexed("events_by_kind", "i.kind = v.value"))
    case "time":
      return `SELECT seq, created_at, id FROM events i INDEXED BY events_by_time WHERE ${inTime} AND ${rest} ${newest}`
    default: {
      const name = driver.slice(1)
      return best(
        `json_each(@${tagParameter(name)}) v`,
        `SELECT t.seq FROM tags t CROSS JOIN events i ON i.seq = t.seq
         WHERE t.name = '${name}' AND t.value = v.value AND t.created_at BETWEEN @since AND @until AND ${rest}
         ORDER BY t.created_at DESC, i.id LIMIT @limit`,
      )
    }
  }

  function indexed(index: string, condition: string): string {
    return `SELECT seq FROM events i INDEXED BY ${index} WHERE ${condition} AND ${inTime} AND ${rest} ${newest}`
  }
}

/** The newest of what each of the driver's values gives; DISTINCT, as an event may carry two of them. */
const best = (driver: string, each: string): string =>
  `SELECT DISTINCT e.seq, e.created_at, e.id FROM ${driver} CROSS JOIN events e ON e.seq IN (${each})
   ORDER BY e.created_at DESC, e.id LIMIT @limit`

/** `name` is one letter: `filter.ts` lets no other through. */
const hasTag = (name: string): string =>
  `EXISTS (SELECT 1 FROM tags x WHERE x.seq = i.seq AND x.name = '${name}'
     AND x.value IN (SELECT value FROM json_each(@${tagParameter(name)})))`

const tagParameter = (name: string): string => `tag_${name}`

const list = (values: readonly (string | number)[]): string => JSON.stringify([...new Set(values)])
