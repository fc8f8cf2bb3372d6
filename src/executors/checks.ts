/**
 * Checks that a role demands: commands that must exit 0 in the clone before its commit is believed. They run what the
 * executor wrote, so they are confined as a program is.
 */
import { Effect, Schema } from "effect"
import { ExecutorFailed } from "./executor.ts"
import type { ExecutorHost, ExecutorRefused } from "./kind.ts"
import { endOf, runProgram } from "./run-program.ts"
import { confinementFields, openSandbox } from "./sandbox.ts"
import { withTimers } from "./timers.ts"

export const ChecksSettings = Schema.Struct({
  ...confinementFields,
  /** Each an argv. */
  commands: Schema.NonEmptyArray(Schema.NonEmptyArray(Schema.String)),
  /** For each of them. */
  seconds: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThan(0))),
})
export type ChecksSettings = typeof ChecksSettings.Type

/** Runs them in that folder, one after the other; fails as `unverified` with what the first failing one said. */
export type Check = (folder: string, label: string) => Effect.Effect<void, ExecutorFailed>

export const openChecks = (settings: ChecksSettings, host: ExecutorHost): Effect.Effect<Check, ExecutorRefused> =>
  Effect.map(
    openSandbox(settings, host),
    (sandbox) => (folder, label) =>
      Effect.forEach(
        settings.commands,
        (argv) => {
          const name = argv.join(" ")
          const seconds = settings.seconds ?? host.limits.executorSecondsMax
          const timers = { coldSeconds: seconds, quietSeconds: seconds, totalSeconds: seconds }
          const run = sandbox
            .confine(argv, folder)
            .pipe(Effect.flatMap((program) => runProgram(program, host, { label: `${label}-check` })))
          return withTimers(timers, host.clock, `the check \`${name}\``, () => run).pipe(
            Effect.flatMap((ran) =>
              ran.exitCode === 0
                ? Effect.void
                : new ExecutorFailed({ kind: "unverified", reason: `unverified: the check \`${name}\` ${endOf(ran)}` }),
            ),
          )
        },
        { discard: true },
      ),
  )
