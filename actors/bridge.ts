/**
 * The one seam between Effect and XState: a fiber owns a live actor.
 *
 * B1 An actor that errors fails its fiber with `ActorFailed`; it never reaches the process (an XState actor without an
 *    error observer rethrows and kills it), so the observer stays on for the actor's whole life.
 * B2 An actor that is done ends its fiber.
 * B3 However the fiber ends, what the actor holds is released before its scope is closed.
 */
import { Effect, Schema, type Scope } from "effect"
import type { AnyActor } from "xstate"

export class ActorFailed extends Schema.TaggedError<ActorFailed>()("ActorFailed", {
  actor: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `${this.actor} failed: ${this.reason}`
  }
}

/** A started actor, and how to end it with everything it holds. `close` may be called in any state, and twice. */
export interface LiveActor {
  readonly actor: AnyActor
  readonly close: () => Promise<void>
}

/** Starts the actor and lives as long as it does. `start` is called anew at each restart. */
export const superviseActor = (name: string, start: () => LiveActor): Effect.Effect<void, ActorFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({ try: start, catch: (error) => new ActorFailed({ actor: name, reason: reasonOf(error) }) }),
    (live) => Effect.promise(live.close),
  ).pipe(
    Effect.flatMap((live) =>
      Effect.callback<void, ActorFailed>((resume) => {
        live.actor.subscribe({
          error: (error) => resume(Effect.fail(new ActorFailed({ actor: name, reason: reasonOf(error) }))),
          complete: () => resume(Effect.void),
        })
      }),
    ),
  )

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
