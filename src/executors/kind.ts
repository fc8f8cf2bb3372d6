/**
 * A kind of executor: its settings (a role's `settings` in the config file) and how one is made of them for a wizard.
 * What a made one needs of the machine is in its host; what it holds (a server, say) lives as long as its scope.
 */
import { Effect, Schema, type Scope } from "effect"
import type { Limits } from "../limits.ts"
import type { ChanceShape } from "../services/chance.ts"
import type { ClockShape } from "../services/clock.ts"
import type { Executor } from "./executor.ts"

export interface ExecutorHost {
  readonly wizard: string
  /** Folders: what runs (`guarded.ts`), whole outputs, and what an executor itself keeps between attempts. */
  readonly guards: string
  readonly outputs: string
  readonly state: string
  readonly clock: ClockShape
  readonly chance: ChanceShape
  readonly limits: Limits
  /** The runtime's own environment; executors hand on only what their settings name. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly warn: (message: string) => void
}

/** Such an executor cannot be had here: its settings are wrong, or something of the machine is missing. Says what to do. */
export class ExecutorRefused extends Schema.TaggedError<ExecutorRefused>()("ExecutorRefused", {
  reason: Schema.String,
}) {
  override get message(): string {
    return this.reason
  }
}

export interface ExecutorKind {
  readonly make: (settings: unknown, host: ExecutorHost) => Effect.Effect<Executor, ExecutorRefused, Scope.Scope>
}

/** A kind whose settings are read by `schema`. */
export const kindOf = <A>(
  name: string,
  schema: Schema.Codec<A, unknown>,
  make: (settings: A, host: ExecutorHost) => Effect.Effect<Executor, ExecutorRefused, Scope.Scope>,
): ExecutorKind => ({
  make: (given, host) =>
    Schema.decodeUnknownEffect(schema)(given ?? {}, { onExcessProperty: "error", errors: "all" }).pipe(
      Effect.mapError(
        (error) =>
          new ExecutorRefused({
            reason: `${host.wizard}: the settings of its executor ${name} do not fit: ${error.message.replaceAll(/\s+/g, " ")}`,
          }),
      ),
      Effect.flatMap((settings) => make(settings, host)),
    ),
})

/** One that needs no settings and is the same everywhere. */
export const always = (executor: Executor): ExecutorKind =>
  kindOf(executor.name, Schema.Struct({}), () => Effect.succeed(executor))
