/**
 * One wizard on this machine: whether it may take commands in, and whether it may begin what is queued. It holds no
 * queue: after each commit it is told what the store counts.
 *
 *   waiting ─► catching-up ─► listening ─► ready{ idle ⇄ busy ⇄ paused } ─► draining ─► stopped
 *                    └───────────┴─► standby ─►┘
 *
 * W1 Commands are taken in only in `ready`; `take-in` and `hold` alternate, and `pump` lies between them.
 * W2 Nothing is pumped while paused.
 * W3 A key that is not fresh becomes `ready` only after listening, or by a person's claim.
 * W4 An instance that was heard while catching up or listening is yielded to until it is silent or a person claims.
 * W5 In `ready` the state says what the store last counted: paused, busy (open or queued), or idle.
 * W6 `stopped` is reached only by `drain`, and the drain is released exactly once.
 * W7 A timer that a state arms is disarmed when the state is left.
 */
import { assign, setup } from "xstate"

/** Raised when a state or event changes its meaning; live actors are never restored from a snapshot. */
export const version = 1

export interface WizardBounds {
  readonly historyWaitSecondsMax: number
  readonly instanceWaitSeconds: number
  /** The interval that is assumed of an instance that does not tell its own. */
  readonly heartbeatSeconds: number
}

export interface WizardInput {
  readonly bounds: WizardBounds
  /** The key was made by this very start: nobody else can hold it. */
  readonly freshKey: boolean
  readonly paused: boolean
}

export interface WizardContext {
  readonly bounds: WizardBounds
  readonly freshKey: boolean
  readonly paused: boolean
  /** Attempts under way. */
  readonly open: number
  /** Commands that wait for one. */
  readonly queued: number
  /** Another instance of our key was heard since we began to catch up. */
  readonly heard: boolean
  /** How long that one must be silent. */
  readonly silenceMs: number
}

export type WizardEvent =
  /** The roster in force names this key, or no longer does. */
  | { readonly type: "admit" }
  | { readonly type: "dismiss" }
  | { readonly type: "history-read" }
  | { readonly type: "listened" }
  /** A heartbeat of our key by another instance, dated after our own start. */
  | { readonly type: "hear"; readonly intervalMs?: number }
  | { readonly type: "silence" }
  /** A person says that this instance is the one. */
  | { readonly type: "claim" }
  /** What the store counts after a commit. */
  | { readonly type: "tally"; readonly open: number; readonly queued: number; readonly paused: boolean }
  | { readonly type: "drain" }
  /** The drain's time is over. */
  | { readonly type: "drained" }
  /** The doing half met a broken invariant; it fails where its supervisor sees it. */
  | { readonly type: "crash"; readonly reason: string }

export type WizardTimer = "history" | "listen" | "silence"

/** What it wants from the world, as data. */
export type WizardIntent =
  | { readonly type: "arm"; readonly params: { timer: WizardTimer; ms: number } }
  | { readonly type: "disarm"; readonly params: { timer: WizardTimer } }
  /** Send a heartbeat now. */
  | { readonly type: "beat"; readonly params: undefined }
  /** Intake may commit commands from here on, or may not. */
  | { readonly type: "take-in"; readonly params: undefined }
  | { readonly type: "hold"; readonly params: undefined }
  /** Begin what is queued, as far as there is room. */
  | { readonly type: "pump"; readonly params: undefined }
  | { readonly type: "release"; readonly params: undefined }
  | { readonly type: "fail"; readonly params: { reason: string } }
  | { readonly type: "refuse"; readonly params: { event: string } }

type Params<T extends WizardIntent["type"]> = Extract<WizardIntent, { type: T }>["params"]
const intent =
  <T extends WizardIntent["type"]>() =>
  (_args: unknown, _params: Params<T>): void => {}

/** A live instance that misses three heartbeats is gone. */
const silentIntervals = 3

