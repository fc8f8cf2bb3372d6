import * as fc from "fast-check"
import { Result } from "effect"
import { afterEach, describe, expect, it } from "vitest"
import { limits } from "../../src/limits.ts"
import { type NostrEvent, withId } from "../../src/protocol/event.ts"
import { type Filter, filterParser, matches } from "../../src/relay/filter.ts"
import { liveFeed } from "../../src/relay/live.ts"
import { migrations } from "../../src/relay/migrations.ts"
import { openSight, sees, type Sight } from "../../src/relay/sight.ts"
import { openStorage, slotOf, type Storage } from "../../src/relay/storage.ts"
import { countQuery, startOf, storedQuery, type Values } from "../../src/relay/query.ts"
import { openDatabase } from "../../src/store/sqlite.ts"
import { unsigned } from "./client.ts"

const open: Storage[] = []
const newStorage = (rowsMax = 5000): Storage => {
  const storage = openStorage({ file: ":memory:", rowsMax })
  open.push(storage)
  return storage
}
afterEach(() => {
  for (const storage of open.splice(0)) storage.close()
})

const now = 1000
const put = (storage: Storage, event: NostrEvent, at = now) =>
  storage.transaction(at, () => storage.put(event, JSON.stringify(event), at))
const numbers = (storage: Storage, filters: readonly Filter[], at = now, sight: Sight = openSight): number[] => {
  const answer = storage.answer(filters, sight, at)
  const found: number[] = []
  for (let row = answer.next(); row !== undefined; row = answer.next()) if (row !== "later") found.push(row.seq)
  return found
}
const ask = (storage: Storage, filters: readonly Filter[], at = now, sight: Sight = openSight): readonly NostrEvent[] =>
  numbers(storage, filters, at, sight).map((seq) => JSON.parse(storage.read(seq, at) as string) as NostrEvent)
const ids = (events: readonly NostrEvent[]): readonly string[] => events.map((event) => event.id)
const newestFirst = (a: NostrEvent, b: NostrEvent): number =>
  b.created_at - a.created_at || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)

const authors = ["a", "b", "c"].map((letter) => letter.repeat(64))
const word = fc.constantFrom("", "x", "y", "\u0000", "é\"'", "1")
const tag = fc.oneof(
  fc.tuple(fc.constantFrom("d", "t", "x", "P"), word),
  fc.tuple(fc.constantFrom("e", "p"), fc.constantFrom(...authors)),
  fc.constantFrom(["d"], [], ["title", "x"], ["t", "x", "y"]),
)
const anyEvent = fc
  .record({
    pubkey: fc.constantFrom(...authors),
    kind: fc.constantFrom(0, 1, 3, 7, 10_002, 30_078, 30_079),
    created_at: fc.integer({ min: 1, max: 6 }),
    tags: fc.array(tag, { maxLength: 4 }),
    content: fc.constantFrom("", "one", "two", "three"),
  })
  .map(({ pubkey, ...template }) => unsigned({ ...withId(pubkey, template) }))
const anyEvents = fc.uniqueArray(anyEvent, { maxLength: 40, selector: (event) => event.id })

