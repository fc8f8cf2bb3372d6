import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { beginPaging, turnPage, windowFilter } from "../../actors/paging.ts"
import { matches, type Filter } from "../../actors/subscription.ts"

interface Stored {
  readonly id: string
  readonly created_at: number
  readonly kind: number
  readonly pubkey: string
}

/** What an honest relay gives for one filter: the newest first, cut at its cap. */
const page = (stored: readonly Stored[], filter: Filter, cap: number): readonly Stored[] =>
  stored
    .filter((event) => matches(filter, { ...event, tags: [], content: "", sig: "" }))
    .toSorted((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1))
    .slice(0, Math.min(cap, filter.limit ?? Infinity))

const read = (stored: readonly Stored[], filter: Filter, cap: number, limit: number, extra: readonly Stored[] = []) => {
  const given = new Set<string>()
  let paging = beginPaging(filter, 0)
  let pages = 0
  for (let window = paging.windows.at(-1); window !== undefined; window = paging.windows.at(-1)) {
    const events = [...page(stored, windowFilter(window, limit), cap), ...(pages++ === 0 ? extra : [])]
    for (const { id } of events) given.add(id)
    paging = turnPage(paging, { events, received: events.length, finished: false })
  }
  return { given, pages }
}

const stored = fc
  .array(
    fc.record({
      second: fc.integer({ min: 0, max: 12 }),
      kind: fc.constantFrom(1, 42),
      pubkey: fc.constantFrom("a", "b"),
    }),
    {
      maxLength: 60,
    },
  )
  .map((rows) =>
    rows.map(({ second, kind, pubkey }, index): Stored => ({
      id: `e${index}`,
      created_at: 100 + second,
      kind,
      pubkey,
    })),
  )
const filter: Filter = { kinds: [1, 42], authors: ["a", "b"] }

describe("paging", () => {
  it("P8, PG1, PG3, PG4: everything is read that a filter of one kind and author in one second can tell apart", () => {
    fc.assert(
      fc.property(stored, fc.integer({ min: 2, max: 12 }), fc.integer({ min: 2, max: 12 }), (events, cap, limit) => {
        const groups = Object.values(
          Object.groupBy(events, ({ created_at, kind, pubkey }) => `${created_at} ${kind} ${pubkey}`),
        )
        fc.pre(groups.every((group) => (group?.length ?? 0) <= Math.min(cap, limit)))
        const { given, pages } = read(events, filter, cap, limit)
        expect(given).toEqual(new Set(events.map(({ id }) => id)))
        expect(pages).toBeLessThan(20 + 12 * events.length)
      }),
      { numRuns: 300 },
    )
  })

  it("P9: one live event with an old date in the first page hides nothing", () => {
    fc.assert(
      fc.property(
        stored,
        fc.integer({ min: 4, max: 12 }),
        fc.integer({ min: 100, max: 112 }),
        (events, cap, created_at) => {
          const groups = Object.values(
            Object.groupBy(events, ({ created_at, kind, pubkey }) => `${created_at} ${kind} ${pubkey}`),
          )
          fc.pre(groups.every((group) => (group?.length ?? 0) < cap))
          const late: Stored = { id: "late", created_at, kind: 1, pubkey: "a" }
          expect(read([...events, late], filter, cap, 500, [late]).given).toEqual(
            new Set([...events, late].map(({ id }) => id)),
          )
        },
      ),
      { numRuns: 300 },
    )
  })

  it("NIP-67: a relay that says it gave all is asked no more", () => {
    const events = [{ id: "e", created_at: 5 }]
    expect(turnPage(beginPaging(filter, 0), { events, received: 1, finished: true }).windows).toEqual([])
  })
})
