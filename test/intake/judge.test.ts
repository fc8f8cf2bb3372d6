import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { judge, type Verdict } from "../../src/intake/judge.ts"
import { limits } from "../../src/limits.ts"
import type { NostrEvent, Tag } from "../../src/protocol/event.ts"
import { heartbeatTemplate } from "../../src/protocol/heartbeat.ts"
import { Kind } from "../../src/protocol/kinds.ts"
import { everybody, keys, nowMs, roster, write } from "./council.ts"

const judged = (event: NostrEvent, wizards: readonly string[] = everybody): readonly Verdict[] =>
  judge({ event, roster, wizards, nowMs, limits })

const command = (content: string, tags: readonly Tag[] = [], wizards = everybody): readonly Verdict[] =>
  judged(write({ content, tags }), wizards)

const authors = {
  operator: keys.alexander,
  "other operator": keys.deputy,
  member: keys.member,
  wizard: keys.kimi,
  "the wizard itself": keys.timmy,
  revoked: keys.manus,
  stranger: keys.stranger,
} as const

type Author = keyof typeof authors

/** How timmy, who runs here, is named in an event; or kimi, who does not. */
const ways = {
  "p tag": { content: "do it", tags: [["p", keys.timmy]] },
  name: { content: "@timmy do it", tags: [] },
  all: { content: "@all do it", tags: [] },
  "another wizard": { content: "@kimi do it", tags: [["p", keys.kimi]] },
  "an unknown name": { content: "@bob do it", tags: [] },
  nobody: { content: "do it", tags: [] },
} as const

type Way = keyof typeof ways

/** What becomes of it for an operator. A member is refused what an operator is not; for others the author decides alone. */
const forOperators: Readonly<Record<"command" | "note" | "other", Readonly<Record<Way, string>>>> = {
  command: {
    "p tag": "take",
    name: "take",
    all: "take",
    "another wizard": "not-for-us",
    "an unknown name": "not-for-us",
    nobody: "not-for-us",
  },
  note: {
    "p tag": "conversation",
    name: "take",
    all: "take",
    "another wizard": "not-for-us",
    "an unknown name": "not-for-us",
    nobody: "conversation",
  },
  other: {
    "p tag": "not-a-command",
    name: "not-a-command",
    all: "not-a-command",
    "another wizard": "not-a-command",
    "an unknown name": "not-a-command",
    nobody: "not-a-command",
  },
}

const ownKinds: readonly number[] = [Kind.profile, Kind.reaction, Kind.record, Kind.artifact]
const kinds = [...Object.values(Kind), 3, 6, 14, 16, 1111, 30080]

const expected = (author: Author, kind: number, way: Way): string => {
  if (author === "operator" || author === "other operator") {
    const form = kind === Kind.command ? "command" : kind === Kind.note ? "note" : "other"
    return forOperators[form][way]
  }
  if (author === "wizard" || author === "the wizard itself") return ownKinds.includes(kind) ? "own-kind" : "wizard"
  if (author !== "member") return author
  // These forms are said nowhere, and members command in their channels.
  const form = kind === Kind.command ? "command" : kind === Kind.note ? "note" : "other"
  return forOperators[form][way] === "take" ? "forbidden" : forOperators[form][way]
}

describe("authority: author × kind × way of naming", () => {
  for (const author of Object.keys(authors) as Author[]) {
    it(`J1: ${author}`, () => {
      for (const kind of kinds) {
        for (const way of Object.keys(ways) as Way[]) {
          const verdicts = judged(write({ kind, author: authors[author], ...ways[way] }), ["timmy"])
          const told = verdicts.map((verdict) => {
            if (verdict.outcome === "ignore") return verdict.reason
            return verdict.outcome === "reject" && verdict.forbidden ? "forbidden" : verdict.outcome
          })
          expect(told, `kind ${kind}, ${way}`).toEqual([expected(author, kind, way)])
        }
      }
    })
  }
})

