/**
 * What every command host is held to, whatever it stores by: H1 to H7 of `command-host.ts`. It is compared with a model
 * that is a map in memory.
 */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type {
  ActorKind,
  ActorView,
  CommandHostShape,
  Effect,
  Envelope,
  Outcome,
} from "../../src/engine/command-host.ts"
import { counter, totalMax } from "./counter.ts"

export interface HostUnderTest {
  /** The host as it is now; another one after `restart`. */
  readonly host: () => CommandHostShape
  /** Ends the process, as far as the host can tell, and opens it again on the same storage. */
  readonly restart: () => Promise<void>
  /** What became visible so far, of all lives, in order. */
  readonly effects: () => readonly Effect[]
}

export type MakeHost = (kinds: Readonly<Record<string, ActorKind>>) => HostUnderTest | Promise<HostUnderTest>

interface Modelled {
  total: number
  state: "counting" | "finished"
  fault: boolean
  readonly causes: Set<string>
  readonly told: number[]
}

/** What ought to be. */
const openModel = () => {
  const actors = new Map<string, Modelled>()
  const lost = new Set<string>()
  const apply = ({ actor, cause, event }: Envelope): Outcome => {
    if (!actor.startsWith("counter/")) return "missing"
    const held = actors.get(actor)
    if (held?.causes.has(cause) === true || lost.has(`${actor} ${cause}`)) return "duplicate"
    if (event.type === "receive") {
      if (held !== undefined) return "duplicate"
      const { from } = event["input"] as { from: number }
      if (from > totalMax) {
        lost.add(`${actor} ${cause}`)
        return "faulted"
      }
      actors.set(actor, { total: from, state: "counting", fault: false, causes: new Set([cause]), told: [] })
      return "applied"
    }
    if (held === undefined) return "missing"
    held.causes.add(cause)
    if (held.fault) return "faulted"
    if (held.state === "finished") return "refused"
    if (event.type === "add") {
      const total = held.total + (event["by"] as number)
      if (total > totalMax) {
        held.fault = true
        return "faulted"
      }
      held.total = total
      held.told.push(total, total)
      return "applied"
    }
    if (event.type !== "finish") return "refused"
    held.state = "finished"
    held.told.push(held.total)
    return "applied"
  }
  return { actors, apply }
}

const receiveOf = (actor: string, from = 0): Envelope => ({
  actor,
  cause: "made",
  event: { type: "receive", input: { from } },
})
const add = (actor: string, cause: string, by = 1): Envelope => ({ actor, cause, event: { type: "add", by } })

const envelopes = fc
  .record({
    actor: fc.constantFrom("counter/a", "counter/b", "counter/c", "nobody/1"),
    cause: fc.integer({ min: 0, max: 14 }).map(String),
    event: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom({ type: "receive", input: { from: 0 } }) },
      { weight: 1, arbitrary: fc.constantFrom({ type: "receive", input: { from: totalMax + 1 } }) },
      { weight: 10, arbitrary: fc.constantFrom({ type: "add", by: 1 }, { type: "add", by: 30 }) },
      { weight: 1, arbitrary: fc.constantFrom({ type: "finish" }) },
      { weight: 2, arbitrary: fc.constantFrom({ type: "nonsense" }) },
    ),
  })
  .map((each): Envelope => each)

/** Deliveries that are made without waiting for each other; between two turns the host may be restarted. */
const runs = fc.array(
  fc.record({
    deliveries: fc.array(fc.array(envelopes, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 5 }),
    restart: fc.boolean(),
  }),
  { minLength: 1, maxLength: 6 },
)