describe("what is kept", () => {
  /** NIP-01 in one line: no event of the same slot comes before it in the order. */
  const shouldHold = (events: readonly NostrEvent[]): readonly string[] =>
    ids(
      events
        .filter((event) => {
          const slot = slotOf(event)
          return (
            slot === null ||
            events.every(
              (other) =>
                other.pubkey !== event.pubkey ||
                other.kind !== event.kind ||
                slotOf(other) !== slot ||
                newestFirst(event, other) <= 0,
            )
          )
        })
        .sort(newestFirst),
    )

  it("S1: any order of insertion, with repeats, gives the same held set", () => {
    fc.assert(
      fc.property(
        anyEvents.chain((events) =>
          fc.tuple(fc.constant(events), fc.shuffledSubarray([...events, ...events], { minLength: events.length * 2 })),
        ),
        ([events, order]) => {
          const storage = newStorage()
          for (const event of order) put(storage, event)
          expect(ids(ask(storage, [{}]))).toEqual(shouldHold(events))
          storage.close()
        },
      ),
    )
  })

  it("S2: kind 30079 without a non-empty d is a regular event, however the d is missing (P18)", () => {
    const command = (tags: readonly string[][]) =>
      slotOf(unsigned(withId(authors[0] as string, template(30_079, tags))))
    expect(
      [
        [],
        [["d"]],
        [["d", ""]],
        [
          ["d", ""],
          ["d", "x"],
        ],
        [["d"], ["d", "x"]],
      ].map(command),
    ).toEqual(Array.from({ length: 5 }, () => null))
    expect(command([["d", "x"]])).toBe("x")
    expect(
      command([
        ["d", "x"],
        ["d", ""],
      ]),
    ).toBe("x")
    expect(slotOf(unsigned(withId(authors[0] as string, template(30_078, []))))).toBe("")
  })

  it("S3: an expired event is not served, and an older one may take its place", () => {
    const storage = newStorage()
    const expiring = unsigned(
      withId(authors[0] as string, { ...template(10_002, [["expiration", "2000"]]), created_at: 9 }),
    )
    const older = unsigned(withId(authors[0] as string, template(10_002, [])))
    expect(put(storage, expiring, 1999)).toBe("stored")
    expect(put(storage, older, 1999)).toBe("older")
    const held = numbers(storage, [{}], 1999)
    expect(held.map((seq) => storage.read(seq, 1999))).toEqual([JSON.stringify(expiring)])
    expect(held.map((seq) => storage.read(seq, 2000))).toEqual([undefined])
    expect(ask(storage, [{}], 2000)).toEqual([])
    expect(put(storage, older, 2000)).toBe("stored")
    expect(ids(ask(storage, [{}], 2000))).toEqual([older.id])
  })

  it("the number of a replaced event is never given to another", () => {
    const storage = newStorage()
    put(storage, unsigned(withId(authors[0] as string, template(0, []))))
    const [seq] = numbers(storage, [{}])
    put(storage, unsigned(withId(authors[0] as string, { ...template(0, []), created_at: 9 })))
    expect(storage.read(seq as number, now)).toBeUndefined()
  })
})

const someOf = <T>(values: fc.Arbitrary<T>) => fc.array(values, { maxLength: 3 })
const anyFilter: fc.Arbitrary<Filter> = anyEvents.chain((events) =>
  fc.record(
    {
      ids: someOf(fc.constantFrom("0".repeat(64), ...ids(events))),
      authors: someOf(fc.constantFrom(...authors)),
      kinds: someOf(fc.constantFrom(0, 1, 7, 30_078, 30_079, 70_000)),
      "#d": someOf(word),
      "#t": someOf(word),
      "#P": someOf(word),
      "#e": someOf(fc.constantFrom(...authors)),
      since: fc.integer({ min: 0, max: 7 }),
      until: fc.oneof(fc.integer({ min: 0, max: 7 }), fc.constant(Number.MAX_SAFE_INTEGER)),
      limit: fc.integer({ min: 0, max: 12 }),
    },
    { requiredKeys: [] },
  ),
)