describe("what is taken", () => {
  it("the seed's five commands", () => {
    const take = (text: string) =>
      command(text).map((verdict) =>
        verdict.outcome === "take" ? [verdict.wizard, verdict.work, verdict.body] : verdict,
      )
    const task = { type: "task" }
    const verb = (verb: object) => ({ type: "verb", verb })
    expect(take("@allegro deploy relay")).toEqual([["allegro", task, "deploy relay"]])
    expect(take("@claude fix bug in nexus issue #123")).toEqual([["claude", task, "fix bug in nexus issue #123"]])
    expect(take("@kimi research llama4 benchmarks")).toEqual([["kimi", task, "research llama4 benchmarks"]])
    expect(take("@all status check")).toEqual(
      everybody.map((name) => [name, verb({ name: "status check" }), "status check"]),
    )
    expect(take("@timmy heartbeat faster")).toEqual([
      ["timmy", verb({ name: "heartbeat", to: "faster" }), "heartbeat faster"],
    ])
  })

  it("with its priority, deadline, parent and warnings", () => {
    const tags = [
      ["p", keys.timmy],
      ["priority", "asap"],
      ["deadline", "2027-03-31T12:00:00Z"],
      ["e", keys.claude, "", "parent"],
    ]
    expect(command("do it", tags)).toEqual([
      {
        outcome: "take",
        wizard: "timmy",
        form: "command",
        body: "do it",
        work: { type: "task" },
        priority: "normal",
        deadlineMs: Date.UTC(2027, 2, 31, 12),
        parent: keys.claude,
        warnings: [expect.stringContaining('"asap"')],
        rule: "command: p tags that are wizards, else leading mentions",
      },
    ])
  })

  it("a note, always of normal priority", () => {
    const event = write({
      kind: 1,
      content: "@timmy Help",
      tags: [
        ["priority", "urgent"],
        ["deadline", "soon"],
      ],
    })
    expect(judged(event)).toMatchObject([
      {
        outcome: "take",
        form: "note",
        priority: "normal",
        warnings: [],
        work: { type: "verb", verb: { name: "help" } },
      },
    ])
  })

  it("J2: by those only that run here, one verdict each", () => {
    expect(
      command("@all do it", [], ["kimi", "timmy"]).map((verdict) => "wizard" in verdict && verdict.wizard),
    ).toEqual(["timmy", "kimi"])
    expect(command("@all do it", [], [])).toEqual([{ outcome: "ignore", reason: "not-for-us" }])
  })

  it("J4: with a deadline that is past, and of any age", () => {
    const tags = [
      ["p", keys.timmy],
      ["deadline", "1"],
    ]
    expect(command("do it", tags)).toMatchObject([{ outcome: "take", deadlineMs: 1000 }])
    expect(judged(write({ content: "@timmy do it", createdAt: 0 }))).toMatchObject([{ outcome: "take" }])
  })
})

