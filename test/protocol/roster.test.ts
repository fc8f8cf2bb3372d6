import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type EventTemplate, withId } from "../../src/protocol/event.ts"
import {
  amend,
  isOperator,
  isRosterFault,
  parseRoster,
  type Roster,
  type RosterChange,
  type RosterContent,
  rosterTemplate,
  standing,
  wizardByKey,
  wizardByName,
  wizardClasses,
} from "../../src/protocol/roster.ts"

const key = (n: number): string => n.toString(16).padStart(64, "0")
const council = key(999)
const published = (template: EventTemplate) => ({ ...withId(council, template), sig: "00".repeat(64) })

const content = (result: ReturnType<typeof amend>): RosterContent => {
  if (isRosterFault(result)) throw new Error(result.reason)
  return result
}
const publish = (roster: RosterContent): Roster => ({ ...roster, id: published(rosterTemplate(roster, 1)).id })
const reason = (value: RosterContent | { readonly reason: string }): string =>
  isRosterFault(value) ? value.reason : "no fault"
const withTags = (...tags: readonly (readonly string[])[]) => {
  const template = rosterTemplate(content(amend(undefined)), 1)
  return parseRoster(published({ ...template, tags: [...template.tags, ...tags] }))
}

const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,31}$/).filter((text) => text !== "all")
/** Keys of operators and wizards are odd and even, so that they never meet (R2). */
const anyKey = fc.integer({ min: 1, max: 1e9 }).map(key)
const unique = <A>(each: fc.Arbitrary<A>, ...by: ((each: A) => string)[]) =>
  fc
    .array(each, { maxLength: 6 })
    .map((list) => list.filter((a, at) => by.every((f) => list.findIndex((b) => f(a) === f(b)) === at)))
const text = fc.string({ unit: "grapheme" })
const rosters: fc.Arbitrary<RosterContent> = fc
  .record({
    version: fc.integer({ min: 1, max: 1e15 - 1 }),
    operators: unique(
      fc.record({ pubkey: fc.integer({ min: 0, max: 1e9 }).map((n) => key(2 * n + 1)), label: text }),
      (operator) => operator.pubkey,
    ),
    wizards: unique(
      fc.record({
        name,
        pubkey: fc.integer({ min: 0, max: 1e9 }).map((n) => key(2 * n)),
        class: fc.oneof(fc.constantFrom(...wizardClasses), name),
      }),
      (wizard) => wizard.pubkey,
      (wizard) => wizard.name,
    ),
    channels: unique(
      fc.record({ name: name.map((text) => `c${text}`.slice(0, 32)), id: anyKey }),
      (channel) => channel.name,
      (channel) => channel.id,
    ),
    rooms: unique(
      fc.record({ name: name.map((text) => `r${text}`.slice(0, 32)), members: unique(anyKey, (member) => member) }),
      (room) => room.name,
    ),
    members: unique(fc.record({ channel: name, pubkey: anyKey }), (member) => JSON.stringify(member)),
    relays: unique(
      fc.webUrl().map((url) => url.replace(/^http/, "ws")),
      (url) => url,
    ),
    revoked: unique(anyKey, (pubkey) => pubkey),
  })
  .map((roster) => (roster.version === 1 ? roster : { ...roster, prev: key(roster.version) }))

describe("the roster's codec", () => {
  it("R1: what is printed is read back the same", () => {
    fc.assert(
      fc.property(rosters, fc.nat(), (roster, createdAt) => {
        const event = published(rosterTemplate(roster, createdAt))
        expect(parseRoster(event)).toEqual({ ...roster, id: event.id })
      }),
    )
  })

  it("R4: ignores tags that it does not know and keeps a class that it does not know", () => {
    const roster = withTags(["recovery", key(1)], ["wizard", "newt", key(2), "oracle", "more"], [])
    expect(isRosterFault(roster) ? roster.reason : roster.wizards).toEqual([
      { name: "newt", pubkey: key(2), class: "oracle" },
    ])
  })

  it.each([
    ["two wizards of one name", ["wizard", "a", key(1), "local"], ["wizard", "a", key(2), "local"]],
    ["two wizards of one key", ["wizard", "a", key(1), "local"], ["wizard", "b", key(1), "local"]],
    ["a key that is operator and wizard", ["operator", key(1), ""], ["wizard", "b", key(1), "local"]],
    ["one operator twice", ["operator", key(1), "a"], ["operator", key(1), "b"]],
    ["a room named as a channel", ["channel", "a", key(1)], ["room", "a", key(2)]],
    ["one relay twice", ["relay", "wss://a"], ["relay", "wss://a"]],
    ["a member twice in a room", ["room", "a", key(2), key(2)]],
  ] as [string, string[], string[]?][])("R2: refuses %s", (_, first, second = []) => {
    expect(reason(withTags(first, second))).toContain("listed twice")
  })

  it.each([
    ["a short key", "64 lower-case hex", ["operator", "ab", "x"]],
    ["a key in capitals", "64 lower-case hex", ["revoked", "AB".repeat(32)]],
    ["a wizard without a key", "64 lower-case hex", ["wizard", "a"]],
    ["a name that is a path", "is no name", ["wizard", "../a", key(1), "local"]],
    ["a wizard without a class", "is no name", ["wizard", "a", key(1)]],
    ["a wizard called all", "everybody", ["wizard", "all", key(1), "local"]],
    ["a relay that is a web page", "is no relay", ["relay", "https://relay.example"]],
    ["a prev in version 1", "has no prev", ["prev", key(1)]],
  ])("refuses %s", (_, said, tag) => expect(reason(withTags(tag))).toContain(said))

  it.each(["0", "01", "-1", "1.5", "1e3", "", "9".repeat(16), "one"])("refuses the version %j", (version) => {
    const template = rosterTemplate(content(amend(undefined)), 1)
    const tags = template.tags.map((tag) => (tag[0] === "n" ? ["n", version] : tag))
    expect(reason(parseRoster(published({ ...template, tags })))).toContain("whole number")
  })

  it("refuses a later version without prev, another kind and another topic", () => {
    const first = content(amend(undefined))
    const template = rosterTemplate(first, 1)
    expect(reason(parseRoster(published(rosterTemplate({ ...first, version: 2 }, 1))))).toContain("prev")
    expect(reason(parseRoster(published({ ...template, kind: 1 })))).toContain("kind 78")
    expect(reason(parseRoster(published({ ...template, tags: template.tags.slice(1) })))).toContain("council-roster")
  })
})

