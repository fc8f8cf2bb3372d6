import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { initialTransition, transition } from "xstate"
import { machine, type WizardEvent } from "../../machines/wizard.ts"
import { explore, nameOf } from "../support/coverage.ts"

const bounds = { historyWaitSecondsMax: 10, instanceWaitSeconds: 5, heartbeatSeconds: 300 }

const tallies: readonly WizardEvent[] = [0, 1].flatMap((open) =>
  [0, 2].flatMap((queued) => [true, false].map((paused): WizardEvent => ({ type: "tally", open, queued, paused }))),
)
const all: readonly WizardEvent[] = [
  ...(["admit", "dismiss", "history-read", "listened", "silence", "claim", "drain", "drained"] as const).map(
    (type): WizardEvent => ({ type }),
  ),
  { type: "hear" },
  { type: "hear", intervalMs: 60_000 },
  { type: "crash", reason: "a bug" },
  ...tallies,
  { type: "nonsense" } as never,
]

const play = (events: readonly WizardEvent[], input: { freshKey: boolean; paused: boolean }) => {
  let [snapshot] = initialTransition(machine, { bounds, ...input })
  return events.map((event) => {
    const from = nameOf(snapshot.value)
    // A live actor that is done takes nothing more; the pure function would.
    const [next, actions] = snapshot.status === "active" ? transition(machine, snapshot, event) : [snapshot, []]
    snapshot = next
    return {
      event,
      from,
      to: nameOf(next.value),
      context: next.context,
      intents: actions.map(({ type, params }) => ({ type, params })),
    }
  })
}

// Half of the histories begin where something can happen.
const beginning = fc.constantFrom<readonly WizardEvent[]>(
  [],
  [{ type: "admit" }, { type: "history-read" }, { type: "listened" }],
  [
    { type: "admit" },
    { type: "history-read" },
    { type: "listened" },
    { type: "tally", open: 1, queued: 2, paused: false },
  ],
)
const histories = fc
  .tuple(beginning, fc.array(fc.constantFrom(...all), { maxLength: 40 }))
  .map(([first, rest]) => [...first, ...rest])
const inputs = fc.record({ freshKey: fc.boolean(), paused: fc.boolean() })

describe("wizard", () => {
  it("every state and every transition is reached", () => {
    const [one, two] = [true, false].map((freshKey) => explore(machine, { bounds, freshKey, paused: false }, all))
    const both = (a: readonly string[] = [], b: readonly string[] = []) => a.filter((each) => b.includes(each))
    expect(both(one?.missed, two?.missed)).toEqual([])
    expect(both(one?.missedStates, two?.missedStates)).toEqual([])
  })

  it("W1: take-in and hold alternate, and pump lies between them", () => {
    fc.assert(
      fc.property(histories, inputs, (events, input) => {
        let open = false
        for (const { intents, to } of play(events, input)) {
          for (const { type } of intents) {
            const wanted = new Map([
              ["take-in", false],
              ["hold", true],
              ["pump", true],
            ]).get(type)
            if (wanted === undefined) continue
            expect([type, open]).toEqual([type, wanted])
            open = type !== "hold"
          }
          expect(open).toBe(to.startsWith("ready."))
        }
      }),
    )
  })

  it("W2: nothing is pumped while paused; what is queued otherwise is", () => {
    fc.assert(
      fc.property(histories, inputs, (events, input) => {
        for (const { event, intents, to, context } of play(events, input)) {
          const pumped = intents.some(({ type }) => type === "pump")
          expect(pumped && context.paused).toBe(false)
          if (event.type !== "tally" || event.paused || !to.startsWith("ready.")) continue
          expect(pumped).toBe(event.queued > 0)
        }
      }),
    )
  })

  it("W3: a key that is not fresh is ready only after listening or a claim", () => {
    fc.assert(
      fc.property(histories, (events) => {
        for (const { event, from, to } of play(events, { freshKey: false, paused: false })) {
          if (!to.startsWith("ready.") || from.startsWith("ready.")) continue
          expect(["listening", "standby"]).toContain(from)
          expect(["listened", "silence", "claim"]).toContain(event.type)
        }
      }),
    )
  })

  it("W4: a heard instance is yielded to until silence or a claim", () => {
    fc.assert(
      fc.property(histories, inputs, (events, input) => {
        let yielding = false
        for (const { event, from, to } of play(events, input)) {
          if (event.type === "hear" && (from === "catching-up" || from === "listening")) yielding = true
          if (to === "waiting" || event.type === "silence" || event.type === "claim")
            yielding &&= from === "catching-up" && to === from
          expect(yielding && to.startsWith("ready.")).toBe(false)
        }
      }),
    )
  })

  it("W4: silence is three intervals of the one that was heard, counted from its last word", () => {
    const steps = play(
      [{ type: "admit" }, { type: "history-read" }, { type: "hear" }, { type: "hear", intervalMs: 60_000 }],
      { freshKey: false, paused: false },
    )
    const armed = steps.flatMap(({ intents }) => intents).filter(({ type }) => type === "arm")
    expect(armed.map(({ params }) => params)).toEqual([
      { timer: "history", ms: 10_000 },
      { timer: "listen", ms: 5_000 },
      { timer: "silence", ms: 900_000 },
      { timer: "silence", ms: 180_000 },
    ])
  })

  it("W5: ready says what the store last counted", () => {
    fc.assert(
      fc.property(histories, inputs, (events, input) => {
        for (const { to, context } of play(events, input)) {
          if (!to.startsWith("ready.")) continue
          const expected = context.paused ? "paused" : context.open + context.queued > 0 ? "busy" : "idle"
          expect(to).toBe(`ready.${expected}`)
        }
      }),
    )
  })

  it("W6: stopped is reached only by drain, after the last attempt or the time for it, and released once", () => {
    fc.assert(
      fc.property(histories, inputs, (events, input) => {
        const steps = play(events, input)
        const released = steps.flatMap(({ intents }) => intents).filter(({ type }) => type === "release").length
        expect(released).toBe(steps.some(({ to }) => to === "stopped") ? 1 : 0)
        for (const { event, from, to, context } of steps) {
          if (to !== "stopped" || from === "stopped") continue
          expect(event.type === "drain" || from === "draining").toBe(true)
          expect(from !== "draining" || event.type === "drained" || context.open === 0).toBe(true)
        }
      }),
    )
  })

  it("W7: a timer is armed only in the state that armed it", () => {
    const owner = { "catching-up": "history", listening: "listen", standby: "silence" } as Record<string, string>
    fc.assert(
      fc.property(histories, inputs, (events, input) => {
        const armed = new Set<string>()
        for (const { intents, to } of play(events, input)) {
          for (const { type, params } of intents) {
            const { timer } = (params ?? {}) as { timer: string }
            if (type === "arm") armed.add(timer)
            if (type === "disarm") armed.delete(timer)
          }
          expect([...armed]).toEqual(owner[to] === undefined ? [] : [owner[to]])
        }
      }),
    )
  })

  it("a live instance answers a newcomer at once and goes on", () => {
    const last = play([{ type: "admit" }, { type: "history-read" }, { type: "listened" }, { type: "hear" }], {
      freshKey: false,
      paused: false,
    }).at(-1)
    expect([last?.to, last?.intents.map(({ type }) => type)]).toEqual(["ready.idle", ["beat"]])
  })

  it("what a state does not name is refused in the open", () => {
    const last = play([{ type: "admit" }, { type: "claim" }], { freshKey: false, paused: false }).at(-1)
    expect([last?.to, last?.intents]).toEqual(["catching-up", [{ type: "refuse", params: { event: "claim" } }]])
  })
})
