/**
 * A filter as SQL. Every shape has a driver: the condition that the fewest events meet, with the index for it named
 * outright, so that a query which would walk the table does not compile. Each of the driver's values is a source of
 * rows, newest first, read a page at a time: `answer.ts` merges them.
 *
 * Lists travel as JSON in one parameter each, and the names of tags as parameters too, so that the number of different
 * texts (and of prepared statements) does not depend on what clients send.
 */
import { type Filter, tagConditions } from "./filter.ts"
import { rankSecondMax, ranksPerSecond } from "./migrations.ts"
import { type Sight, sightSql } from "./sight.ts"

/** A stored event, by its number and its place in the order. */
export interface Row {
  readonly seq: number
  readonly rank: number
  readonly id: string
}

/** NIP-01's order: newest first, then lowest id. */
export const isBefore = (a: Omit<Row, "seq">, b: Omit<Row, "seq">): boolean =>
  a.rank > b.rank || (a.rank === b.rank && a.id < b.id)

export type Values = Readonly<Record<string, string | number>>

/** What to read: the newest `@take` rows that come after (`@high`, `@after`), for each of the sources' own values. */
export interface StoredQuery {
  readonly sql: string
  readonly values: Values
  readonly sources: readonly Values[]
  /** All of a source's rows come with its first page. */
  readonly isWhole: boolean
  /**
   * Where the index alone does not tell which rows match, few of very many may: then SQL for the rank (column `rank`)
   * after the index's first `@scan` rows, so that a page can be looked for in a piece of it.
   */
  readonly edge?: string
}

export interface Asked {
  readonly nowSeconds: number
  /** The number of the newest event that counts. */
  readonly newest: number
  readonly sight: Sight
}

/** Where a source begins. */
export const startOf = (filter: Filter): { readonly high: number; readonly after: string } => ({
  high: lastRank(filter.until ?? rankSecondMax),
  after: "",
})

export const storedQuery = (filter: Filter, asked: Asked): StoredQuery => {
  const { driver, from, sources, conditions, values, rank, isSparse } = partsOf(filter, asked)
  const sql = `SELECT i.seq, ${rank} AS rank, i.id FROM ${from}
   WHERE ${conditions.join(" AND ")} AND ${rank} BETWEEN @low AND @high AND (${rank} < @high OR i.id > @after)
   ORDER BY ${rank} DESC, i.id LIMIT @take`
  const isWhole = driver === "ids"
  const edge = edgeSql(driver, from, rank).replace("@take", "@scan")
  return { sql, values, sources, isWhole, ...(!isWhole && isSparse && { edge }) }
}

/** The rank (column `rank`) after the index's first `@take` rows of `@low` to `@high`; none: there are not so many. */
const edgeSql = (driver: Driver, from: string, rank: string): string => {
  const conditions = [...drivers[driver].conditions, `${rank} BETWEEN @low AND @high`].join(" AND ")
  return `SELECT ${rank} AS rank FROM ${driver === "tag" ? "tags t" : from} WHERE ${conditions}
   ORDER BY ${rank} DESC LIMIT 1 OFFSET @take`
}

/** SQL to count a filter's events without a look at each: a window of ranks at a time. */
export interface CountQuery {
  readonly edge: string
  /** How many (column `n`) there are from `@low` to `@high`. */
  readonly count: string
  readonly values: Values
  readonly sources: readonly Values[]
}

/** Undefined where an event may be found by more than one source, and so must be looked at. */
export const countQuery = (filter: Filter, asked: Asked): CountQuery | undefined => {
  const { driver, from, sources, conditions, values, rank } = partsOf(filter, asked)
  if (driver === "tag" && sources.length > 1) return undefined
  return {
    edge: edgeSql(driver, from, rank),
    count: `SELECT count(*) AS n FROM ${from} WHERE ${[...conditions, `${rank} BETWEEN @low AND @high`].join(" AND ")}`,
    values,
    sources,
  }
}

type Driver = "ids" | "authors" | "authors-kinds" | "kinds" | "time" | "tag"

/** Tags that name one event or coordinate: few events carry the same. */
const selectiveTags = ["e", "a", "q"]
/** Pairs of author and kind that are looked up one by one. More: by author alone. */
const pairsMax = 2000

interface Parts {
  readonly driver: Driver
  /** There are conditions that the index does not answer. */
  readonly isSparse: boolean
  /** Tables and the index. */
  readonly from: string
  readonly rank: string
  readonly conditions: readonly string[]
  readonly values: Values
  readonly sources: readonly Values[]
}

