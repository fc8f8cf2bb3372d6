import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { limits } from "../../src/limits.ts"
import { answerTemplate } from "../../src/protocol/artifact.ts"
import { withId, type NostrEvent, type Tag } from "../../src/protocol/event.ts"
import { receiptTemplate } from "../../src/protocol/receipt.ts"
import {
  amend,
  isRosterFault,
  parseRoster,
  rosterTemplate,
  type Roster,
  type RosterChange,
} from "../../src/protocol/roster.ts"
import type { Status } from "../../src/protocol/status.ts"
import { judgeStory, type Finding } from "../../src/runtime/story.ts"

const key = (n: number): string => n.toString(16).padStart(64, "0")
const [council, alexander, deputy, timmy, allegro, stranger] = [1, 2, 3, 4, 5, 6].map(key) as [
  string,
  string,
  string,
  string,
  string,
  string,
]
const signed = (pubkey: string, template: Parameters<typeof withId>[1]): NostrEvent => ({
  ...withId(pubkey, template),
  sig: "00".repeat(64),
})

const rosters: NostrEvent[] = []
const write = (before: Roster | undefined, ...changes: RosterChange[]): Roster => {
  const next = amend(before, ...changes)
  if (isRosterFault(next)) throw new Error(next.reason)
  const event = signed(council, rosterTemplate(next, 1_000 + next.version))
  rosters.push(event)
  return parseRoster(event) as Roster
}
const first = write(
  undefined,
  { type: "add-operator", pubkey: alexander, label: "" },
  { type: "add-operator", pubkey: deputy, label: "" },
  { type: "add-wizard", name: "timmy", pubkey: timmy, class: "local" },
  { type: "add-wizard", name: "allegro", pubkey: allegro, class: "tempo" },
)
/** From here on the deputy commands no more. */
write(first, { type: "remove-key", pubkey: deputy })

const commandBy = (author: string, content = "@timmy status check", tags: Tag[] = [["p", timmy]]): NostrEvent =>
  signed(author, { kind: 30079, created_at: 2_000, tags, content })

const road: readonly Status[] = ["received", "acknowledged", "working", "artifact-reported"]
const receiptsOf = (
  command: NostrEvent,
  more: {
    by?: string
    author?: string
    roster?: (at: number) => number
    road?: readonly Status[]
    atSeconds?: number
  } = {},
): NostrEvent[] => {
  let prev: string | undefined
  return (more.road ?? road).map((status, at) => {
    const event = signed(
      more.by ?? timmy,
      receiptTemplate({
        command: command.id,
        author: more.author ?? command.pubkey,
        wizard: "timmy",
        status,
        ...(prev !== undefined && { prev }),
        n: at + 1,
        roster: more.roster?.(at) ?? 1,
        instance: "ab",
        createdAt: (more.atSeconds ?? 2_001) + at,
        content: {},
      }),
    )
    prev = event.id
    return event
  })
}
const artifactOf = (command: NostrEvent, by = timmy): NostrEvent =>
  signed(
    by,
    answerTemplate({
      command: command.id,
      author: command.pubkey,
      wizard: "timmy",
      n: 1,
      text: "idle",
      createdAt: 2_005,
    }),
  )

const judged = (command: NostrEvent, events: readonly NostrEvent[]): readonly Finding[] =>
  judgeStory(command.id, council, events, limits).findings
const failed = (command: NostrEvent, events: readonly NostrEvent[]): readonly string[] =>
  judged(command, events).flatMap(({ result, check, says }) => (result === "fails" ? [`${check}: ${says}`] : []))
const open = (command: NostrEvent, events: readonly NostrEvent[]): string =>
  judged(command, events)
    .flatMap(({ result, says }) => (result === "unchecked" ? [says] : []))
    .join("\n")

const command = commandBy(alexander)
const honest = [command, ...rosters, ...receiptsOf(command), artifactOf(command)]

describe("an honest story", () => {
  it("holds, whatever the order and however often each event comes (ST3)", () => {
    const whole = judged(command, honest)
    expect(whole.filter(({ result }) => result === "holds").map(({ check }) => check)).toEqual([
      "command",
      "roster",
      "receipts",
      "authority",
      "artifact",
    ])
    fc.assert(
      fc.property(fc.shuffledSubarray(honest, { minLength: honest.length }), fc.subarray(honest), (events, again) => {
        expect(judged(command, [...events, ...again])).toEqual(whole)
      }),
    )
  })

  it("ST2: with any of its events missing claims no more than it can", () => {
    fc.assert(
      fc.property(fc.subarray(honest, { maxLength: honest.length - 1 }), (events) => {
        const has = (event: NostrEvent | undefined): boolean => event !== undefined && events.includes(event)
        const findings = judged(command, events)
        const isHeld = (check: Finding["check"]): boolean =>
          findings.some((finding) => finding.check === check && finding.result === "holds")
        expect(isHeld("command")).toBe(has(command))
        expect(isHeld("roster")).toBe(has(rosters[0]))
        // Without the last one the chain is one that has not ended yet.
        const receipts = honest.slice(3, 7)
        const held = receipts.filter(has).length
        const isLine = held > 0 && receipts.slice(0, held).every(has)
        expect(isHeld("receipts")).toBe(has(rosters[0]) && isLine)
      }),
    )
  })
})