describe("what is served", () => {
  const parse = filterParser(limits)

  it("F1: the stored query gives what `matches` says, newest first, at most `limit`", () => {
    fc.assert(
      fc.property(anyEvents, fc.array(anyFilter, { maxLength: 3 }), (events, filters) => {
        const storage = newStorage(10)
        for (const event of events) put(storage, event)
        const all = [...ask(storage, [{ limit: 10 }])]
        const held = events.filter((event) => put(storage, event) === "duplicate")
        expect(ids(all)).toEqual(ids(held.sort(newestFirst).slice(0, 10)))
        const expected = new Map<string, NostrEvent>()
        for (const filter of filters) {
          const found = held.filter((event) => matches(filter, event))
          for (const event of found.slice(0, Math.min(filter.limit ?? 10, 10))) expected.set(event.id, event)
        }
        expect(ids(ask(storage, filters))).toEqual(ids([...expected.values()].sort(newestFirst)))
        storage.close()
      }),
      { numRuns: 300 },
    )
  })

  it.each(["spread over time", "all of one rank"])(
    "A3: few among many are found a piece of the index at a time: %s",
    (how) => {
      const storage = newStorage()
      const many = Array.from({ length: 9500 }, (_, n): NostrEvent => {
        const tags = [
          ["t", n % 1000 === 7 ? "rare" : "x"],
          ["p", authors[n % 2] as string],
        ]
        const id =
          how === "all of one rank" ? n.toString(16).padStart(64, "0") : (n * 7919).toString(16).padStart(64, "0")
        const created_at = how === "all of one rank" ? 5 : 1 + (n % 900)
        return unsigned({ ...withId(authors[0] as string, template(1, tags)), id, created_at })
      })
      storage.transaction(now, () => {
        for (const event of many) storage.put(event, JSON.stringify(event), now)
      })
      const filters: readonly Filter[] = [
        { authors: [authors[0] as string], "#t": ["rare"] },
        { "#p": authors, "#t": ["rare"], limit: 4 },
        { authors, "#t": ["rare", "x"], since: 3, limit: 5000 },
      ]
      const later = filters.map((filter) => {
        const answer = storage.answer([filter], openSight, now)
        const found: string[] = []
        let waits = 0
        for (let row = answer.next(); row !== undefined; row = answer.next())
          if (row === "later") waits++
          else found.push(row.id)
        const matching = ids(many.filter((event) => matches(filter, event)).sort(newestFirst))
        expect(found).toEqual(matching.slice(0, filter.limit ?? 5000))
        return waits
      })
      expect(later[0]).toBeGreaterThan(how === "all of one rank" ? 0 : 1)
    },
  )

  it("V1: the stored answer and the count show what `sees` lets through, and nothing else", () => {
    const letter = fc
      .record({
        pubkey: fc.constantFrom(...authors),
        kind: fc.constantFrom(1, 4, 78, 1059),
        created_at: fc.integer({ min: 1, max: 6 }),
        tags: fc.array(tag, { maxLength: 3 }),
        content: fc.constantFrom("", "one", "two"),
      })
      .map(({ pubkey, ...rest }) => unsigned({ ...withId(pubkey, rest) }))
    const letters = fc.uniqueArray(letter, { maxLength: 30, selector: (event) => event.id })
    const filter = fc.record(
      {
        authors: someOf(fc.constantFrom(...authors)),
        kinds: someOf(fc.constantFrom(1, 4, 78, 1059)),
        "#p": someOf(fc.constantFrom(...authors)),
        "#t": someOf(word),
      },
      { requiredKeys: [] },
    )
    const sight = fc.record({
      keys: fc.subarray(authors),
      isAdmitted: fc.boolean(),
      council: fc.constantFrom(undefined, authors[0]),
    })
    fc.assert(
      fc.property(letters, fc.array(filter, { minLength: 1, maxLength: 2 }), sight, (events, filters, sight) => {
        const storage = newStorage()
        for (const event of events) put(storage, event)
        const seen = events.filter((event) => sees(sight, event) && filters.some((each) => matches(each, event)))
        expect(ids(ask(storage, filters, now, sight))).toEqual(ids(seen.sort(newestFirst)))
        const tally = storage.tally(filters, sight, now)
        let n: number | undefined
        while (n === undefined) n = tally.step()
        expect(n).toBe(seen.length)
        storage.close()
      }),
      { numRuns: 300 },
    )
  })

  it("F1: an event that carries two of the wanted values counts once against the limit", () => {
    const storage = newStorage()
    const tagged = (created_at: number) =>
      unsigned(
        withId(authors[0] as string, {
          kind: 1,
          created_at,
          content: "",
          tags: [
            ["t", "x"],
            ["t", "y"],
          ],
        }),
      )
    const events = [tagged(3), tagged(2), tagged(1)]
    for (const event of events) put(storage, event)
    expect(ids(ask(storage, [{ "#t": ["x", "y"], limit: 2 }]))).toEqual(ids(events.slice(0, 2)))
  })

  it("L1: the live feed gives an event to each subscription that matches, once", () => {
    fc.assert(
      fc.property(anyEvents, fc.array(fc.array(anyFilter, { maxLength: 3 }), { maxLength: 4 }), (events, wanted) => {
        const feed = liveFeed()
        const got = wanted.map((): string[] => [])
        const leave = wanted.map((filters, n) => feed.subscribe({ filters, deliver: ({ json }) => got[n]?.push(json) }))
        for (const event of events) feed.publish({ event, json: event.id })
        const expected = wanted.map((filters) => ids(events.filter((event) => filters.some((f) => matches(f, event)))))
        expect(got).toEqual(expected)
        for (const end of leave) end()
        for (const event of events) feed.publish({ event, json: event.id })
        expect(got).toEqual(expected)
        expect(feed.count()).toBe(0)
      }),
    )
  })

  it("a filter survives its own JSON, and unknown fields are ignored", () => {
    fc.assert(
      fc.property(anyFilter, (filter) => {
        const parsed = parse({ ...(JSON.parse(JSON.stringify(filter)) as object), search: "x", "#ab": 3 })
        expect(Result.getOrThrow(parsed)).toEqual(filter)
      }),
    )
  })

  it.each([
    [[], "object"],
    [null, "object"],
    [{ ids: ["AB"] }, "64 lower-case hex digits"],
    [{ "#e": ["short"] }, "64 lower-case hex digits"],
    [{ kinds: ["1"] }, "number"],
    [{ since: -1 }, "0"],
    [{ until: 1.5 }, "integer"],
    [{ limit: 1e300 }, "integer"],
    [{ "#t": "x" }, "array"],
    [{ authors: Array.from({ length: 5001 }, () => authors[0]) }, "at most 5000"],
  ])("a filter that cannot be read is refused: %j", (value, reason) => {
    const parsed = parse(value)
    expect(Result.isFailure(parsed) && parsed.failure).toContain(reason)
  })
})