describe("who is who", () => {
  const roster = content(
    amend(
      undefined,
      { type: "add-operator", pubkey: key(1), label: "Alexander" },
      { type: "add-wizard", name: "timmy", pubkey: key(2), class: "local" },
      { type: "add-member", channel: "workers", pubkey: key(3) },
      { type: "add-member", channel: "workers", pubkey: key(2) },
    ),
  )

  it("names each key's highest standing", () => {
    expect([1, 2, 3, 4].map((n) => standing(roster, key(n)))).toEqual(["operator", "wizard", "member", "stranger"])
    expect([isOperator(roster, key(1)), isOperator(roster, key(2))]).toEqual([true, false])
    expect([wizardByName(roster, "timmy")?.pubkey, wizardByName(roster, "Timmy")]).toEqual([key(2), undefined])
    expect([wizardByKey(roster, key(2))?.name, wizardByKey(roster, key(1))]).toEqual(["timmy", undefined])
  })

  it("R3: a revoked key is nothing, wherever else it is listed", () => {
    fc.assert(
      fc.property(rosters, (roster) => {
        const keys = [...roster.operators, ...roster.wizards, ...roster.members].map(({ pubkey }) => pubkey)
        const dead = { ...roster, revoked: keys }
        for (const pubkey of keys) expect(standing(dead, pubkey)).toBe("revoked")
        for (const { name, pubkey } of roster.wizards) {
          expect([wizardByName(dead, name), wizardByKey(dead, pubkey)]).toEqual([undefined, undefined])
        }
      }),
    )
  })
})

describe("the next version", () => {
  const first = publish(content(amend(undefined, { type: "add-operator", pubkey: key(1), label: "A" })))

  it("counts on, names the version before, and carries the rest over", () => {
    const second = content(amend(first, { type: "add-relay", url: "ws://127.0.0.1:3334" }))
    expect(second).toMatchObject({ version: 2, prev: first.id, operators: first.operators })
    expect("id" in second).toBe(false)
    expect(isRosterFault(parseRoster(published(rosterTemplate(second, 2))))).toBe(false)
  })

  it("R3: revoking takes the key out everywhere and frees its name, but the key never comes back", () => {
    const wizard: RosterChange = { type: "add-wizard", name: "timmy", pubkey: key(2), class: "local" }
    const room: RosterChange = { type: "add-room", name: "urgent", members: [key(1), key(2)] }
    const member: RosterChange = { type: "add-member", channel: "workers", pubkey: key(2) }
    const second = publish(content(amend(first, wizard, room, member)))
    const renewed: RosterChange = { type: "add-wizard", name: "timmy", pubkey: key(5), class: "local" }
    const third = content(amend(second, { type: "revoke", pubkey: key(2) }, renewed))
    expect([standing(third, key(2)), wizardByName(third, "timmy")?.pubkey]).toEqual(["revoked", key(5)])
    expect([third.rooms, third.members]).toEqual([[{ name: "urgent", members: [key(1)] }], []])
    expect(reason(amend(publish(third), { ...wizard, name: "tim" }))).toContain("revoked")
  })

  it.each<[string, RosterChange, string]>([
    ["an operator that is there", { type: "add-operator", pubkey: key(1), label: "B" }, "listed twice"],
    ["a wizard with an operator's key", { type: "add-wizard", name: "a", pubkey: key(1), class: "local" }, "listed"],
    ["a malformed key", { type: "add-operator", pubkey: "npub1", label: "B" }, "64 lower-case hex"],
    ["half a character", { type: "add-operator", pubkey: key(9), label: "\ud800" }, "well-formed"],
  ])("refuses to add %s", (_, change, said) => expect(reason(amend(first, change))).toContain(said))
})
