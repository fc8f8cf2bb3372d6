/**
 * What a client asks for (NIP-01 filters): the gate by which unknown data becomes a filter, and what matches one.
 *
 * Fields that this relay does not know are ignored, as NIP-01 has it; a field that it knows and cannot read is refused,
 * never widened. An empty list matches nothing. `storage.ts` answers the same question in SQL.
 *
 * F1  `matches` and the stored query agree on every event and every filter.
 */
import { Result, Schema } from "effect"
import type { NostrEvent } from "../protocol/event.ts"
import type { Limits } from "../limits.ts"

/** One filter. Times are unix seconds, both ends included; `#x` holds values of the single-letter tag x. */
export interface Filter {
  readonly ids?: readonly string[]
  readonly authors?: readonly string[]
  readonly kinds?: readonly number[]
  readonly since?: number
  readonly until?: number
  /** Stored events wanted, the newest. 0: only live ones. */
  readonly limit?: number
  readonly [tag: `#${string}`]: readonly string[]
}

/** Unknown data to a filter, or a line that says what is wrong with it. */
export type ParseFilter = (value: unknown) => Result.Result<Filter, string>

/** The parser for these limits (`relayFilterValuesMax` values in one list, `relayFilterTagsMax` tags). */
export const filterParser = (limits: Limits): ParseFilter => {
  const decode = Schema.decodeUnknownResult(filterSchema(limits.relayFilterValuesMax))
  const tagsMax = limits.relayFilterTagsMax
  return (value) =>
    Result.filterOrFail(
      Result.mapError(decode(value), (error) => error.message.replaceAll(/\s+/g, " ")),
      (filter) => tagConditions(filter).length <= tagsMax,
      (filter) => `${tagConditions(filter).length} tags in one filter, at most ${tagsMax} are taken`,
    )
}

/** The single-letter tags that a filter names, with the values it takes: [["e", ["5c83…"]]]. */
export const tagConditions = (filter: Filter): readonly (readonly [name: string, values: readonly string[]])[] =>
  Object.entries(filter).flatMap(([key, values]) => (tagKey.test(key) ? [[key.slice(1), values as string[]]] : []))

/** An event's tags that filters can name: the values of each name. */
export type TagSets = ReadonlyMap<string, ReadonlySet<string>>

export const tagSetsOf = (event: NostrEvent): TagSets => {
  const sets = new Map<string, Set<string>>()
  for (const [name, value] of indexedTags(event)) {
    const set = sets.get(name)
    if (set === undefined) sets.set(name, new Set([value]))
    else set.add(value)
  }
  return sets
}

/**
 * Whether an event is one that the filter asks for; `limit` plays no part. Takes as long as the filter is, however many
 * tags the event has: who meets many filters brings `tags` along.
 */
export const matches = (filter: Filter, event: NostrEvent, tags: TagSets = tagSetsOf(event)): boolean =>
  (filter.ids?.includes(event.id) ?? true) &&
  (filter.authors?.includes(event.pubkey) ?? true) &&
  (filter.kinds?.includes(event.kind) ?? true) &&
  event.created_at >= (filter.since ?? 0) &&
  event.created_at <= (filter.until ?? Infinity) &&
  tagConditions(filter).every(([name, values]) => {
    const held = tags.get(name)
    return held !== undefined && values.some((value) => held.has(value))
  })

/** How many values the filters name. */
export const valuesIn = (filters: readonly Filter[]): number => {
  let count = 0
  for (const filter of filters) {
    for (const list of [filter.ids, filter.authors, filter.kinds]) count += list?.length ?? 0
    for (const [, values] of tagConditions(filter)) count += values.length
  }
  return count
}

/** Tags that filters can name: one letter and a value. */
export const indexedTags = (event: NostrEvent): readonly (readonly [name: string, value: string])[] =>
  event.tags.flatMap(([name, value]) =>
    name !== undefined && value !== undefined && tagName.test(name) ? [[name, value] as const] : [],
  )

const tagName = /^[a-zA-Z]$/
const tagKey = /^#[a-zA-Z]$/

const filterSchema = (valuesMax: number) => {
  const list = <S extends Schema.Constraint>(item: S) =>
    Schema.Array(item).check(Schema.isMaxLength(valuesMax, { message: `Expected at most ${valuesMax} values` }))
  const hex64 = Schema.String.check(
    Schema.isPattern(/^[0-9a-f]{64}$/, { message: "Expected 64 lower-case hex digits" }),
  )
  const count = Schema.Number.check(
    Schema.isInt(),
    Schema.isGreaterThanOrEqualTo(0),
    Schema.isLessThanOrEqualTo(Number.MAX_SAFE_INTEGER),
  )
  const letter = Schema.String.check(Schema.isPattern(tagName))
  return Schema.StructWithRest(
    Schema.Struct({
      ids: Schema.optionalKey(list(hex64)),
      authors: Schema.optionalKey(list(hex64)),
      kinds: Schema.optionalKey(list(count)),
      // NIP-01 wants whole ids and keys here too.
      "#e": Schema.optionalKey(list(hex64)),
      "#p": Schema.optionalKey(list(hex64)),
      since: Schema.optionalKey(count),
      until: Schema.optionalKey(count),
      limit: Schema.optionalKey(count),
    }),
    [Schema.Record(Schema.TemplateLiteral(["#", letter]), list(Schema.String))],
  )
}
