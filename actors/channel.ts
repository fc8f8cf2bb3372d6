/** The doing half of `machines/channel.ts`: tells whoever asked whether a message counts. It holds no timers. */
import { createActor, type AnyActor } from "xstate"
import { machine, type ChannelBounds } from "../machines/channel.ts"

export interface ChannelDeps {
  readonly limits: ChannelBounds
  /** The id of the message's event. */
  readonly accepted: (message: string) => void
  /** `message` is null where a definition was refused. */
  readonly refused: (message: string | null, reason: string) => void
}

export interface ChannelReport {
  readonly state: "unknown" | "open" | "archived"
  /** Id of its kind 40, where it has one. */
  readonly id: string | null
  readonly members: readonly string[]
}

export interface ChannelActor {
  readonly actor: AnyActor
  readonly define: (id: string | null, members: readonly string[]) => void
  readonly archive: () => void
  /** Answered by `accepted` or `refused` before it returns. */
  readonly message: (author: string, message: string) => void
  readonly status: () => ChannelReport
  readonly close: () => Promise<void>
}

export const runChannel = (deps: ChannelDeps): ChannelActor => {
  const actor = createActor(
    machine.provide({
      actions: {
        accept: (_, { message }) => deps.accepted(message),
        refuse: (_, { message, reason }) => deps.refused(message, reason),
      },
    }),
    { input: deps.limits },
  )
  // A callback that throws fails this actor, not the process; whoever supervises it hears of it.
  actor.subscribe({ error: () => {} })
  actor.start()
  return {
    actor,
    define: (id, members) => actor.send({ type: "define", id, members }),
    archive: () => actor.send({ type: "archive" }),
    message: (author, message) => actor.send({ type: "message", author, message }),
    status: () => {
      const { value, context } = actor.getSnapshot()
      return { state: value, id: context.id, members: context.members }
    },
    close: async () => {
      actor.stop()
    },
  }
}
