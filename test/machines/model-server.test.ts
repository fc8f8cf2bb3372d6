import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { initialTransition, transition } from "xstate"
import { machine, type ModelServerEvent } from "../../machines/model-server.ts"
import { explore, nameOf } from "../support/coverage.ts"

const bounds = { coldMs: 1, canaryMs: 2, restartsMax: 2, restartWindowMs: 100, restartMsMin: 1, restartMsMax: 3 }
const all: readonly ModelServerEvent[] = [
  { type: "start" },
  { type: "up" },
  { type: "refused", reason: "no such model" },
  { type: "exited", reason: "gone", atMs: 1 },
  { type: "exited", reason: "gone", atMs: 500 },
  { type: "begin" },
  { type: "done" },
  { type: "hang", reason: "no life" },
  { type: "cold" },
  { type: "canary" },
  { type: "restart" },
  { type: "stop" },
  { type: "nonsense" } as never,
]

const play = (events: readonly ModelServerEvent[]) => {
  let [snapshot] = initialTransition(machine, bounds)
  return events.map((event) => {
    const from = snapshot
    const [next, actions] = transition(machine, snapshot, event)
    snapshot = next
    return { event, from, to: next, intents: actions.map(({ type, params }) => ({ type, params: params as object })) }
  })
}
const histories = fc.array(fc.constantFrom(...all), { maxLength: 60 })

describe("model-server", () => {
  it("every state and every transition is reached", () => {
    const many = (context: Readonly<Record<string, unknown>>): boolean => Number(context["open"]) > 3
    const { missed, missedStates } = explore(machine, bounds, all, many)
    expect({ missed, missedStates }).toEqual({ missed: [], missedStates: [] })
  })

  it("MS1: it is never launched while an earlier one may live", () => {
    fc.assert(
      fc.property(histories, (events) => {
        let isAlive = false
        for (const { event, intents } of play(events)) {
          if (event.type === "exited") isAlive = false
          for (const { type } of intents) {
            if (type !== "launch") continue
            expect(isAlive).toBe(false)
            isAlive = true
          }
        }
      }),
    )
  })

  it("MS2: requests count only in ready and busy, and are no more than were begun", () => {
    fc.assert(
      fc.property(histories, (events) => {
        for (const { event, from, to, intents } of play(events)) {
          expect(to.context.open > 0).toBe(nameOf(to.value) === "busy")
          if (event.type !== "begin") continue
          const takes = ["ready", "busy"].includes(nameOf(from.value))
          expect(to.context.open - from.context.open).toBe(takes ? 1 : 0)
          expect(intents.some(({ type }) => type === "refuse")).toBe(!takes)
        }
      }),
    )
  })

  it("MS3: no more restarts than restartsMax in a window; then it is stopped, and says why", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 40 }), (gaps) => {
        let atMs = 0
        const restarts: number[] = []
        const events = gaps.flatMap((gap): ModelServerEvent[] => {
          atMs += gap
          return [{ type: "start" }, { type: "restart" }, { type: "exited", reason: "gone", atMs }]
        })
        for (const { event, to } of play(events)) {
          if (event.type !== "exited") continue
          if (nameOf(to.value) === "restarting") restarts.push(event.atMs)
          expect(["restarting", "stopped"]).toContain(to.value)
          expect(to.context.reason).toBe("gone")
          const inWindow = restarts.filter((at) => at > event.atMs - bounds.restartWindowMs)
          expect(inWindow.length).toBeLessThanOrEqual(bounds.restartsMax)
        }
      }),
    )
  })

  it("MS4, MS5: it is probed only while it rests, and every timer armed in a state is gone after it", () => {
    const probedIn = new Set<string>()
    fc.assert(
      fc.property(histories, (events) => {
        const armed = new Set<string>()
        for (const { event, from, to, intents } of play(events)) {
          if (["cold", "canary", "restart"].includes(event.type)) armed.delete(event.type)
          for (const { type, params } of intents) {
            if (type === "probe") probedIn.add(nameOf(from.value))
            if (type === "arm") armed.add((params as { timer: string }).timer)
            if (type === "disarm") armed.delete((params as { timer: string }).timer)
          }
          const own = { starting: "cold", ready: "canary", restarting: "restart" }[nameOf(to.value)]
          expect([...armed].filter((timer) => timer !== own)).toEqual([])
        }
      }),
      { examples: [[[{ type: "start" }, { type: "up" }, { type: "canary" }]]] },
    )
    // By the example at the least.
    expect([...probedIn]).toEqual(["ready"])
  })
})