describe("what is rejected, and what the author is told", () => {
  const rejected = (wizard: string, reason: string) => [
    { outcome: "reject", wizard, reason: expect.stringContaining(reason) },
  ]

  it("targets that disagree, by each that is tagged", () => {
    const verdicts = command("@claude do it", [
      ["p", keys.timmy],
      ["p", keys.kimi],
    ])
    expect(verdicts.map((verdict) => [verdict.outcome, "wizard" in verdict && verdict.wizard])).toEqual([
      ["reject", "timmy"],
      ["reject", "kimi"],
    ])
    expect(verdicts.slice(0, 1)).toMatchObject(rejected("timmy", "targets disagree: the p tags name timmy, kimi"))
  })

  it("a date ahead, to the second", () => {
    const at = (ahead: number) => judged(write({ content: "@timmy do it", createdAt: nowMs / 1000 + ahead }))
    expect(at(limits.futureSecondsMax)).toMatchObject([{ outcome: "take" }])
    expect(at(limits.futureSecondsMax + 1)).toMatchObject(
      rejected("timmy", "more than 15 minutes ahead: set the clock"),
    )
    expect(at(100 * 365 * 86_400)).toMatchObject(rejected("timmy", "set the clock"))
  })

  it("a text too long, to the byte", () => {
    const room = limits.commandBytesMax - "@timmy ".length
    expect(command(`@timmy ${"x".repeat(room)}`)).toMatchObject([{ outcome: "take" }])
    expect(command(`@timmy ${"x".repeat(room + 1)}`)).toMatchObject(
      rejected("timmy", `at most ${limits.commandBytesMax}`),
    )
    expect(command(`@timmy ${"é".repeat(room / 2 + 1)}`)).toMatchObject(rejected("timmy", "bytes long"))
    expect(command(`@timmy ${"x".repeat(1_000_000)}`)).toMatchObject(rejected("timmy", "1000007 bytes"))
  })

  it("an empty text", () => {
    for (const content of ["@timmy", "@timmy,", " @timmy \n"])
      expect(command(content)).toMatchObject(rejected("timmy", "nothing to do"))
    expect(command("", [["p", keys.timmy]])).toMatchObject(rejected("timmy", "nothing to do"))
  })

  it("a deadline that cannot be read", () => {
    expect(
      command("do it", [
        ["p", keys.timmy],
        ["deadline", "soon"],
      ]),
    ).toMatchObject(rejected("timmy", 'the deadline "soon" cannot be read'))
  })

  it("J3: an unknown name, by the tempo wizard alone", () => {
    expect(command("@bob do it")).toMatchObject(
      rejected("allegro", "nobody is called @bob; known: timmy, kimi, allegro, claude, watcher"),
    )
    expect(command("@bob do it", [], ["timmy"])).toEqual([{ outcome: "ignore", reason: "not-for-us" }])
    const both = command("@bob @timmy do it").map((verdict) => [verdict.outcome, "wizard" in verdict && verdict.wizard])
    expect(both).toEqual([
      ["take", "timmy"],
      ["reject", "allegro"],
    ])
    expect(command("@bob @allegro do it")).toMatchObject([
      { outcome: "take", wizard: "allegro", warnings: [expect.stringContaining("nobody is called @bob")] },
    ])
  })
})

describe("a wizard's child (30079 by a wizard, its parent and root verified)", () => {
  const child = (rootAuthor: string, author = keys.allegro as string, content = "@timmy do it") =>
    judge({
      event: write({ content, author }),
      roster,
      wizards: ["timmy"],
      nowMs,
      limits,
      child: { rootAuthor, rootPlace: { type: "none" }, private: false },
    })

  it("is taken where the root's author could have written it too, else refused", () => {
    expect(child(keys.alexander)).toMatchObject([{ outcome: "take", wizard: "timmy" }])
    expect(child(keys.alexander, keys.allegro, "@timmy stop")).toMatchObject([{ outcome: "reject", forbidden: true }])
    for (const root of [keys.member, keys.stranger, keys.manus])
      expect(child(root)).toMatchObject([{ outcome: "reject", forbidden: true }])
    expect(child(keys.alexander, keys.watcher)).toMatchObject([{ outcome: "reject", forbidden: true }])
  })

  it("is no command as a note, however true its parents", () => {
    const event = write({ kind: 1, content: "@timmy do it", author: keys.allegro })
    const lineage = { rootAuthor: keys.alexander, rootPlace: { type: "none" }, private: false } as const
    expect(judge({ event, roster, wizards: ["timmy"], nowMs, limits, child: lineage })).toEqual([
      { outcome: "ignore", reason: "wizard" },
    ])
  })
})