export const commandHostConformance = (name: string, make: MakeHost): void => {
  const open = () => make({ counter })

  describe(`command host ${name}`, () => {
    it("H2 H3 H4 H5 H7: any deliveries, duplicates and restarts come out as in the model", async () => {
      await fc.assert(
        fc.asyncProperty(runs, async (turns) => {
          const under = await open()
          const model = openModel()
          for (const { deliveries, restart } of turns) {
            const expected = deliveries.map((each) => each.map(model.apply))
            expect(await Promise.all(deliveries.map((each) => under.host().deliver(each)))).toEqual(expected)
            if (restart) await under.restart()
          }
          for (const [actor, held] of model.actors) {
            const view = await under.host().read(actor)
            expect(view).toMatchObject({ actor, state: held.state, context: { total: held.total } })
            expect([view?.fault !== null, view?.done]).toEqual([held.fault, held.state === "finished"])
          }
          expect(await under.host().read("counter/none")).toBeUndefined()
          expect(toldBy(under.effects())).toEqual(
            Object.fromEntries(
              [...model.actors].filter(([, { told }]) => told.length > 0).map(([k, v]) => [k, v.told]),
            ),
          )
        }),
        { numRuns: 40 },
      )
    })

    it("H2 H3: shuffling inputs across actors changes nothing for any actor", async () => {
      const inputs = ["a", "b", "c"].map((actor) => [
        receiveOf(`counter/${actor}`),
        ...[1, 2, 3, 4].map((by) => add(`counter/${actor}`, `add ${by}`, by)),
      ])
      await fc.assert(
        fc.asyncProperty(fc.infiniteStream(fc.nat({ max: 2 })), async (picks) => {
          const under = await open()
          const left = inputs.map((list) => [...list])
          const order: Envelope[] = []
          while (left.some((list) => list.length > 0)) {
            const next = left[picks.next().value ?? 0]?.shift()
            if (next !== undefined) order.push(next)
          }
          await Promise.all(order.map((each) => under.host().deliver([each])))
          const told = [1, 3, 6, 10].flatMap((total) => [total, total])
          expect(toldBy(under.effects())).toEqual({ "counter/a": told, "counter/b": told, "counter/c": told })
        }),
        { numRuns: 15 },
      )
    })

    it("H1: what a delivery resolved is there after a restart, effects and all", async () => {
      const under = await open()
      await under.host().deliver([receiveOf("counter/a"), add("counter/a", "1", 7)])
      expect(under.effects().map(({ payload }) => payload)).toEqual([{ total: 7 }, { total: 7 }])
      await under.restart()
      const view = (await under.host().read("counter/a")) as ActorView
      expect([view.state, view.context, view.seq]).toEqual(["counting", { total: 7 }, 2])
    })

    it("H2: the same cause is another input for another actor", async () => {
      const under = await open()
      const both = ["counter/a", "counter/b"].flatMap((actor) => [receiveOf(actor), add(actor, "same")])
      expect(await under.host().deliver(both)).toEqual(["applied", "applied", "applied", "applied"])
      await under.restart()
      expect(await under.host().deliver(both)).toEqual(["duplicate", "duplicate", "duplicate", "duplicate"])
    })

    it("H2: an input that took effect is a duplicate afterwards, even where it would throw now", async () => {
      const under = await open()
      const big = add("counter/a", "big", 60)
      await under.host().deliver([receiveOf("counter/a"), big])
      expect(await under.host().deliver([big])).toEqual(["duplicate"])
      expect(await under.host().deliver([add("counter/a", "more", 60)])).toEqual(["faulted"])
      expect(await under.host().deliver([big])).toEqual(["duplicate"])
    })

    it("H4: a refused input changes nothing but that it was", async () => {
      const under = await open()
      await under.host().deliver([receiveOf("counter/a"), add("counter/a", "1", 3)])
      const before = under.effects().length
      expect(await under.host().deliver([{ actor: "counter/a", cause: "2", event: { type: "nonsense" } }])).toEqual([
        "refused",
      ])
      expect(await under.host().read("counter/a")).toMatchObject({ state: "counting", context: { total: 3 } })
      expect(under.effects().length).toBe(before)
    })

    it("H5: a step that throws takes neither its neighbours nor its own past with it, and its actor takes no more", async () => {
      const under = await open()
      const outcomes = await Promise.all([
        under.host().deliver([receiveOf("counter/a"), receiveOf("counter/b"), add("counter/a", "1", 5)]),
        under.host().deliver([add("counter/a", "too much", totalMax), add("counter/a", "2"), add("counter/b", "1")]),
      ])
      expect(outcomes).toEqual([
        ["applied", "applied", "applied"],
        ["faulted", "faulted", "applied"],
      ])
      for (const cause of ["3", "4"]) {
        expect(await under.host().deliver([add("counter/a", cause)])).toEqual(["faulted"])
        await under.restart()
      }
      const view = await under.host().read("counter/a")
      expect(view).toMatchObject({ context: { total: 5 }, fault: expect.stringContaining("more than") })
    })

    it("H6: effects are named actor/sequence/index, in order, each once", async () => {
      const under = await open()
      await under.host().deliver([receiveOf("counter/a"), add("counter/a", "1")])
      await under.restart()
      await under.host().deliver([add("counter/a", "2"), add("counter/a", "1")])
      const names = under.effects().map(({ effect }) =>
        effect
          .match(/^counter\/a\/(\d+)\/(\d+)$/)
          ?.slice(1)
          .map(Number),
      )
      expect(names).toEqual([
        [2, 0],
        [2, 1],
        [3, 0],
        [3, 1],
      ])
    })
  })
}

/** What each actor told, in order; where a name comes twice it throws. */
const toldBy = (effects: readonly Effect[]): Readonly<Record<string, readonly number[]>> => {
  const told: Record<string, number[]> = {}
  const names = new Set<string>()
  for (const { actor, effect, payload } of effects) {
    if (names.has(effect)) throw new Error(`${effect} is named twice`)
    names.add(effect)
    told[actor] = [...(told[actor] ?? []), (payload as { total: number }).total]
  }
  return told
}
