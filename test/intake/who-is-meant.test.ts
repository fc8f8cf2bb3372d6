import * as fc from "fast-check"
import { npubEncode } from "nostr-tools/nip19"
import { describe, expect, it } from "vitest"
import { targetsOf } from "../../src/intake/who-is-meant.ts"
import { everybody, keys, roster, write } from "./council.ts"

const p = (...names: (keyof typeof keys)[]): string[][] => names.map((name) => ["p", keys[name]])
const command = (content: string, tags: string[][] = []) => targetsOf(write({ content, tags }), roster)
const note = (content: string, tags: string[][] = []) => targetsOf(write({ kind: 1, content, tags }), roster)
const npub = (name: keyof typeof keys): string => `nostr:${npubEncode(keys[name])}`

describe("who is meant by a note", () => {
  it.each([
    ["@timmy do it", ["timmy"], "do it"],
    ["@KIMI, @timmy: do it", ["kimi", "timmy"], "do it"],
    ["@timmy @timmy do it", ["timmy"], "do it"],
    [`${npub("kimi")} @kimi do it`, ["kimi"], "do it"],
    ["@all status check", everybody, "status check"],
    ["@timmy @all stop", everybody.toSorted((a) => (a === "timmy" ? -1 : 0)), "stop"],
    ["@timmy fix it for @kimi #123", ["timmy"], "fix it for @kimi #123"],
  ])("T1, T3: %j", (text, wizards, body) => {
    expect(note(text)).toMatchObject({ form: "note", wizards, unknown: [], disagree: false, body })
  })

  it("T1: `p` tags never count, neither for nor against", () => {
    expect(note("do it", p("timmy"))).toBeUndefined()
    expect(note("@kimi do it", p("timmy"))).toMatchObject({ wizards: ["kimi"], disagree: false })
  })

  it.each(["thanks", "fine, @timmy do it", "> @timmy do it", `${npub("stranger")} hello`, npub("alexander"), ""])(
    "T1: names nobody: %j",
    (text) => expect(note(text)).toBeUndefined(),
  )

  it("T5: a revoked wizard is unknown by name and nobody by key", () => {
    expect(note("@manus do it")).toMatchObject({ wizards: [], unknown: ["@manus"] })
    expect(note(`${npub("manus")} do it`)).toBeUndefined()
  })

  it("tells unknown names once each, beside the known", () => {
    expect(note("@bob @timmy @Bob @eve do it")).toMatchObject({ wizards: ["timmy"], unknown: ["@bob", "@eve"] })
    expect(note("@constructor do it")).toMatchObject({ wizards: [], unknown: ["@constructor"] })
  })
})

describe("who is meant by a command", () => {
  it("T2: the `p` tags that are wizards", () => {
    expect(command("do it", p("timmy", "stranger", "kimi", "timmy"))).toMatchObject({
      form: "command",
      wizards: ["timmy", "kimi"],
      disagree: false,
      body: "do it",
    })
  })

  it("T2: with none of these, the leading mentions", () => {
    for (const tags of [[], [["p"]], [["p", "<target_pubkey>"]], p("stranger", "alexander", "manus")]) {
      expect(command("@claude fix bug #123", tags)).toMatchObject({ wizards: ["claude"], body: "fix bug #123" })
      expect(command("fix bug #123", tags)).toBeUndefined()
    }
  })

  it("T3: `@all` means the tagged wizards, or all", () => {
    expect(command("@all status check", p("timmy", "kimi"))).toMatchObject({
      wizards: ["timmy", "kimi"],
      disagree: false,
      mentionsAll: true,
    })
    expect(command("@all status check")).toMatchObject({ wizards: everybody, mentionsAll: true })
  })

  it.each([
    ["@claude do it", ["timmy"], true],
    ["@timmy do it", ["timmy"], false],
    ["@timmy do it", ["timmy", "kimi"], false],
    ["@timmy @kimi do it", ["timmy"], true],
    ["@all @kimi do it", ["timmy"], true],
    ["@bob do it", ["timmy"], true],
    [`${npub("timmy")} do it`, ["timmy"], false],
    [`${npub("stranger")} do it`, ["timmy"], true],
    ["tell @claude", ["timmy"], false],
  ] as const)("T4: %j, to %j: disagree %s", (text, tagged, disagree) => {
    expect(command(text, p(...tagged))).toMatchObject({ wizards: tagged, disagree, unknown: [] })
  })
})

it("no other kind is read for commands", () => {
  for (const kind of [0, 3, 4, 5, 6, 7, 14, 16, 42, 78, 1059, 1111, 30023, 30078, 30080]) {
    expect(targetsOf(write({ kind, content: "@timmy do it", tags: p("timmy") }), roster)).toBeUndefined()
  }
})

it("P24: whatever is found are names of good wizards, each once", () => {
  const text = fc
    .array(fc.oneof(fc.constantFrom("@all", "@timmy", "@manus", "@bob", npub("kimi"), "> ", ", "), fc.string()))
    .map((parts) => parts.join(" "))
  const tags = fc.array(fc.array(fc.oneof(fc.constantFrom("p", "e", ...Object.values(keys)), fc.string())))
  fc.assert(
    fc.property(fc.constantFrom(1, 30079), text, tags, (kind, content, tags) => {
      const meant = targetsOf(write({ kind, content, tags }), roster)
      if (meant === undefined) return
      expect(new Set(meant.wizards).size).toBe(meant.wizards.length)
      for (const name of meant.wizards) expect(everybody).toContain(name)
      expect(meant.disagree && kind === 1).toBe(false)
    }),
    { numRuns: 1000 },
  )
})
