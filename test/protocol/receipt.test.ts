import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { withId, type Tag } from "../../src/protocol/event.ts"
import {
  checkChain,
  readReceipt,
  receiptTemplate,
  type Receipt,
  type ReceiptFields,
} from "../../src/protocol/receipt.ts"
import { endStatuses, followers, mayFollow, statuses, type Status } from "../../src/protocol/status.ts"

const hex64 = fc.stringMatching(/^[0-9a-f]{64}$/)
const [timmy, kimi, author, command] = ["aa", "bb", "cc", "dd"].map((byte) => byte.repeat(32)) as [
  string,
  string,
  string,
  string,
]

const write = (fields: Partial<ReceiptFields>, signer = timmy): Receipt => {
  const template = receiptTemplate({
    command,
    author,
    wizard: "timmy",
    status: "received",
    n: 1,
    roster: 1,
    instance: "i1",
    createdAt: 1_800_000_000,
    content: {},
    ...fields,
  })
  return readReceipt(withId(signer, template)) as Receipt
}

const chainOf = (road: readonly Status[]): Receipt[] => {
  const chain: Receipt[] = []
  for (const status of road) {
    const prev = chain.at(-1)?.id
    chain.push(write({ status, n: chain.length + 1, ...(prev !== undefined && { prev }) }))
  }
  return chain
}

/** A road through the states: at each step one of those that may follow. */
const roads = fc.array(fc.nat(), { maxLength: 8 }).map((steps) => {
  const road: Status[] = ["received"]
  for (const step of steps) {
    const next: readonly Status[] = followers[road.at(-1) as Status]
    if (next.length > 0) road.push(next[step % next.length] as Status)
  }
  return road
})

const good = chainOf(["received", "acknowledged", "working", "artifact-reported"])

describe("receipt", () => {
  it("has the tags of the protocol page", () => {
    const prev = "ee".repeat(32)
    const template = receiptTemplate({
      command,
      author,
      wizard: "timmy",
      status: "working",
      prev,
      n: 3,
      roster: 2,
      instance: "i1",
      createdAt: 5,
      content: { attempt: 1 },
    })
    expect(template).toEqual({
      kind: 78,
      created_at: 5,
      tags: [
        ["t", "dispatch-receipt"],
        ["e", command],
        ["p", author],
        ["wizard", "timmy"],
        ["status", "working"],
        ["prev", prev],
        ["n", "3"],
        ["roster", "2"],
        ["instance", "i1"],
      ],
      content: '{"attempt":1}',
    })
  })

  it("reads back what it prints", () => {
    const fields = fc.record(
      {
        command: hex64,
        author: hex64,
        wizard: fc.string({ minLength: 1 }),
        status: fc.constantFrom(...statuses),
        prev: hex64,
        n: fc.nat(999_999_999),
        roster: fc.nat(999_999_999),
        instance: fc.string({ minLength: 1 }),
        createdAt: fc.nat(),
        content: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.oneof(fc.string(), fc.integer())),
      },
      { requiredKeys: ["command", "author", "wizard", "status", "n", "roster", "instance", "createdAt", "content"] },
    )
    fc.assert(
      fc.property(fields, (fields) => {
        const event = withId(timmy, receiptTemplate(fields))
        expect(readReceipt(event)).toEqual({ ...fields, id: event.id, pubkey: timmy })
      }),
    )
  })

  it("is none with a tag missing or unreadable, or content that is no object", () => {
    const template = receiptTemplate(good[1] as Receipt)
    const readable = (tags: readonly Tag[]): boolean => readReceipt(withId(timmy, { ...template, tags })) !== undefined
    const others = (tag: Tag): readonly Tag[] => template.tags.filter((other) => other !== tag)
    // Without `prev` it can be read; that the chain is broken is another matter.
    expect(template.tags.filter((tag) => readable(others(tag))).map(([name]) => name)).toEqual(["prev"])
    for (const tag of template.tags) expect(readable([...others(tag), [tag[0] as string, ""]])).toBe(false)
    for (const content of ["", "x", "[]", "null", "3", "[".repeat(100_000)]) {
      expect(readReceipt(withId(timmy, { ...template, content }))).toBeUndefined()
    }
    expect(readReceipt(withId(timmy, { ...template, kind: 1 }))).toBeUndefined()
    for (const n of ["-1", "1.0", "01", "1e3", " 1", "9".repeat(30)]) {
      const tags = template.tags.map((tag) => (tag[0] === "n" ? ["n", n] : tag))
      expect([n, readable(tags)]).toEqual([n, false])
    }
  })
})

describe("a chain of receipts", () => {
  it("R1, R3: is whole along any road through the states", () => {
    fc.assert(
      fc.property(roads, (road) => {
        expect(checkChain(chainOf(road))).toBeUndefined()
      }),
    )
  })

  it("R1: is broken without any one receipt but the last, and empty it is none", () => {
    fc.assert(
      fc.property(
        roads.filter((road) => road.length > 1),
        fc.nat(),
        (road, pick) => {
          const lost = pick % (road.length - 1)
          expect(checkChain(chainOf(road).filter((_, at) => at !== lost))).toBeDefined()
        },
      ),
    )
    expect(checkChain([])).toBe("there is no receipt")
  })

  it("R3: refuses every state that may not follow, and anything after an end", () => {
    const after = (road: readonly Status[]): readonly Status[] =>
      statuses.filter((status) => checkChain(chainOf([...road, status])) === undefined)
    expect(after(["received"])).toEqual(statuses.filter((status) => mayFollow("received", status)))
    for (const status of after(["received"])) {
      expect(after(["received", status])).toEqual(statuses.filter((next) => mayFollow(status, next)))
    }
    for (const end of endStatuses) expect(after(["received", "acknowledged", "working", end])).toEqual([])
  })

  it("R2: has one signer, one command, one wizard, one author; and each names the one before", () => {
    const last = good[3] as Receipt
    const spoil = (fields: Partial<ReceiptFields>, signer?: string): string | undefined =>
      checkChain([...good.slice(0, 3), write({ ...last, ...fields }, signer)])
    expect(spoil({})).toBeUndefined()
    expect(spoil({}, kimi)).toContain("another signer")
    expect(spoil({ command: kimi })).toContain("another command")
    expect(spoil({ wizard: "kimi" })).toContain("another wizard")
    expect(spoil({ author: kimi })).toContain("another author")
    expect(spoil({ prev: (good[1] as Receipt).id })).toContain("does not name the one before")
    expect(spoil({ n: 5 })).toBe("receipt 4 is missing")
    expect(checkChain([write({ prev: kimi })])).toContain("names one before it")
    expect(checkChain([write({ n: 0 })])).toContain("begins at 0")
    expect(checkChain([write({ status: "working" })])).toContain("begins with working")
  })

  it("R4: order and copies change nothing; a fork shows", () => {
    fc.assert(
      fc.property(roads, fc.infiniteStream(fc.nat()), fc.boolean(), (road, chance, forked) => {
        const chain = chainOf(road)
        const end = chain.at(-1) as Receipt
        const twin = write({ ...end, content: { reason: "another story" } })
        const all = [...chain, ...chain, ...(forked ? [twin] : [])]
        const keys = new Map(all.map((_, at) => [at, chance.next().value as number] as const))
        const shuffled = all.map((receipt, at) => [keys.get(at) as number, receipt] as const)
        shuffled.sort(([a], [b]) => a - b)
        const fault = checkChain(shuffled.map(([, receipt]) => receipt))
        expect(fault?.split(":")[0]).toBe(forked ? "the chain forks" : undefined)
      }),
    )
  })
})
