import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { parseVerb, printVerb, verbs, type Verb } from "../../src/protocol/verbs.ts"

const id = fc.stringMatching(/^[0-9a-f]{8,64}$/)
const optionalId = fc.option(id, { nil: undefined }).map((value) => (value === undefined ? {} : { id: value }))
const page = fc.integer({ min: 1, max: 999_999 }).map((value) => ({ page: value }))
const file = fc
  .stringMatching(/^[!-~]{1,30}$/)
  .filter((value) => !/^[1-9]\d{0,5}$/.test(value))
  .map((value) => ({ file: value }))

const anyVerb: fc.Arbitrary<Verb> = fc.oneof(
  fc.constantFrom<Verb>(
    ...(["status check", "help", "queue", "pause", "resume", "stop"] as const).map((name) => ({ name })),
    ...(["faster", "slower", "default"] as const).map((to) => ({ name: "heartbeat" as const, to })),
  ),
  fc
    .integer({ min: 1, max: 1_000_000 })
    .map((seconds) => ({ name: "heartbeat" as const, to: "every" as const, seconds })),
  fc
    .tuple(
      fc.constantFrom("why" as const, "cancel" as const, "retry" as const, "approve" as const, "deny" as const),
      optionalId,
    )
    .map(([name, about]) => ({ name, ...about })),
  fc.tuple(id, fc.oneof(fc.constant({}), page, file)).map(([id, part]) => ({ name: "show" as const, id, ...part })),
  fc.oneof(fc.constant({}), page).map((part) => ({ name: "show" as const, ...part })),
)

describe("verbs", () => {
  it("reads back what it prints", () => {
    fc.assert(
      fc.property(anyVerb, (verb) => {
        expect(parseVerb(printVerb(verb))).toEqual(verb)
      }),
      { numRuns: 1000 },
    )
  })

  it("does not mind case or spaces", () => {
    fc.assert(
      fc.property(
        anyVerb.filter((verb) => !("file" in verb)),
        fc.array(fc.constantFrom(" ", "  ", "\n", "\t", "\u00a0"), { minLength: 5, maxLength: 5 }),
        (verb, [before = "", one = "", two = "", three = "", after = ""]) => {
          const gaps = [one, two, three]
          const spaced = printVerb(verb)
            .toUpperCase()
            .replace(/ /g, () => gaps.pop() ?? " ")
          expect(parseVerb(before + spaced + after)).toEqual(verb)
        },
      ),
    )
  })

  it("is no verb with anything more", () => {
    fc.assert(
      fc.property(
        anyVerb,
        fc.constantFrom(" please do", " now then", " the page", " # 1 2", " 1 2 3 4"),
        (verb, more) => {
          expect(parseVerb(printVerb(verb) + more)).toBeUndefined()
        },
      ),
    )
  })

  it.each([
    "",
    "cancel the subscription page",
    "cancel everything",
    "cancel 1234567",
    `cancel ${"a".repeat(65)}`,
    "status",
    "status check.",
    "status check!",
    "check status",
    "help me",
    "heartbeat",
    "heartbeat every",
    "heartbeat every now and then",
    "heartbeat every 0s",
    "heartbeat faster please",
    "show tests",
    "show 12345678 two words",
    "stop the server",
    "why is the sky blue",
    "constructor",
    "toString",
    "__proto__",
    "pause,",
  ])("takes %j for work", (body) => expect(parseVerb(body)).toBeUndefined())

  it.each([
    ["heartbeat every 1 day", { name: "heartbeat", to: "every", seconds: 86_400 }],
    ["Heartbeat every 90S", { name: "heartbeat", to: "every", seconds: 90 }],
    ["show 12345678", { name: "show", id: "12345678" }],
    ["show 1234567A 2", { name: "show", id: "1234567a", page: 2 }],
    ["show deadbeef README.md", { name: "show", id: "deadbeef", file: "README.md" }],
    ["show 2", { name: "show", page: 2 }],
    ["Why", { name: "why" }],
  ])("reads %j", (body, verb) => expect(parseVerb(body)).toEqual(verb))

  it("throws for no text, and knows every verb that it lists by its usage", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void parseVerb(text)))
    for (const [name, entry] of Object.entries(verbs)) {
      expect(entry.usage.startsWith(name)).toBe(true)
      expect(entry.help).not.toBe("")
      const example = name === "heartbeat" ? "heartbeat faster" : name
      expect(parseVerb(example)?.name).toBe(name)
    }
  })
})