describe("a story that was tampered with", () => {
  it.each<[string, () => [NostrEvent, NostrEvent[]], RegExp]>([
    [
      "ordered by a stranger",
      () => {
        const other = commandBy(stranger)
        return [other, [other, ...rosters, ...receiptsOf(other)]]
      },
      /^authority: by roster version 1 its author \(stranger\) had no right/,
    ],
    [
      "begun after its author had lost the right",
      () => {
        const other = commandBy(deputy)
        return [other, [other, ...rosters, ...receiptsOf(other, { roster: (at) => (at < 2 ? 1 : 2) })]]
      },
      /^authority: by roster version 2 /,
    ],
    [
      "whose roster goes back",
      () => [command, [command, ...rosters, ...receiptsOf(command, { roster: (at) => (at < 2 ? 2 : 1) })]],
      /^receipts: receipt 3 goes back to roster version 1/,
    ],
    [
      "that names another author",
      () => [command, [command, ...rosters, ...receiptsOf(command, { author: deputy })]],
      /^receipts: they name another author/,
    ],
    [
      "that skips a state",
      () => [command, [command, ...rosters, ...receiptsOf(command, { road: ["received", "artifact-reported"] })]],
      /^receipts: artifact-reported cannot follow received/,
    ],
    [
      "begun after its deadline",
      () => {
        const other = commandBy(alexander, "@timmy x", [
          ["p", timmy],
          ["deadline", "2001"],
        ])
        return [other, [other, ...rosters, ...receiptsOf(other)]]
      },
      /^time: receipt 3 begins the work after the deadline/,
    ],
    [
      "with an artifact of what failed",
      () => [
        command,
        [
          command,
          ...rosters,
          artifactOf(command),
          ...receiptsOf(command, { road: ["received", "acknowledged", "working", "failed"] }),
        ],
      ],
      /^artifact: there is one, although/,
    ],
    [
      "by a wizard's child that says a false depth",
      () => {
        const kin = (depth: string): Tag[] => [
          ["p", timmy],
          ["e", command.id, "", "parent"],
          ["e", command.id, "", "root"],
          ["depth", depth],
        ]
        const child = commandBy(allegro, "@timmy x", kin("2"))
        return [child, [command, child, ...rosters, ...receiptsOf(child)]]
      },
      /^lineage: its depth is 2, its parent's 0/,
    ],
    [
      "of another council",
      () => [command, honest.filter((event) => event.pubkey !== council)],
      /^roster: no version by this council/,
    ],
  ])("%s does not hold", (_, make, says) => {
    const [about, events] = make()
    expect(failed(about, events).join("\n")).toMatch(says)
  })

  it("ST1: receipts and artifacts by other keys are passed over and counted", () => {
    const forged = receiptsOf(command, { by: stranger })
    expect(failed(command, [...honest, ...forged])).toEqual([])
    expect(open(command, [...honest, ...forged])).toContain("4 by keys that are not their wizard's are passed over")
    expect(open(command, [command, ...rosters, ...forged])).toContain("nothing is known to have been done")
    expect(open(command, [command, ...rosters, ...receiptsOf(command), artifactOf(command, stranger)])).toContain(
      "it was reported, and is not on this relay",
    )
  })

  it("a receipt that is rewritten in any way that keeps its key is seen", () => {
    const receipts = receiptsOf(command)
    fc.assert(
      fc.property(
        fc.nat(2),
        fc.constantFrom("n", "prev", "status", "wizard", "p"),
        fc.constantFrom(key(7), "2", "9", "failed", "received", "kimi"),
        (at, name, value) => {
          const old = receipts[at] as NostrEvent
          const tags = old.tags.map((tag) => (tag[0] === name ? [name, value] : tag))
          const { kind, created_at, content } = old
          const changed = signed(timmy, { kind, created_at, content, tags })
          fc.pre(changed.id !== old.id)
          const events = [
            command,
            ...rosters,
            artifactOf(command),
            ...receipts.map((each) => (each === old ? changed : each)),
          ]
          expect(failed(command, events)).not.toEqual([])
        },
      ),
    )
  })
})

it("a wizard's child holds with its lineage, and without its parents is not judged", () => {
  const root = commandBy(alexander, "@allegro see to it", [["p", allegro]])
  const child = commandBy(allegro, "@timmy status check", [
    ["p", timmy],
    ["e", root.id, "", "parent"],
    ["e", root.id, "", "root"],
    ["depth", "1"],
  ])
  const story = [child, ...rosters, ...receiptsOf(child), artifactOf(child)]
  const whole = judged(child, [root, ...story])
  expect(whole.filter(({ result }) => result === "fails")).toEqual([])
  expect(whole.some(({ check, result }) => check === "lineage" && result === "holds")).toBe(true)
  expect(judged(child, story).some(({ check }) => check === "authority")).toBe(false)
  expect(open(child, story)).toContain("its parents are not here")
})
