import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { emptyChain, offer, type RosterChain, rosterInForce, type RosterOffer } from "../../src/identity/roster.ts"
import { type EventTemplate, type NostrEvent, withId } from "../../src/protocol/event.ts"
import { amend, isRosterFault, parseRoster, type Roster, rosterTemplate } from "../../src/protocol/roster.ts"

const key = (n: number): string => n.toString(16).padStart(64, "0")
const council = key(7)
const signed = (template: EventTemplate, author = council): NostrEvent => ({
  ...withId(author, template),
  sig: "00".repeat(64),
})
const read = (event: NostrEvent): Roster => {
  const roster = parseRoster(event)
  if (isRosterFault(roster)) throw new Error(roster.reason)
  return roster
}
/** The version after another one (or version 1); `seed` makes siblings differ. */
const after = (parent: NostrEvent | undefined, seed: number): NostrEvent => {
  const next = amend(parent && read(parent), { type: "add-operator", pubkey: key(1000 + seed), label: "" })
  if (isRosterFault(next)) throw new Error(next.reason)
  return signed(rosterTemplate(next, seed))
}
const line = (length: number, from?: NostrEvent, seed = 0): readonly NostrEvent[] => {
  const versions: NostrEvent[] = []
  for (let n = 0; n < length; n++) versions.push(after(versions.at(-1) ?? from, seed + n))
  return versions
}
const offerAll = (events: readonly NostrEvent[], chain: RosterChain = emptyChain(council)): RosterChain =>
  events.reduce((chain, event) => offer(chain, event).chain, chain)
const inForce = (chain: RosterChain): string | undefined => rosterInForce(chain)?.id

const chain = line(8)
const at = (version: number): NostrEvent => chain[version - 1] as NostrEvent
const renumbered = (event: NostrEvent, version: number): NostrEvent =>
  signed({ ...event, tags: event.tags.map((tag) => (tag[0] === "n" ? ["n", String(version)] : tag)) })
/** None of these may ever come into force, or hinder what may. */
const forged: readonly NostrEvent[] = [
  signed(at(2), key(8)),
  { ...at(3), pubkey: key(8) },
  signed({ ...at(3), kind: 1 }),
  renumbered(at(4), 3),
  renumbered(at(4), 6),
  renumbered(at(8), 9),
  signed({ ...at(5), tags: [...at(5).tags, ["operator", "nonsense", ""]] }),
  ...line(2, signed(rosterTemplate({ ...read(at(2)), prev: key(5) }, 1)), 500),
]

describe("the chain of rosters", () => {
  it("C2: any order, with duplicates and forgeries, ends in the same roster as the right order", () => {
    const ordered = inForce(offerAll(chain))
    expect(ordered).toBe(at(8).id)
    const disorder = fc
      .record({ again: fc.subarray([...chain]), forged: fc.subarray([...forged]) })
      .map(({ again, forged }) => [...chain, ...again, ...forged])
      .chain((all) => fc.shuffledSubarray(all, { minLength: all.length }))
    fc.assert(
      fc.property(disorder, (events) => {
        expect(inForce(offerAll(events))).toBe(ordered)
      }),
    )
  })

  it("C1, C3: with forks in any order it only goes forward, each version a child of the one before", () => {
    const forks = [...line(3, at(2), 100), ...line(1, at(2), 200), ...line(2, undefined, 300), ...line(2, at(6), 400)]
    const all = [...chain, ...forks, ...forged]
    fc.assert(
      fc.property(fc.shuffledSubarray(all, { minLength: 1 }), (events) => {
        let before = emptyChain(council)
        for (const event of events) {
          const { chain: next, outcome, warning } = offer(before, event)
          expect(next.held.slice(0, before.held.length)).toEqual(before.held)
          expect(next.held.length > before.held.length).toBe(outcome === "accepted")
          expect(outcome === "refused" ? warning : "").toBeDefined()
          before = next
        }
        before.held.forEach((roster, index) => {
          expect([roster.version, roster.prev]).toEqual([index + 1, before.held[index - 1]?.id])
        })
      }),
    )
  })

  it("C2: says which version to ask for, down to the first that is missing", () => {
    const waits = (chain: RosterChain, event: NostrEvent): RosterOffer => offer(chain, event)
    const four = waits(emptyChain(council), at(4))
    expect([four.outcome, four.missing]).toEqual(["waiting", at(3).id])
    const three = waits(four.chain, at(3))
    expect([three.outcome, three.missing]).toEqual(["waiting", at(2).id])
    const again = waits(three.chain, at(4))
    expect([again.outcome, again.missing, again.chain]).toEqual(["waiting", at(2).id, three.chain])
    const two = waits(waits(three.chain, at(2)).chain, at(1))
    expect([two.outcome, inForce(two.chain), two.chain.pending]).toEqual(["accepted", at(4).id, []])
    expect(offer(two.chain, at(2))).toEqual({ chain: two.chain, outcome: "held" })
  })

  it("C3: the held one of two stays, with a warning, and so do not the fork's children", () => {
    const held = offerAll(chain.slice(0, 3))
    const [two, three] = line(2, at(1), 100) as [NostrEvent, NostrEvent]
    const fork = offer(held, two)
    expect([fork.outcome, fork.chain]).toEqual(["refused", held])
    expect(fork.warning).toContain("forks")
    expect(fork.warning).toContain(at(2).id)
    expect(offer(offer(held, after(three, 105)).chain, three)).toMatchObject({ outcome: "refused" })
  })

  it("C3: of two that wait, the one that leads further is taken, whichever came first, and the other is told", () => {
    const [short] = line(1, at(1), 100) as [NostrEvent]
    for (const waiting of [
      [short, at(2), at(3)],
      [at(3), at(2), short],
    ]) {
      const end = offer(offerAll(waiting), at(1))
      expect([end.outcome, inForce(end.chain), end.chain.pending]).toEqual(["accepted", at(3).id, []])
      expect(end.warning).toContain(short.id)
    }
  })

  it.each([
    ["another author's", signed(at(1), key(8)), "not by the council"],
    ["a note", signed({ kind: 1, created_at: 1, tags: [], content: "" }), "kind 78"],
    ["a number that does not follow", renumbered(at(3), 4), "follows version 2"],
  ])("C4: refuses %s", (_, event, said) => {
    const before = offerAll(chain.slice(0, 2))
    const { chain: next, outcome, warning } = offer(before, event)
    expect([next, outcome]).toEqual([before, "refused"])
    expect(warning).toContain(said)
  })

  it("C5: at the bound the oldest goes, is named, and can be read again", () => {
    const small = offerAll([at(8), at(7)], emptyChain(council, 2))
    const third = offer(small, at(6))
    expect([third.outcome, third.dropped, third.chain.pending.length]).toEqual(["waiting", at(8).id, 2])
    const rest = offerAll([at(1), at(2), at(3), at(4), at(5)], third.chain)
    expect(inForce(rest)).toBe(at(7).id)
    expect(inForce(offerAll([at(8)], rest))).toBe(at(8).id)
  })
})
