/**
 * The doing half of `machines/wizard.ts`: its timers, and the callbacks by which a wizard moves the world.
 *
 * It is told what the store counts after each commit; it reads nothing itself and remembers nothing.
 */
import { createActor, type AnyActor } from "xstate"
import { machine, type WizardBounds, type WizardEvent, type WizardTimer } from "../machines/wizard.ts"
import type { ClockShape } from "../src/services/clock.ts"
import { doings } from "./doing.ts"

export interface WizardDeps {
  readonly clock: ClockShape
  readonly limits: WizardBounds
  readonly freshKey: boolean
  readonly paused: boolean
  /** Send a heartbeat that names this state, now. */
  readonly beat: (state: WizardState) => void
  /** Begin what is queued, as far as there is room. */
  readonly pump: () => void
  /** Whether intake may commit commands from here on. */
  readonly takeIn: (open: boolean) => void
  /** The drain is over. */
  readonly released: () => void
  /** What was told meant nothing in that state. */
  readonly refused?: (event: string, state: WizardState) => void
}

export type WizardState =
  | "waiting"
  | "catching-up"
  | "listening"
  | "standby"
  | "idle"
  | "busy"
  | "paused"
  | "draining"
  | "stopped"

export interface WizardReport {
  readonly state: WizardState
  readonly open: number
  readonly queued: number
  /** Unix milliseconds since when it is in this state. */
  readonly sinceMs: number
}

export interface WizardActor {
  readonly actor: AnyActor
  readonly tell: (event: WizardEvent) => void
  readonly status: () => WizardReport
  readonly close: () => Promise<void>
}

/** What a timer says when it is due. */
const due = { history: "history-read", listen: "listened", silence: "silence" } satisfies Record<
  WizardTimer,
  WizardEvent["type"]
>

interface Doing {
  readonly arm: (timer: WizardTimer, ms: number) => void
  readonly disarm: (timer: WizardTimer) => void
  readonly beat: () => void
  readonly takeIn: (open: boolean) => void
  readonly pump: () => void
  readonly release: () => void
  readonly refuse: (event: string) => void
}

const doing = doings<Doing>()

const live = machine.provide({
  actions: {
    arm: ({ self }, { timer, ms }) => doing.of(self).arm(timer, ms),
    disarm: ({ self }, { timer }) => doing.of(self).disarm(timer),
    beat: ({ self }) => doing.of(self).beat(),
    "take-in": ({ self }) => doing.of(self).takeIn(true),
    hold: ({ self }) => doing.of(self).takeIn(false),
    pump: ({ self }) => doing.of(self).pump(),
    release: ({ self }) => doing.of(self).release(),
    fail: (_, { reason }) => {
      throw new Error(reason)
    },
    refuse: ({ self }, { event }) => doing.of(self).refuse(event),
  },
})

export const runWizard = (deps: WizardDeps): WizardActor => {
  const timers = new Map<WizardTimer, () => void>()
  let sinceMs = deps.clock.nowMs()
  let state: WizardState = "waiting"
  const disarm = (timer: WizardTimer): void => {
    timers.get(timer)?.()
    timers.delete(timer)
  }
  const over = (): void => {
    for (const timer of timers.keys()) disarm(timer)
  }

  const actor = createActor(live, { input: { bounds: deps.limits, freshKey: deps.freshKey, paused: deps.paused } })
  doing.give(actor, {
    arm: (timer, ms) => {
      const ring = deps.clock.after(ms, () => actor.send({ type: due[timer] }))
      timers.set(timer, ring)
    },
    disarm,
    // The machine is between two states here; a heartbeat tells the one it enters.
    beat: () => {
      Promise.resolve()
        .then(() => deps.beat(state))
        .catch((error: unknown) => actor.send({ type: "crash", reason: String(error) }))
    },
    takeIn: deps.takeIn,
    pump: deps.pump,
    release: deps.released,
    refuse: (event) => deps.refused?.(event, state),
  })
  actor.subscribe({
    next: ({ value }) => {
      const next = stateOf(value)
      if (next === state) return
      state = next
      sinceMs = deps.clock.nowMs()
    },
    error: over,
    complete: over,
  })
  actor.start()

  return {
    actor,
    tell: (event) => {
      if (actor.getSnapshot().status === "active") actor.send(event)
    },
    status: () => {
      const { open, queued } = actor.getSnapshot().context
      return { state, open, queued, sinceMs }
    },
    close: async () => {
      actor.stop()
      over()
    },
  }
}

const stateOf = (value: unknown): WizardState =>
  (typeof value === "string" ? value : Object.values(value as Record<string, string>)[0]) as WizardState