const partsOf = (filter: Filter, asked: Asked): Parts => {
  const { driver, tag } = driverOf(filter)
  const { ids, authors, kinds } = filter
  const others = tagConditions(filter).filter(([name]) => name !== tag?.[0])
  const kindOf = driver === "tag" ? "t.kind" : "i.kind"
  const conditions = [
    ...drivers[driver].conditions,
    "(i.expires IS NULL OR i.expires > @now)",
    "i.seq <= @newest",
    ...(authors !== undefined && !driver.startsWith("authors")
      ? ["i.pubkey IN (SELECT value FROM json_each(@authors))"]
      : []),
    ...(kinds !== undefined && driver !== "kinds" && driver !== "authors-kinds"
      ? [`${kindOf} IN (SELECT value FROM json_each(@kinds))`]
      : []),
    ...others.map(
      (_, n) => `EXISTS (SELECT 1 FROM tags x WHERE x.seq = i.seq AND x.name = @name${n}
     AND x.value IN (SELECT value FROM json_each(@tag${n})))`,
    ),
  ]
  const values: Record<string, string | number> = {
    now: asked.nowSeconds,
    newest: asked.newest,
    low: Math.min(filter.since ?? 0, rankSecondMax + 1) * ranksPerSecond,
  }
  if (ids !== undefined) values["ids"] = list(ids)
  if (authors !== undefined && !driver.startsWith("authors")) values["authors"] = list(authors)
  if (kinds !== undefined && driver !== "kinds" && driver !== "authors-kinds") values["kinds"] = list(kinds)
  for (const [n, [name, wanted]] of others.entries()) {
    values[`name${n}`] = name
    values[`tag${n}`] = list(wanted)
  }
  const sight = sightSql(filter, asked.sight)
  if (sight?.includes("@readers") === true) values["readers"] = list(asked.sight.keys)
  if (sight?.includes("@council") === true) values["council"] = asked.sight.council as string
  return {
    driver,
    from: drivers[driver].from,
    rank: driver === "tag" ? "t.rank" : "i.rank",
    conditions: sight === undefined ? conditions : [...conditions, sight],
    values,
    sources: sourcesOf(filter, driver, tag),
    isSparse: conditions.length > drivers[driver].conditions.length + 2 || !asked.sight.isAdmitted,
  }
}

type TagCondition = readonly [name: string, values: readonly string[]]

const driverOf = (filter: Filter): { readonly driver: Driver; readonly tag?: TagCondition } => {
  const { ids, authors, kinds } = filter
  if (ids !== undefined) return { driver: "ids" }
  const tags = tagConditions(filter)
  const tag = tags.find(([name]) => selectiveTags.includes(name)) ?? (authors === undefined ? tags[0] : undefined)
  if (tag !== undefined) return { driver: "tag", tag }
  if (authors !== undefined)
    return { driver: kinds !== undefined && authors.length * kinds.length <= pairsMax ? "authors-kinds" : "authors" }
  return { driver: kinds === undefined ? "time" : "kinds" }
}

interface DriverSql {
  readonly from: string
  /** What a source's own values must equal. */
  readonly conditions: readonly string[]
}

const drivers: Readonly<Record<Driver, DriverSql>> = {
  ids: {
    from: "events i INDEXED BY sqlite_autoindex_events_1",
    conditions: ["i.id IN (SELECT value FROM json_each(@ids))"],
  },
  authors: { from: "events i INDEXED BY events_by_author", conditions: ["i.pubkey = @author"] },
  "authors-kinds": {
    from: "events i INDEXED BY events_by_author_kind",
    conditions: ["i.pubkey = @author", "i.kind = @kind"],
  },
  kinds: { from: "events i INDEXED BY events_by_kind", conditions: ["i.kind = @kind"] },
  time: { from: "events i INDEXED BY events_by_time", conditions: [] },
  tag: {
    from: "tags t CROSS JOIN events i ON i.seq = t.seq",
    conditions: ["t.name = @name", "t.value = @value"],
  },
}

const sourcesOf = (filter: Filter, driver: Driver, tag: TagCondition | undefined): readonly Values[] => {
  const authors = unique(filter.authors)
  const kinds = unique(filter.kinds)
  switch (driver) {
    case "authors":
      return authors.map((author) => ({ author }))
    case "authors-kinds":
      return authors.flatMap((author) => kinds.map((kind) => ({ author, kind })))
    case "kinds":
      return kinds.map((kind) => ({ kind }))
    case "tag":
      return unique(tag?.[1]).map((value) => ({ name: tag?.[0] ?? "", value }))
    default:
      return [{}]
  }
}

const lastRank = (second: number): number => Math.min(second, rankSecondMax) * ranksPerSecond + ranksPerSecond - 1

const unique = <T>(values: readonly T[] = []): readonly T[] => [...new Set(values)]

const list = (values: readonly (string | number)[]): string => JSON.stringify(unique(values))