const states = setup({
  types: {
    context: {} as WizardContext,
    input: {} as WizardInput,
    events: {} as WizardEvent,
  },
  actions: {
    arm: intent<"arm">(),
    disarm: intent<"disarm">(),
    beat: intent<"beat">(),
    "take-in": intent<"take-in">(),
    hold: intent<"hold">(),
    pump: intent<"pump">(),
    release: intent<"release">(),
    fail: intent<"fail">(),
    refuse: intent<"refuse">(),
    counted: assign(({ event }) =>
      event.type === "tally" ? { open: event.open, queued: event.queued, paused: event.paused } : {},
    ),
    heard: assign(({ context, event }) =>
      event.type === "hear"
        ? { heard: true, silenceMs: silentIntervals * (event.intervalMs ?? context.bounds.heartbeatSeconds * 1000) }
        : {},
    ),
    unheard: assign({ heard: false }),
  },
  guards: {
    isFresh: ({ context }) => context.freshKey,
    wasHeard: ({ context }) => context.heard,
    isPaused: ({ context }) => context.paused,
    hasQueue: ({ context }) => context.queued > 0,
    hasOpen: ({ context }) => context.open > 0,
    endsLast: ({ event }) => event.type === "tally" && event.open === 0,
  },
})

export const machine = states.createMachine({
  id: "wizard",
  context: ({ input }) => ({
    ...input,
    open: 0,
    queued: 0,
    heard: false,
    silenceMs: silentIntervals * (input?.bounds.heartbeatSeconds ?? 0) * 1000,
  }),
  initial: "waiting",
  on: {
    // Every roster version that still names us says so.
    admit: {},
    dismiss: { target: ".waiting" },
    tally: { actions: "counted" },
    drain: { target: ".stopped" },
    crash: { actions: { type: "fail", params: ({ event }) => ({ reason: event.reason }) } },
    "*": { actions: { type: "refuse", params: ({ event }) => ({ event: event.type }) } },
  },
  states: {
    waiting: {
      entry: "unheard",
      // Whoever is alive now is listened for when there is a roster.
      on: { admit: "catching-up", dismiss: {}, hear: {} },
    },
    "catching-up": {
      entry: {
        type: "arm",
        params: ({ context }) => ({ timer: "history", ms: context.bounds.historyWaitSecondsMax * 1000 }),
      },
      exit: { type: "disarm", params: { timer: "history" } },
      on: {
        hear: { actions: "heard" },
        "history-read": [
          { guard: "wasHeard", target: "standby" },
          { guard: "isFresh", target: "ready" },
          { target: "listening" },
        ],
      },
    },
    listening: {
      // A live instance answers a heartbeat at once, so a short wait is enough.
      entry: [
        "beat",
        {
          type: "arm",
          params: ({ context }) => ({ timer: "listen", ms: context.bounds.instanceWaitSeconds * 1000 }),
        },
      ],
      exit: { type: "disarm", params: { timer: "listen" } },
      on: {
        hear: { target: "standby", actions: "heard" },
        listened: "ready",
        claim: { target: "ready", actions: "beat" },
      },
    },
    standby: {
      entry: { type: "arm", params: ({ context }) => ({ timer: "silence", ms: context.silenceMs }) },
      exit: { type: "disarm", params: { timer: "silence" } },
      on: {
        hear: { target: "standby", reenter: true, actions: "heard" },
        silence: "ready",
        claim: { target: "ready", actions: "beat" },
      },
    },
    ready: {
      entry: "take-in",
      exit: "hold",
      initial: "settling",
      on: {
        tally: { target: ".settling", actions: "counted" },
        // Answered at once, so that the newcomer learns of us.
        hear: { actions: "beat" },
        drain: [{ guard: "hasOpen", target: "draining" }, { target: "stopped" }],
      },
      states: {
        settling: {
          always: [
            { guard: "isPaused", target: "paused" },
            { guard: "hasQueue", target: "busy", actions: "pump" },
            { guard: "hasOpen", target: "busy" },
            { target: "idle" },
          ],
        },
        idle: {},
        busy: {},
        paused: {},
      },
    },
    draining: {
      on: {
        tally: [{ guard: "endsLast", target: "stopped", actions: "counted" }, { actions: "counted" }],
        drained: "stopped",
        hear: { actions: "beat" },
        // Its work is ended by whoever withdrew the authority; the drain goes on.
        dismiss: {},
        drain: { actions: { type: "refuse", params: { event: "drain" } } },
      },
    },
    stopped: { type: "final", entry: "release" },
  },
})
