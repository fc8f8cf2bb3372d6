/** The engine's step is XState's own, without the actor that XState makes for each call. */
import * as fc from "fast-check"
import { initialTransition, transition, type AnyMachineSnapshot } from "xstate"
import { describe, expect, it } from "vitest"
import { begin, stateOf, step } from "../../src/engine/step.ts"
import { boundsOf } from "../../src/intake/intake.ts"
import { limits } from "../../src/limits.ts"
import { machine, type CommandInput } from "../../machines/command.ts"

const atMs = 1_000_000

const input: fc.Arbitrary<CommandInput> = fc.record({
  atMs: fc.constant(atMs),
  repeat: fc.constantFrom("safe" as const, "resumable" as const, "never" as const),
  deadlineMs: fc.constantFrom(null, atMs - 1, atMs + 5),
  refusal: fc.constantFrom(null, "no"),
  stale: fc.boolean(),
  approval: fc.constantFrom(null, "hash"),
  imported: fc.constantFrom(null, "working" as const),
  bounds: fc.constant(boundsOf(limits)),
})

const event = fc.oneof(
  fc.record({ type: fc.constant("begin"), authorised: fc.boolean() }),
  fc.record({ type: fc.constant("succeed"), attempt: fc.nat(3), result: fc.constant({ text: "done" }) }),
  fc.record({
    type: fc.constant("fail"),
    attempt: fc.nat(3),
    retryable: fc.boolean(),
    chance: fc.constant(0.5),
    reason: fc.constant("x"),
  }),
  fc.record({ type: fc.constant("lose"), attempt: fc.nat(3), reason: fc.constant("x") }),
  fc.record({ type: fc.constantFrom("requeue", "retry", "nonsense") }),
  fc.record({
    type: fc.constantFrom("approve", "deny"),
    hash: fc.constantFrom("hash", "other"),
    reason: fc.constant("x"),
  }),
)

const named = (actions: readonly { readonly type: string; readonly params: unknown }[]) =>
  actions
    .filter(({ type }) => type !== "refuse" && !type.startsWith("xstate."))
    .map(({ type, params }) => ({ type, params: params ?? {} }))

describe("step", () => {
  it("gives the state, context and intents that XState's transition() gives, for any road", () =>
    fc.assert(
      fc.property(input, fc.array(event, { maxLength: 12 }), (given, events) => {
        const first = begin(machine, { type: "receive", input: given })
        const [told, actions] = initialTransition(machine, given)
        expect({ state: stateOf(first.snapshot), intents: first.intents }).toEqual({
          state: told.value,
          intents: named(actions),
        })
        let ours: AnyMachineSnapshot = first.snapshot
        let theirs: typeof told = told
        for (const each of events) {
          if (theirs.status !== "active") return
          const next = step(machine, ours, { ...each, atMs })
          const [after, wanted] = transition(machine, theirs, { ...each, atMs } as never)
          expect({ state: stateOf(next.snapshot), context: next.snapshot.context, intents: next.intents }).toEqual({
            state: after.value,
            context: after.context,
            intents: named(wanted),
          })
          ours = next.snapshot
          theirs = after
        }
      }),
    ))
})
