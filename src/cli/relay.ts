/** `runtime relay serve`: the embedded relay alone. */
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { openSignatures } from "../identity/signature-pool.ts"
import { serveRelay } from "../relay/relay.ts"
import { limits } from "../limits.ts"
import { systemClock } from "../services/clock.ts"
import { print, say } from "./exit.ts"
import { untilSignal } from "./signal.ts"
import { portFlag } from "./flags.ts"

const serve = Command.make(
  "serve",
  {
    host: Flag.String("host").pipe(
      Flag.withDescription("the address to listen on (default 127.0.0.1)"),
      Flag.withDefault("127.0.0.1"),
    ),
    port: portFlag("port", "0 takes any free one (default 3334)").pipe(Flag.withDefault(3334)),
    db: Flag.String("db").pipe(
      Flag.withDescription("the database file (default relay.db)"),
      Flag.withDefault("relay.db"),
    ),
  },
  ({ host, port, db }) =>
    Effect.scoped(
      Effect.gen(function* () {
        const signatures = yield* Effect.acquireRelease(
          Effect.promise(() => openSignatures()),
          (opened) => Effect.promise(opened.close),
        )
        const broken = Promise.withResolvers<Error>()
        const server = yield* Effect.acquireRelease(
          Effect.tryPromise({
            try: () =>
              serveRelay({
                host,
                port,
                file: db,
                verifier: signatures.verifier,
                clock: systemClock,
                limits,
                onBroken: broken.resolve,
              }),
            catch: (error) => error,
          }),
          (opened) => Effect.promise(opened.close),
        )
        print(`relay ${server.url}  ${db}  (signatures: ${signatures.backend})`)
        yield* Effect.raceFirst(untilSignal, Effect.promise(() => broken.promise).pipe(Effect.flatMap(Effect.fail)))
        say("stopping")
      }),
    ),
).pipe(Command.withDescription("serve a relay"))

export const relay = Command.make("relay").pipe(
  Command.withDescription("the embedded relay"),
  Command.withSubcommands([serve]),
)
