/**
 * One connection of one identity to one relay: when to dial, when to wait and how long, when to give up.
 *
 *   idle ─► connecting ─► connected{ catching-up ⇄ authenticating, live } ─► backing-off ─► connecting
 *                                        └─► suspended (the relay said never) ─► connecting
 *
 * RC1 A socket is opened only on entering `connecting`, and let go before any other is opened and at the end.
 * RC2 A pause lies between `reconnectMsMin` and `min(reconnectMsMax, reconnectMsMin · 2^attempts)`.
 * RC3 `attempts` starts anew only after a connection that lived `reconnectStableSeconds`, or after `resume`.
 * RC4 `live` is reached only by a reading that was caught up with, and any new reading leaves it.
 * RC5 AUTH is tried `authTriesMax` times between two stable connections, then the relay is left alone.
 * RC6 `closed` is the end: nothing is asked for after it.
 */
import { assign, setup } from "xstate"

/** Raised when a state or event changes its meaning; live actors are never restored from a snapshot. */
export const version = 1

export interface RelayConnectionBounds {
  readonly reconnectMsMin: number
  readonly reconnectMsMax: number
  readonly reconnectStableSeconds: number
  readonly suspendSeconds: number
  readonly authTriesMax: number
}

export interface RelayConnectionContext {
  readonly bounds: RelayConnectionBounds
  /** Connections lost or failed since the last stable one. */
  readonly attempts: number
  readonly authTries: number
  readonly pauseMs: number
  readonly lastError: string | null
}

export type RelayConnectionEvent =
  | { readonly type: "connect" }
  | { readonly type: "opened" }
  /** The relay demands AUTH (NIP-42) and has given a challenge, perhaps another one than before. */
  | { readonly type: "challenged" }
  | { readonly type: "authenticated" }
  | { readonly type: "auth-refused"; readonly reason: string; readonly chance: number }
  | { readonly type: "caught-up" }
  /** The list of subscriptions changed, or one has to be read again. */
  | { readonly type: "resubscribe" }
  /** `chance` is in [0, 1), `stableMs` how long the connection was open. */
  | {
      readonly type: "dropped"
      readonly code: number
      readonly reason: string
      readonly chance: number
      readonly stableMs: number
    }
  | { readonly type: "retry" }
  | { readonly type: "suspend"; readonly reason: string }
  | { readonly type: "resume" }
  | { readonly type: "close" }
  /** The doing half met a broken invariant; it fails where its supervisor sees it. */
  | { readonly type: "crash"; readonly reason: string }

export type RelayConnectionTimer = "retry" | "resume"

/** What it wants from the world, as data. */
export type RelayConnectionIntent =
  | { readonly type: "open"; readonly params: undefined }
  /** Let go of the socket, whatever its state; what was in flight is undelivered. */
  | { readonly type: "shut"; readonly params: undefined }
  | { readonly type: "authenticate"; readonly params: undefined }
  /** Ask for every subscription that is not being read, in order. */
  | { readonly type: "read"; readonly params: undefined }
  | { readonly type: "arm"; readonly params: { timer: RelayConnectionTimer; ms: number } }
  | { readonly type: "disarm"; readonly params: { timer: RelayConnectionTimer } }
  | { readonly type: "fail"; readonly params: { reason: string } }
  | { readonly type: "refuse"; readonly params: { event: string } }

type Params<T extends RelayConnectionIntent["type"]> = Extract<RelayConnectionIntent, { type: T }>["params"]
const intent =
  <T extends RelayConnectionIntent["type"]>() =>
  (_args: unknown, _params: Params<T>): void => {}

/** Full jitter: anywhere between the least and twice as much for each failure, up to the most. */
const pauseMs = (bounds: RelayConnectionBounds, attempts: number, chance: number): number => {
  const { reconnectMsMin: least, reconnectMsMax: most } = bounds
  const ceiling = Math.max(least, Math.min(most, least * 2 ** Math.min(attempts, 52)))
  return Math.floor(least + chance * (ceiling - least))
}

