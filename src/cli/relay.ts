/** `runtime relay serve`: the embedded relay alone. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { parsePublicKey } from "../identity/keys.ts"
import { openSignatures } from "../identity/signature-pool.ts"
import { limits } from "../limits.ts"
import { isLoopback, isPrivate } from "../relay/addresses.ts"
import { readRelayConfig, type RelayConfig } from "../relay/config.ts"
import { serveRelay } from "../relay/relay.ts"
import { rulesAt } from "../relay/rules.ts"
import { systemClock } from "../services/clock.ts"
import { exit, print, say } from "./exit.ts"
import { portFlag, relayUrl } from "./flags.ts"
import { untilSignal } from "./signal.ts"

const serve = Command.make(
  "serve",
  {
    host: Flag.String("host").pipe(
      Flag.withDescription("the address to listen on (default 127.0.0.1; 0.0.0.0 for all)"),
      Flag.withDefault("127.0.0.1"),
    ),
    port: portFlag("port", "0 takes any free one (default 3334)").pipe(Flag.withDefault(3334)),
    url: Flag.String("url").pipe(
      Flag.withDescription("the address by which others reach it, wss://…; repeatable"),
      Flag.atLeast(0),
    ),
    db: Flag.String("db").pipe(
      Flag.withDescription("the database file (default relay.db)"),
      Flag.withDefault("relay.db"),
    ),
    council: Flag.String("council").pipe(
      Flag.withDescription("the council's public key: its members are served, and it manages the relay"),
      Flag.optional,
    ),
    durability: Flag.Literals("durability", ["full", "normal"]).pipe(
      Flag.withDescription(
        "normal: OK does not wait for the disk; a power cut may lose the last seconds (default full)",
      ),
      Flag.withDefault("full" as const),
    ),
    config: Flag.String("config").pipe(
      Flag.withDescription("a JSON file: write, read, allowed, kinds, powBitsMin, limits …"),
      Flag.optional,
    ),
  },
  ({ host, port, url, db, council: given, durability, config: file }) =>
    Effect.scoped(
      Effect.gen(function* () {
        const config = Option.match(file, { onNone: () => noConfig, onSome: readRelayConfig })
        const urls = [...new Set([...url, ...config.urls].map(relayUrl))]
        const council = Option.match(given, { onNone: () => config.council, onSome: parsePublicKey })
        const rules = rulesAt(host, urls, config.rules)
        if (council === undefined && (rules.write === "members" || rules.read === "members"))
          return yield* Effect.fail(exit("usage", whoseMembers(isPrivate(host, urls))))
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
                limits: config.limits,
                urls,
                council,
                rules: config.rules,
                durability,
                onBroken: broken.resolve,
              }),
            catch: (error) => error,
          }),
          (opened) => Effect.promise(opened.close),
        )
        print(`relay ${server.url}  ${db}  (signatures: ${signatures.backend})`)
        for (const each of urls) print(`      ${each}`)
        print(`      writing: ${rules.write}, reading: ${rules.read}`)
        if (!isLoopback(host) && urls.length === 0)
          say("! no --url: clients elsewhere cannot authenticate, as they must name this relay's address")
        yield* Effect.raceFirst(untilSignal, Effect.promise(() => broken.promise).pipe(Effect.flatMap(Effect.fail)))
        say("stopping")
      }),
    ),
).pipe(Command.withDescription("serve a relay"))

const noConfig: RelayConfig = { urls: [], council: undefined, rules: {}, limits }

const whoseMembers = (isOwn: boolean): string =>
  `${isOwn ? "the config serves members" : "a relay that others reach serves the council's members"}: say whose, with --council npub1…, ` +
  'or open it with --config FILE ({"write":"open","read":"open"})'

export const relay = Command.make("relay").pipe(
  Command.withDescription("the embedded relay"),
  Command.withSubcommands([serve]),
)
