import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { initialTransition, transition } from "xstate"
import { machine, type RelayConnectionEvent } from "../../machines/relay-connection.ts"
import { explore, nameOf } from "../support/coverage.ts"

const bounds = {
  reconnectMsMin: 500,
  reconnectMsMax: 60_000,
  reconnectStableSeconds: 30,
  suspendSeconds: 3600,
  authTriesMax: 3,
}

const stable = bounds.reconnectStableSeconds * 1000
const dropped = (stableMs: number, chance = 0.5): RelayConnectionEvent => ({
  type: "dropped",
  code: 1006,
  reason: "gone",
  chance,
  stableMs,
})
const plain = (
  ["connect", "opened", "challenged", "authenticated", "caught-up", "resubscribe", "retry", "resume", "close"] as const
).map((type): RelayConnectionEvent => ({ type }))
const refusedAuth: RelayConnectionEvent = { type: "auth-refused", reason: "no", chance: 0.5 }
const all: readonly RelayConnectionEvent[] = [
  ...plain,
  dropped(0),
  dropped(stable),
  refusedAuth,
  { type: "suspend", reason: "blocked" },
  { type: "crash", reason: "a bug" },
  { type: "nonsense" } as never,
]

const anyEvent: fc.Arbitrary<RelayConnectionEvent> = fc.oneof(
  fc.constantFrom(...all),
  fc
    .record({ stableMs: fc.nat(2 * stable), chance: fc.double({ min: 0, max: 0.999, noNaN: true }) })
    .map(({ stableMs, chance }) => dropped(stableMs, chance)),
)

interface Step {
  readonly event: RelayConnectionEvent
  readonly from: string
  readonly to: string
  readonly before: { readonly attempts: number; readonly authTries: number }
  readonly after: { readonly attempts: number; readonly authTries: number; readonly pauseMs: number }
  readonly intents: readonly { readonly type: string; readonly params: unknown }[]
}

const play = (events: readonly RelayConnectionEvent[]): readonly Step[] => {
  let [snapshot] = initialTransition(machine, bounds)
  return events.map((event) => {
    const from = snapshot
    // A live actor that is done takes nothing more; the pure function would.
    const [next, actions] = from.status === "active" ? transition(machine, from, event) : [from, []]
    snapshot = next
    return {
      event,
      from: nameOf(from.value),
      to: nameOf(next.value),
      before: from.context,
      after: next.context,
      intents: actions.map(({ type, params }) => ({ type, params })),
    }
  })
}

// Most histories begin where something can happen.
const beginning = fc.constantFrom<readonly RelayConnectionEvent[]>(
  [],
  [{ type: "connect" }, { type: "opened" }],
  [{ type: "connect" }, { type: "opened" }, { type: "caught-up" }],
)
const histories = fc.tuple(beginning, fc.array(anyEvent, { maxLength: 60 })).map(([first, rest]) => [...first, ...rest])

describe("relay-connection", () => {
  it("every state and every transition is reached", () => {
    const { missed, missedStates, steps } = explore(machine, { ...bounds, authTriesMax: 2 }, all, (context) => {
      return (context as { attempts: number }).attempts > 2
    })
    expect({ missed, missedStates }).toEqual({ missed: [], missedStates: [] })
    expect(steps.length).toBeGreaterThan(50)
  })

  it("RC1: a socket is opened only by connecting, and let go before the next one and at the end", () => {
    fc.assert(
      fc.property(histories, (events) => {
        let open = false
        for (const { intents, to } of play(events)) {
          for (const { type } of intents) {
            if (type === "shut") open = false
            if (type !== "open") continue
            expect(open).toBe(false)
            expect(to).toBe("connecting")
            open = true
          }
          expect(open && ["backing-off", "suspended", "closed"].includes(to)).toBe(false)
        }
      }),
    )
  })

  it("RC2: a pause lies between the least and the least doubled for each failure", () => {
    fc.assert(
      fc.property(histories, (events) => {
        for (const { intents, after } of play(events)) {
          const armed = intents.find(
            ({ type, params }) => type === "arm" && (params as { timer: string }).timer === "retry",
          )
          if (armed === undefined) continue
          const { ms } = armed.params as { ms: number }
          expect(ms).toBe(after.pauseMs)
          expect(ms).toBeGreaterThanOrEqual(bounds.reconnectMsMin)
          expect(ms).toBeLessThanOrEqual(Math.min(bounds.reconnectMsMax, bounds.reconnectMsMin * 2 ** after.attempts))
        }
      }),
    )
  })

  it("RC2: the ceiling is reached and kept however often it fails", () => {
    const failures = Array.from({ length: 100 }, (): RelayConnectionEvent[] => [
      dropped(0, 0.999_999),
      { type: "retry" },
    ])
    const last = play([{ type: "connect" }, ...failures.flat()]).at(-1)
    expect(last?.after.attempts).toBe(100)
    expect(last?.after.pauseMs).toBe(bounds.reconnectMsMax - 1)
  })

  it("RC3: attempts start anew only after a stable connection or a resume", () => {
    fc.assert(
      fc.property(histories, (events) => {
        for (const { event, before, after, from } of play(events)) {
          if (after.attempts >= before.attempts) continue
          const lived = event.type === "dropped" && event.stableMs >= stable
          expect(lived || from === "suspended").toBe(true)
        }
      }),
    )
  })

  it("RC4: live is reached only from catching up, by having caught up", () => {
    fc.assert(
      fc.property(histories, (events) => {
        for (const { event, from, to } of play(events)) {
          expect([to, event.type]).not.toEqual(["connected.live", "resubscribe"])
          if (to !== "connected.live" || from === to) continue
          expect([from, event.type]).toEqual(["connected.catching-up", "caught-up"])
        }
      }),
    )
  })

  it("RC5: AUTH is bounded between two stable connections, then the relay is left alone", () => {
    fc.assert(
      fc.property(histories, (events) => {
        for (const { after, intents, from, event, to } of play(events)) {
          expect(after.authTries).toBeLessThanOrEqual(bounds.authTriesMax)
          const demanded = event.type === "challenged" && from.startsWith("connected")
          const asked = intents.some(({ type }) => type === "authenticate")
          expect(!demanded || asked || to === "suspended").toBe(true)
        }
      }),
    )
  })

  it("RC6: close ends it for good, whatever went before", () => {
    fc.assert(
      fc.property(histories, (events) => {
        let [snapshot] = initialTransition(machine, bounds)
        for (const event of [...events, { type: "close" } as const])
          if (snapshot.status === "active") [snapshot] = transition(machine, snapshot, event)
        expect([snapshot.value, snapshot.status]).toEqual(["closed", "done"])
      }),
    )
  })

  it("what a state does not name is refused in the open and changes nothing", () => {
    for (const [events, state] of [
      [[], "idle"],
      [[{ type: "connect" }], "connecting"],
      [[{ type: "connect" }, dropped(0)], "backing-off"],
    ] as const) {
      const last = play([...events, { type: "authenticated" }]).at(-1)
      expect([last?.to, last?.intents]).toEqual([state, [{ type: "refuse", params: { event: "authenticated" } }]])
    }
  })
})
