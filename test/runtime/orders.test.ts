import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Order } from "../../src/protocol/orders.ts"
import {
  amend,
  isRosterFault,
  standing,
  wizardClasses,
  type Roster,
  type RosterContent,
} from "../../src/protocol/roster.ts"
import { foundChannels } from "../../src/runtime/charter.ts"
import { decide } from "../../src/runtime/orders.ts"
import { channelsOf } from "../../src/runtime/roster-text.ts"

const key = (n: number): string => n.toString(16).padStart(64, "0")
const wizards = [
  { name: "allegro", pubkey: key(11), class: "tempo" },
  { name: "timmy", pubkey: key(12), class: "local" },
  { name: "ezra", pubkey: key(13), class: "implementation" },
  { name: "claude", pubkey: key(14), class: "worker" },
  { name: "manus", pubkey: key(15), class: "researcher" },
] as const

const whole = (made: ReturnType<typeof amend>): RosterContent => {
  if (isRosterFault(made)) throw new Error(made.reason)
  return made
}
const publish = (content: RosterContent): Roster => ({ ...content, id: key(1000 + content.version) })
let made = 0
const hand = { makeChannel: async () => key(2000 + made++) }

const founded = async (): Promise<Roster> => {
  const who = { operators: [key(1)], wizards, relays: [] }
  const channels = await foundChannels(undefined, who, hand)
  const people = wizards.map((wizard) => ({ type: "add-wizard", ...wizard }) as const)
  return publish(
    whole(amend(undefined, { type: "add-operator", pubkey: key(1), label: "Alexander" }, ...people, ...channels)),
  )
}

const names = (roster: Roster, channel: string): readonly string[] =>
  channelsOf(roster)
    .find(({ name }) => name === channel)
    ?.members.map((pubkey) => wizards.find((wizard) => wizard.pubkey === pubkey)?.name ?? pubkey) ?? []

const carried = async (roster: Roster, order: Order, self = "timmy") => {
  const decision = decide(roster, order, self)
  if ("refused" in decision) return { refused: decision.refused, roster }
  const changes =
    "creates" in decision
      ? [{ type: "add-channel", name: decision.creates, id: await hand.makeChannel() } as const]
      : decision.changes
  return {
    said: decision.said,
    changes,
    roster: changes.length === 0 ? roster : publish(whole(amend(roster, ...changes))),
  }
}

describe("the council's first channels", () => {
  it("are the seed's, with the members and access that it names", async () => {
    const roster = await founded()
    expect(channelsOf(roster).map((each) => [each.name, each.private])).toEqual([
      ["council-general", false],
      ["workers", false],
      ["researchers", false],
      ["tempo-urgent", true],
    ])
    expect(names(roster, "council-general")).toEqual(["allegro", "timmy", "ezra", "claude", "manus"])
    expect(names(roster, "workers")).toEqual(["allegro", "claude"])
    expect(names(roster, "researchers")).toEqual(["allegro", "manus"])
    expect(names(roster, "tempo-urgent")).toEqual([key(1), "allegro"])
  })

  it("are made once: a roster that has any is left alone", async () => {
    const roster = await founded()
    expect(await foundChannels(roster, { operators: [], wizards, relays: [] }, hand)).toEqual([])
  })

  it("O4: a worker joins #workers, an implementer only by invitation, nobody the private room", async () => {
    let roster = (await carried(await founded(), { name: "leave", channel: "workers" }, "claude")).roster
    expect(names(roster, "workers")).toEqual(["allegro"])
    roster = (await carried(roster, { name: "join", channel: "workers" }, "claude")).roster
    expect(names(roster, "workers")).toEqual(["allegro", "claude"])
    expect(await carried(roster, { name: "join", channel: "workers" }, "ezra")).toMatchObject({
      refused: expect.stringContaining("not open to the class implementation: an operator may invite"),
    })
    expect(await carried(roster, { name: "join", channel: "tempo-urgent" }, "claude")).toHaveProperty("refused")
    roster = (await carried(roster, { name: "invite", pubkey: key(13), channel: "workers" })).roster
    expect(names(roster, "workers")).toEqual(["allegro", "claude", "ezra"])
  })
})

const pubkey = fc.integer({ min: 1, max: 18 }).map(key)
const channel = fc.constantFrom("workers", "council-general", "tempo-urgent", "lab", "ops")
const wizard = fc.constantFrom("allegro", "claude", "kimi", "oracle")
const anyOrder: fc.Arbitrary<Order> = fc.oneof(
  fc.record({
    name: fc.constant("operators" as const),
    to: fc.constantFrom("add" as const, "remove" as const),
    pubkey,
  }),
  fc.record({ name: fc.constant("admit" as const), wizard, pubkey }),
  fc.record({ name: fc.constant("admit" as const), wizard, pubkey, class: fc.constantFrom(...wizardClasses) }),
  fc.record({ name: fc.constant("expel" as const), wizard, pubkey, revoke: fc.boolean() }),
  fc.record({ name: fc.constantFrom("invite" as const, "remove" as const), pubkey, channel }),
  fc.record({ name: fc.constantFrom("join" as const, "leave" as const), channel }),
  fc.record({
    name: fc.constant("channels" as const),
    to: fc.constant("create" as const),
    channel,
    private: fc.boolean(),
  }),
)

it("O1 O2 O3: whatever is ordered, each version is sound, somebody commands, and the same order again changes nothing", async () => {
  const met = new Set<string>()
  const first = await founded()
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(anyOrder, wizard), { maxLength: 25 }), async (orders) => {
      let roster = first
      for (const [order, self] of orders) {
        const { roster: next, ...rest } = await carried(roster, order, self)
        if ("refused" in rest) {
          met.add(`${order.name} refused`)
          continue
        }
        met.add(`${order.name} ${rest.changes?.length === 0 ? "same" : "changed"}`)
        const again = await carried(next, order, self)
        expect(again.roster, `${JSON.stringify(order)} by ${self}`).toBe(next)
        expect(again).not.toHaveProperty("refused")
        expect(next.operators.some((operator) => standing(next, operator.pubkey) === "operator")).toBe(true)
        expect(next.revoked.filter((dead) => standing(next, dead) !== "revoked")).toEqual([])
        roster = next
      }
    }),
    { numRuns: 300 },
  )
  const kinds = ["operators", "admit", "expel", "invite", "remove", "join", "leave", "channels"]
  expect(kinds.filter((name) => !met.has(`${name} changed`) && !met.has(`${name} same`))).toEqual([])
})