const failure = (context: RelayConnectionContext, attempts: number, chance: number, lastError: string) => ({
  attempts,
  lastError,
  pauseMs: pauseMs(context.bounds, attempts, chance),
})

const connection = setup({
  types: {
    context: {} as RelayConnectionContext,
    input: {} as RelayConnectionBounds,
    events: {} as RelayConnectionEvent,
  },
  actions: {
    open: intent<"open">(),
    shut: intent<"shut">(),
    authenticate: intent<"authenticate">(),
    read: intent<"read">(),
    arm: intent<"arm">(),
    disarm: intent<"disarm">(),
    fail: intent<"fail">(),
    refuse: intent<"refuse">(),
    failed: assign(({ context, event }) => {
      if (event.type === "auth-refused") return failure(context, context.attempts + 1, event.chance, event.reason)
      if (event.type !== "dropped") return {}
      const stable = event.stableMs >= context.bounds.reconnectStableSeconds * 1000
      const attempts = stable ? 1 : context.attempts + 1
      const reason = event.reason === "" ? `closed with ${event.code}` : event.reason
      return { ...failure(context, attempts, event.chance, reason), ...(stable ? { authTries: 0 } : {}) }
    }),
    tried: assign({ authTries: ({ context }) => context.authTries + 1 }),
    renewed: assign({ attempts: 0, authTries: 0 }),
    noted: assign(({ event }) => (event.type === "suspend" ? { lastError: event.reason } : {})),
    givenUp: assign(({ event }) => ({
      lastError: event.type === "auth-refused" ? event.reason : "the relay demands AUTH again and again",
    })),
  },
  guards: {
    mayAuthenticate: ({ context }) => context.authTries < context.bounds.authTriesMax,
  },
})

export const machine = connection.createMachine({
  id: "relay-connection",
  context: ({ input }) => ({ bounds: input, attempts: 0, authTries: 0, pauseMs: 0, lastError: null }),
  initial: "idle",
  on: {
    close: { target: ".closed" },
    crash: { actions: { type: "fail", params: ({ event }) => ({ reason: event.reason }) } },
    // What is subscribed to is read when a connection opens; until then a change needs nothing.
    resubscribe: {},
    // What was being taken when the connection was lost may end after it.
    "caught-up": {},
    "*": { actions: { type: "refuse", params: ({ event }) => ({ event: event.type }) } },
  },
  states: {
    idle: { on: { connect: "connecting" } },
    connecting: {
      entry: "open",
      on: { opened: "connected", dropped: { target: "backing-off", actions: "failed" } },
    },
    connected: {
      initial: "catching-up",
      on: {
        dropped: { target: "backing-off", actions: "failed" },
        suspend: { target: "suspended", actions: "noted" },
        challenged: [
          { guard: "mayAuthenticate", target: ".authenticating", actions: "tried" },
          { target: "suspended", actions: "givenUp" },
        ],
        resubscribe: { target: ".catching-up" },
      },
      states: {
        "catching-up": { entry: "read", on: { "caught-up": "live" } },
        authenticating: {
          entry: "authenticate",
          on: {
            authenticated: "catching-up",
            "auth-refused": [
              { guard: "mayAuthenticate", target: "#relay-connection.backing-off", actions: "failed" },
              { target: "#relay-connection.suspended", actions: "givenUp" },
            ],
            // Read after AUTH in any case.
            resubscribe: {},
          },
        },
        live: {},
      },
    },
    "backing-off": {
      entry: ["shut", { type: "arm", params: ({ context }) => ({ timer: "retry", ms: context.pauseMs }) }],
      exit: { type: "disarm", params: { timer: "retry" } },
      on: { retry: "connecting" },
    },
    suspended: {
      entry: [
        "shut",
        { type: "arm", params: ({ context }) => ({ timer: "resume", ms: context.bounds.suspendSeconds * 1000 }) },
      ],
      exit: { type: "disarm", params: { timer: "resume" } },
      on: {
        resume: { target: "connecting", actions: "renewed" },
        resubscribe: { target: "connecting", actions: "renewed" },
      },
    },
    closed: { type: "final", entry: "shut" },
  },
})
