import * as fc from "fast-check"
import { npubEncode } from "nostr-tools/nip19"
import { describe, expect, it } from "vitest"
import type { Order } from "../../src/protocol/orders.ts"
import { wizardClasses } from "../../src/protocol/roster.ts"
import { parseVerb, printVerb, verbs, type Verb } from "../../src/protocol/verbs.ts"

const id = fc.stringMatching(/^[0-9a-f]{8,64}$/)
const optionalId = fc.option(id, { nil: undefined }).map((value) => (value === undefined ? {} : { id: value }))
const page = fc.integer({ min: 1, max: 999_999 }).map((value) => ({ page: value }))
const file = fc
  .stringMatching(/^[!-~]{1,30}$/)
  .filter((value) => !/^[1-9]\d{0,5}$/.test(value))
  .map((value) => ({ file: value }))

const key = fc.stringMatching(/^[0-9a-f]{64}$/)
const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,31}$/)
const anyOrder: fc.Arbitrary<Order> = fc.oneof(
  fc.constantFrom<Order>(
    { name: "operators", to: "list" },
    { name: "channels", to: "list" },
    { name: "roster", to: "show" },
    { name: "roster", to: "history" },
  ),
  fc.tuple(key, fc.option(fc.stringMatching(/^[a-z!-@]{1,20}$/), { nil: undefined })).map(([pubkey, label]): Order => {
    return { name: "operators", to: "add", pubkey, ...(label !== undefined && { label }) }
  }),
  key.map((pubkey): Order => ({ name: "operators", to: "remove", pubkey })),
  fc
    .tuple(name, key, fc.option(fc.constantFrom(...wizardClasses), { nil: undefined }))
    .map(([wizard, pubkey, is]): Order => {
      return { name: "admit", wizard, pubkey, ...(is !== undefined && { class: is }) }
    }),
  fc.record({ name: fc.constant("expel" as const), wizard: name, pubkey: key, revoke: fc.boolean() }),
  fc.record({ name: fc.constantFrom("invite" as const, "remove" as const), pubkey: key, channel: name }),
  fc.record({ name: fc.constantFrom("join" as const, "leave" as const), channel: name }),
  fc.record({
    name: fc.constant("channels" as const),
    to: fc.constant("create" as const),
    channel: name,
    private: fc.boolean(),
  }),
)

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
  anyOrder,
)

const npub = npubEncode("0a".repeat(32))
/** Of verbs that are none without arguments. */
const examples: Readonly<Record<string, string>> = {
  heartbeat: "heartbeat faster",
  admit: `admit claude ${npub}`,
  expel: `expel claude ${npub}`,
  invite: `invite ${npub} to #workers`,
  remove: `remove ${npub} from #workers`,
  join: "join #workers",
  leave: "leave #workers",
}

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
        anyVerb.filter((verb) => !("file" in verb || "label" in verb)),
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
    "join hands",
    "join workers",
    "leave it",
    "invite bob to #workers",
    `invite ${npub} to`,
    `invite ${npub} into #workers`,
    `invite ${npub.slice(0, -1)}q to #workers`,
    `remove ${npub} from the page`,
    `admit Claude ${npub} wizard`,
    `admit ../claude ${npub}`,
    `expel claude ${npub} please`,
    "operators add Alexander",
    "channels create a b",
    "roster of the club",
  ])("takes %j for work", (body) => expect(parseVerb(body)).toBeUndefined())

  it.each([
    ["heartbeat every 1 day", { name: "heartbeat", to: "every", seconds: 86_400 }],
    ["Heartbeat every 90S", { name: "heartbeat", to: "every", seconds: 90 }],
    ["show 12345678", { name: "show", id: "12345678" }],
    ["show 1234567A 2", { name: "show", id: "1234567a", page: 2 }],
    ["show deadbeef README.md", { name: "show", id: "deadbeef", file: "README.md" }],
    ["show 2", { name: "show", page: 2 }],
    ["Why", { name: "why" }],
    [`invite ${npub} to #workers`, { name: "invite", pubkey: "0a".repeat(32), channel: "workers" }],
    [`Invite nostr:${npub} to Workers`, { name: "invite", pubkey: "0a".repeat(32), channel: "workers" }],
    ["operators", { name: "operators", to: "list" }],
    ["roster", { name: "roster", to: "show" }],
  ])("reads %j", (body, verb) => expect(parseVerb(body)).toEqual(verb))

  it("throws for no text, and knows every verb that it lists by its usage", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void parseVerb(text)))
    for (const [name, entry] of Object.entries(verbs)) {
      expect(entry.usage.startsWith(name)).toBe(true)
      expect(entry.help).not.toBe("")
      const example = examples[name] ?? name
      expect(parseVerb(example)?.name).toBe(name)
    }
  })
})
