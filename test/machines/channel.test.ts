import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { initialTransition, transition } from "xstate"
import { machine, type ChannelEvent } from "../../machines/channel.ts"
import { explore, nameOf } from "../support/coverage.ts"

const bounds = { channelMembersMax: 2 }
const define = (...members: readonly string[]): ChannelEvent => ({ type: "define", id: "c0", members })
const all: readonly ChannelEvent[] = [
  define("claude"),
  define("claude", "kimi"),
  define("claude", "kimi", "grok"),
  { type: "archive" },
  { type: "message", author: "claude", message: "e1" },
  { type: "message", author: "mallory", message: "e2" },
  { type: "nonsense" } as never,
]

const play = (events: readonly ChannelEvent[]) => {
  let [snapshot] = initialTransition(machine, bounds)
  return events.map((event) => {
    const from = snapshot
    const [next, actions] = transition(machine, snapshot, event)
    snapshot = next
    return { event, from, to: next, intents: actions.map(({ type, params }) => ({ type, params: params as object })) }
  })
}
const histories = fc.array(fc.constantFrom(...all), { maxLength: 30 })

describe("channel", () => {
  it("every state and every transition is reached", () => {
    const { missed, missedStates } = explore(machine, bounds, all)
    expect({ missed, missedStates }).toEqual({ missed: [], missedStates: [] })
  })

  it("CH1: a message counts only in an open channel and from a member", () => {
    fc.assert(
      fc.property(histories, (events) => {
        for (const { event, from, intents } of play(events)) {
          if (event.type !== "message") continue
          const counts = nameOf(from.value) === "open" && from.context.members.includes(event.author)
          expect(intents.map(({ type }) => type)).toEqual([counts ? "accept" : "refuse"])
        }
      }),
    )
  })

  it("CH2: every message is answered once, with its id", () => {
    fc.assert(
      fc.property(histories, (events) => {
        for (const { event, intents } of play(events)) {
          if (event.type !== "message") continue
          expect(intents).toHaveLength(1)
          expect(intents[0]?.params).toMatchObject({ message: event.message })
        }
      }),
    )
  })

  it("CH3: a list that is too long changes nothing", () => {
    const steps = play([define("claude"), define("a", "b", "c")])
    expect(steps.at(-1)?.to.context.members).toEqual(["claude"])
    expect(steps.at(-1)?.intents).toEqual([
      { type: "refuse", params: { event: "define", message: null, reason: "more members than this runtime holds" } },
    ])
  })
})
