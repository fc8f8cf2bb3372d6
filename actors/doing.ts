/**
 * What a live actor does, by actor. A machine is provided with its actions once and shared: `provide` builds every state
 * node anew, which for a thousand actors is most of the memory that they take.
 */
import type { AnyActorRef } from "xstate"

export interface Doings<Doing> {
  /** What that actor does. */
  readonly of: (self: AnyActorRef) => Doing
  /** To be called before the actor is started. */
  readonly give: (actor: AnyActorRef, doing: Doing) => void
}

export const doings = <Doing extends object>(): Doings<Doing> => {
  const given = new WeakMap<AnyActorRef, Doing>()
  return {
    of: (self) => {
      const doing = given.get(self)
      if (doing === undefined) throw new Error("an actor was started before it was given what it does")
      return doing
    },
    give: (actor, doing) => void given.set(actor, doing),
  }
}