describe("how it is found", () => {
  const hex = "a".repeat(64)
  it.each<readonly [Filter, string]>([
    [{ ids: [hex] }, "sqlite_autoindex_events_1"],
    [{ authors: [hex, hex] }, "events_by_author"],
    [{ authors: [hex], kinds: [1, 30_079], since: 5 }, "events_by_author_kind"],
    [{ kinds: [30_079], "#p": [hex], since: 5 }, "PRIMARY KEY"],
    [{ kinds: [7], "#e": [hex], authors: [hex] }, "PRIMARY KEY"],
    [{ authors: [hex], kinds: [30_078], "#d": ["x"] }, "events_by_author_kind"],
    [{ kinds: [1], since: 5, until: 9, limit: 3 }, "events_by_kind"],
    [{ since: 5 }, "events_by_time"],
    [{}, "events_by_time"],
  ])("%j reads an index and never the table", (filter, index) => {
    const database = openDatabase({ file: ":memory:", migrations })
    const planOf = (sql: string, values: Values): readonly string[] =>
      (database.statement(`EXPLAIN QUERY PLAN ${sql}`).all(values) as { detail: string }[]).map((row) => row.detail)
    const sights: readonly Sight[] = [
      openSight,
      { keys: [hex], isAdmitted: true, council: hex },
      { keys: [hex], isAdmitted: false, council: hex },
    ]
    for (const sight of sights) {
      const asked = { nowSeconds: now, newest: 1, sight }
      const { sql, values, sources } = storedQuery(filter, asked)
      const plan = planOf(sql, { ...values, ...sources[0], ...startOf(filter), take: 9 })
      expect(plan.join("\n")).toContain(index)
      expect(plan.filter((line) => /^SCAN (?!json_each)/.test(line))).toEqual(
        index === "events_by_time" ? ["SCAN i USING INDEX events_by_time"].filter((line) => plan.includes(line)) : [],
      )
      // The index gives the order: only what shares a rank is sorted.
      const sorting =
        filter.ids === undefined ? "USE TEMP B-TREE FOR LAST TERM OF ORDER BY" : "USE TEMP B-TREE FOR ORDER BY"
      expect(plan.filter((line) => line.includes("ORDER BY"))).toEqual([sorting])
      const count = countQuery(filter, asked)
      for (const sql of count === undefined ? [] : [count.edge, count.count]) {
        const counting = planOf(sql, { ...values, ...sources[0], ...startOf(filter), take: 9 })
        expect(counting.join("\n")).toContain(index)
        expect(counting.filter((line) => /^SCAN (?!json_each)/.test(line) && !line.includes("USING"))).toEqual([])
      }
    }
    database.close()
  })
})

function template(kind: number, tags: readonly (readonly string[])[]) {
  return { kind, tags, created_at: 5, content: "" }
}
