import * as fc from "fast-check"
import { nprofileEncode, npubEncode } from "nostr-tools/nip19"
import { describe, expect, it } from "vitest"
import { parseLeading, printLeading, type Mention } from "../../src/protocol/mentions.ts"

const key = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
const npub = `nostr:${npubEncode(key)}`
const nprofile = `nostr:${nprofileEncode({ pubkey: key, relays: ["wss://relay.example", "ws://127.0.0.1:3334"] })}`
const byKey = { type: "key", pubkey: key }
const named = (name: string): Mention => ({ type: "name", name })

const hex64 = fc.stringMatching(/^[0-9a-f]{64}$/)
const anyMention: fc.Arbitrary<Mention> = fc.oneof(
  fc.constant<Mention>({ type: "all" }),
  fc
    .stringMatching(/^[a-z][a-z0-9_-]{0,31}$/)
    .filter((name) => name !== "all")
    .map(named),
  hex64.map((pubkey): Mention => ({ type: "key", pubkey })),
)
/** Texts made of the grammar's own pieces find its corners sooner than random ones. */
const pieces = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "@timmy",
        "@ALL",
        "@",
        "@a.b",
        npub,
        nprofile,
        "nostr:npub1x",
        ",",
        ":",
        " ",
        "\n",
        ">",
        "`",
        "#1",
        "é",
      ),
      fc.string({ unit: "binary", maxLength: 5 }),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(""))

describe("leading mentions", () => {
  it.each([
    ["@claude fix bug in nexus issue #123", [named("claude")], "fix bug in nexus issue #123"],
    ["@all status check", [{ type: "all" }], "status check"],
    ["@Timmy heartbeat faster", [named("timmy")], "heartbeat faster"],
    ["  @timmy, @kimi: do it", [named("timmy"), named("kimi")], "do it"],
    ["@timmy,@kimi:do it", [named("timmy"), named("kimi")], "do it"],
    ["@timmy\n@kimi\ndo it\n", [named("timmy"), named("kimi")], "do it"],
    [`${npub} do it`, [byKey], "do it"],
    [`${nprofile}: do it`, [byKey], "do it"],
    [`NOSTR:${npub.slice(6).toUpperCase()} do it`, [byKey], "do it"],
    ["@timmy", [named("timmy")], ""],
    ["@timmy :) thanks", [named("timmy")], ":) thanks"],
    ["@timmy > as @kimi said", [named("timmy")], "> as @kimi said"],
    ["@allegro deploy relay # Infrastructure task", [named("allegro")], "deploy relay # Infrastructure task"],
  ])("reads %j", (text, mentions, body) => expect(parseLeading(text)).toEqual({ mentions, body }))

  it.each([
    "",
    "please @timmy do it",
    "> @timmy do it",
    "`@timmy do it`",
    "```\n@timmy do it\n```",
    "@timmy's turn",
    "@timmy.example says",
    "@timmy@kimi do it",
    "@ timmy",
    "@7up",
    `@${"a".repeat(33)} do it`,
    "nostr:npub1qqqqqq do it",
    `${npub}x do it`,
    npub.slice(6),
    "nostr:note1fntxtkcy9pjwucqwa9mddn7v03wwwsu9j330jj350nvhpky2tuaspk6nqc hi",
    "@тимми привет",
  ])("finds none in %j", (text) => expect(parseLeading(text)).toEqual({ mentions: [], body: text.trim() }))

  it("M1: what was parsed, printed and parsed again is the same", () => {
    fc.assert(
      fc.property(pieces, (text) => {
        const leading = parseLeading(text)
        expect(parseLeading(printLeading(leading))).toEqual(leading)
      }),
      { numRuns: 3000 },
    )
  })

  it("M1: what was printed is read as it was meant", () => {
    fc.assert(
      fc.property(fc.array(anyMention, { maxLength: 5 }), fc.string({ unit: "binary" }), (mentions, text) => {
        const body = parseLeading(text).body
        expect(parseLeading(printLeading({ mentions, body }))).toEqual({ mentions, body })
      }),
    )
  })

  it("M2: the body is the end of the text", () => {
    fc.assert(
      fc.property(pieces, (text) => {
        expect(text.trimEnd().endsWith(parseLeading(text).body)).toBe(true)
      }),
    )
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (tail) => {
        expect(parseLeading(`@timmy see #${tail}`).body).toBe(`see #${tail}`.trimEnd())
      }),
    )
  })

  it("M3: no text makes it throw, and a long one is read once", () => {
    fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => void parseLeading(text)))
    expect(parseLeading("@a ".repeat(100_000)).mentions).toHaveLength(100_000)
    expect(parseLeading(" ".repeat(500_000) + "x").mentions).toHaveLength(0)
    expect(parseLeading(`nostr:nprofile1${"q".repeat(500_000)}`).mentions).toHaveLength(0)
  })
})