describe("what is no command (P23)", () => {
  it("a wizard's heartbeat, and whatever else it says", () => {
    const beat = heartbeatTemplate({
      wizard: "kimi",
      state: "idle",
      queue: 0,
      seq: 1,
      interval: 300,
      instance: "i1",
      createdAt: nowMs / 1000,
      keepSeconds: 60,
    })
    const spoken = (author: string) =>
      judged(write({ kind: 1, author, content: "@timmy do it", tags: beat.tags, createdAt: beat.created_at }))
    expect(spoken(keys.kimi)).toEqual([{ outcome: "ignore", reason: "own-kind" }])
    // Tags alone mean nothing: an operator's client adds them for a hashtag.
    expect(spoken(keys.alexander)).toMatchObject([{ outcome: "take", wizard: "timmy" }])
    expect(judged(write({ kind: 1, author: keys.kimi, content: "@timmy do it" }))).toEqual([
      { outcome: "ignore", reason: "wizard" },
    ])
  })

  it("a reply that names nobody, a verb too", () => {
    const tags = [
      ["e", "ee".repeat(32), "", "root"],
      ["p", keys.timmy],
    ]
    for (const content of ["thanks", "cancel", "retry"]) {
      expect(judged(write({ kind: 1, content, tags }))).toEqual([{ outcome: "ignore", reason: "conversation" }])
    }
  })
})

const word = fc.oneof(
  fc.constantFrom("p", "e", "d", "t", "priority", "deadline", "depth", "heartbeat", "dispatch-command", "parent"),
  fc.constantFrom(...Object.values(keys)),
  fc.string({ unit: "binary", maxLength: 8 }),
)
const anyEvent: fc.Arbitrary<NostrEvent> = fc
  .record({
    kind: fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom<number>(Kind.note, Kind.command) },
      fc.constantFrom<number>(...kinds),
      fc.integer(),
    ),
    createdAt: fc.oneof(
      { weight: 6, arbitrary: fc.constant(nowMs / 1000) },
      fc.integer(),
      fc.maxSafeInteger(),
      fc.constant(Number.NaN),
    ),
    author: fc.oneof(
      { weight: 3, arbitrary: fc.constant<string>(keys.alexander) },
      fc.constantFrom<string>(...Object.values(keys)),
      fc.string(),
    ),
    tags: fc.array(fc.array(word, { maxLength: 5 }), { maxLength: 8 }),
    content: fc
      .array(fc.oneof(fc.constantFrom("@timmy", "@all", "@bob", "cancel", "deadbeef", "\n", ","), word), {
        maxLength: 6,
      })
      .map((words) => words.join(" ")),
  })
  .map(write)

it("J1, J2, J3, J5: whatever comes", () => {
  const met = new Set<string>()
  fc.assert(
    fc.property(anyEvent, fc.subarray([...everybody, "manus", "bob"]), (event, wizards) => {
      const verdicts = judged(event, wizards)
      expect(verdicts.length).toBeGreaterThan(0)
      const answers = verdicts.filter((verdict) => verdict.outcome !== "ignore")
      expect(answers).toHaveLength(answers.length === 0 ? 0 : verdicts.length)
      expect(verdicts).toHaveLength(Math.max(1, answers.length))
      const mayCommand = [keys.alexander, keys.deputy].some((key) => key === event.pubkey)
      const isTold = answers.every((verdict) => verdict.outcome === "reject" && verdict.forbidden)
      const isAnswered = mayCommand || (event.pubkey === keys.member && isTold)
      expect(answers.length === 0 || (isAnswered && [1, 30079].includes(event.kind))).toBe(true)
      const names = answers.map((verdict) => verdict.wizard)
      expect(new Set(names).size).toBe(names.length)
      for (const name of names) {
        expect(wizards).toContain(name)
        expect(everybody).toContain(name)
      }
      for (const verdict of verdicts) met.add(verdict.outcome)
    }),
    { numRuns: 3000 },
  )
  expect([...met].sort()).toEqual(["ignore", "reject", "take"])
})
