/**
 * One channel of the roster: whose messages count in it. It keeps no messages.
 *
 *   unknown ─► open ⇄ archived
 *
 * CH1 A message is accepted only in `open`, and only by a member of the definition in force.
 * CH2 Every message is answered by exactly one intent: accept, or refuse with the reason.
 * CH3 The members held never number more than `channelMembersMax`; a longer list changes nothing.
 */
import { assign, setup } from "xstate"

/** Raised when a state or event changes its meaning; live actors are never restored from a snapshot. */
export const version = 1

export interface ChannelBounds {
  readonly channelMembersMax: number
}

export interface ChannelContext {
  readonly bounds: ChannelBounds
  /** The id of its kind 40, where it has one (NIP-28). */
  readonly id: string | null
  /** Public keys. */
  readonly members: readonly string[]
}

export type ChannelEvent =
  /** What the roster in force says; it opens an archived channel again. */
  | { readonly type: "define"; readonly id: string | null; readonly members: readonly string[] }
  /** The roster in force no longer names it. */
  | { readonly type: "archive" }
  | { readonly type: "message"; readonly author: string; readonly message: string }

/** What it wants from the world, as data. `message` is the event's id; null where an event of another type was refused. */
export type ChannelIntent =
  | { readonly type: "accept"; readonly params: { message: string } }
  | { readonly type: "refuse"; readonly params: { event: string; message: string | null; reason: string } }

type Params<T extends ChannelIntent["type"]> = Extract<ChannelIntent, { type: T }>["params"]
const intent =
  <T extends ChannelIntent["type"]>() =>
  (_args: unknown, _params: Params<T>): void => {}

const states = setup({
  types: {
    context: {} as ChannelContext,
    input: {} as ChannelBounds,
    events: {} as ChannelEvent,
  },
  actions: {
    accept: intent<"accept">(),
    refuse: intent<"refuse">(),
    defined: assign(({ event }) => (event.type === "define" ? { id: event.id, members: event.members } : {})),
  },
  guards: {
    fits: ({ context, event }) => event.type === "define" && event.members.length <= context.bounds.channelMembersMax,
    isMember: ({ context, event }) => event.type === "message" && context.members.includes(event.author),
  },
})

const refusal = (event: ChannelEvent, reason: string) => ({
  event: event.type,
  message: event.type === "message" ? event.message : null,
  reason,
})

export const machine = states.createMachine({
  id: "channel",
  context: ({ input }) => ({ bounds: input, id: null, members: [] }),
  initial: "unknown",
  on: {
    define: [
      { guard: "fits", target: ".open", actions: "defined" },
      { actions: { type: "refuse", params: ({ event }) => refusal(event, "more members than this runtime holds") } },
    ],
    "*": { actions: { type: "refuse", params: ({ event }) => refusal(event, "no such channel in the roster") } },
  },
  states: {
    unknown: {},
    open: {
      on: {
        archive: "archived",
        message: [
          {
            guard: "isMember",
            actions: {
              type: "accept",
              params: ({ event }) => ({ message: event.message }),
            },
          },
          { actions: { type: "refuse", params: ({ event }) => refusal(event, "not a member of this channel") } },
        ],
      },
    },
    archived: {
      on: {
        archive: {},
        message: { actions: { type: "refuse", params: ({ event }) => refusal(event, "the channel is archived") } },
      },
    },
  },
})
