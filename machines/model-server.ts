/**
 * A model's server: one process that holds a model in memory and answers while it does.
 *
 *   stopped ─► starting ─► ready ⇄ busy
 *      ▲          │ ▲        │      │
 *      │          │ └─ restarting ◄─┤ (it ended)
 *      │          ▼        ▲        │
 *      │       unhealthy ──┘ ◄──────┘ (it hangs: it is ended first)
 *      └─ stopping (somebody said so, or it answers that it cannot)
 *
 * MS1 It is launched only in `starting`, and never while an earlier one may live: what hangs is ended first, and only its
 *     end leads on.
 * MS2 Requests count only in `ready` and `busy`; one that begins elsewhere is refused.
 * MS3 Of restarts there are no more than `restartsMax` in `restartWindowMs`; then it is `stopped`, with the reason, until
 *     somebody needs it again.
 * MS4 While it rests it is asked for a token now and then, because a health page answers where generation hangs. While it
 *     is busy the requests' own signs of life tell.
 * MS5 A timer that a state arms is disarmed when the state is left.
 */
import { assign, setup } from "xstate"

/** Raised when a state or event changes its meaning; live actors are never restored from a snapshot. */
export const version = 1

export interface ModelServerBounds {
  readonly coldMs: number
  readonly canaryMs: number
  readonly restartsMax: number
  readonly restartWindowMs: number
  readonly restartMsMin: number
  readonly restartMsMax: number
}

export interface ModelServerContext {
  readonly bounds: ModelServerBounds
  /** Requests under way. */
  readonly open: number
  /** When it was restarted, unix milliseconds, within the window. */
  readonly restarts: readonly number[]
  /** Why it is not up, for a person. */
  readonly reason: string | null
}

export type ModelServerTimer = "cold" | "canary" | "restart"

export type ModelServerEvent =
  | { readonly type: "start" }
  /** It has answered for the first time. */
  | { readonly type: "up" }
  /** It answers, and says that it cannot: a model that is not there, say. */
  | { readonly type: "refused"; readonly reason: string }
  /** Its process is gone, with all that it started. */
  | { readonly type: "exited"; readonly reason: string; readonly atMs: number }
  | { readonly type: "begin" }
  | { readonly type: "done" }
  /** A request, or the canary, had no sign of life in its time. */
  | { readonly type: "hang"; readonly reason: string }
  | { readonly type: "cold" }
  | { readonly type: "canary" }
  | { readonly type: "restart" }
  | { readonly type: "stop" }

/** What it wants from the world, as data. */
export type ModelServerIntent =
  | { readonly type: "launch"; readonly params: undefined }
  | { readonly type: "kill"; readonly params: undefined }
  | { readonly type: "probe"; readonly params: undefined }
  | { readonly type: "arm"; readonly params: { timer: ModelServerTimer; ms: number } }
  | { readonly type: "disarm"; readonly params: { timer: ModelServerTimer } }
  | { readonly type: "refuse"; readonly params: { event: string } }

type Params<T extends ModelServerIntent["type"]> = Extract<ModelServerIntent, { type: T }>["params"]
const intent =
  <T extends ModelServerIntent["type"]>() =>
  (_args: unknown, _params: Params<T>): void => {}

const states = setup({
  types: {
    context: {} as ModelServerContext,
    input: {} as ModelServerBounds,
    events: {} as ModelServerEvent,
  },
  actions: {
    launch: intent<"launch">(),
    kill: intent<"kill">(),
    probe: intent<"probe">(),
    arm: intent<"arm">(),
    disarm: intent<"disarm">(),
    refuse: intent<"refuse">(),
    begun: assign({ open: ({ context }) => context.open + 1 }),
    ended: assign({ open: ({ context }) => Math.max(0, context.open - 1) }),
    emptied: assign({ open: 0 }),
    explain: assign({ reason: (_, reason: string) => reason }),
    cleared: assign({ reason: null }),
    counted: assign({
      restarts: ({ context, event }) => {
        if (event.type !== "exited") return context.restarts
        const { restartWindowMs } = context.bounds
        return [...context.restarts.filter((at) => at > event.atMs - restartWindowMs), event.atMs]
      },
    }),
  },
  guards: {
    endsLast: ({ context }) => context.open <= 1,
    isTooOften: ({ context, event }) =>
      event.type === "exited" &&
      context.restarts.filter((at) => at > event.atMs - context.bounds.restartWindowMs).length >=
        context.bounds.restartsMax,
  },
})

const reasonOf = {
  type: "explain" as const,
  params: ({ event }: { event: ModelServerEvent }) => ("reason" in event ? event.reason : event.type),
}

const arm = (timer: "cold" | "canary", bound: "coldMs" | "canaryMs") => ({
  type: "arm" as const,
  params: ({ context }: { context: ModelServerContext }) => ({ timer, ms: context.bounds[bound] }),
})

const disarm = (timer: ModelServerTimer) => ({ type: "disarm", params: { timer } }) as const

/** It ended by itself. */
const exited = [
  { guard: "isTooOften", target: "stopped", actions: ["emptied", reasonOf] },
  { target: "restarting", actions: ["emptied", "counted", reasonOf] },
] as const

/** The same of one that was ended because it hung, which stays the reason. */
const endedHung = [
  { guard: "isTooOften", target: "stopped" },
  { target: "restarting", actions: "counted" },
] as const

const stop = { target: "stopping", actions: "emptied" } as const
const hang = { target: "unhealthy", actions: ["emptied", reasonOf] } as const

export const machine = states.createMachine({
  id: "model-server",
  context: ({ input }) => ({ bounds: input, open: 0, restarts: [], reason: null }),
  initial: "stopped",
  on: { "*": { actions: { type: "refuse", params: ({ event }) => ({ event: event.type }) } } },
  states: {
    stopped: { on: { start: "starting", stop: {}, done: {} } },
    starting: {
      entry: ["launch", arm("cold", "coldMs")],
      exit: disarm("cold"),
      on: {
        up: { target: "ready", actions: "cleared" },
        refused: { target: "stopping", actions: reasonOf },
        exited,
        cold: { target: "unhealthy", actions: { type: "explain", params: "it did not answer in its time to start" } },
        stop,
        start: {},
        done: {},
      },
    },
    ready: {
      entry: arm("canary", "canaryMs"),
      exit: disarm("canary"),
      on: {
        begin: { target: "busy", actions: "begun" },
        canary: { actions: ["probe", arm("canary", "canaryMs")] },
        hang,
        exited,
        stop,
        start: {},
        done: {},
      },
    },
    busy: {
      on: {
        begin: { actions: "begun" },
        done: [{ guard: "endsLast", target: "ready", actions: "ended" }, { actions: "ended" }],
        hang,
        exited,
        stop,
        start: {},
      },
    },
    unhealthy: {
      entry: "kill",
      on: { exited: endedHung, stop: "stopping", start: {}, done: {}, hang: {} },
    },
    restarting: {
      entry: {
        type: "arm",
        params: ({ context: { bounds, restarts } }) => ({
          timer: "restart",
          ms: Math.min(bounds.restartMsMax, bounds.restartMsMin * 2 ** (restarts.length - 1)),
        }),
      },
      exit: disarm("restart"),
      on: { restart: "starting", stop: "stopped", start: {}, done: {}, hang: {} },
    },
    stopping: {
      entry: "kill",
      on: { exited: "stopped", stop: {}, done: {}, hang: {} },
    },
  },
})
