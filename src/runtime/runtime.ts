/**
 * The runtime in its home: what `runtime start` runs, and what tests run in their own process.
 *
 *   lock ─► store ─► keys ─► relay (embedded) ─► council ─► control socket
 */
import { Effect, type Scope } from "effect"
import { openChecks } from "../executors/checks.ts"
import { sweepGuards } from "../executors/guarded.ts"
import type { ExecutorHost } from "../executors/kind.ts"
import { SignaturePool } from "../identity/signature-pool.ts"
import { Verifier } from "../identity/verifier.ts"
import { serveRelay } from "../relay/relay.ts"
import { Chance } from "../services/chance.ts"
import { Clock } from "../services/clock.ts"
import { openRelayInformation } from "../services/relay-information.ts"
import type { Socket } from "../services/socket.ts"
import { takeLock } from "../store/lock.ts"
import { openStore, Store } from "../store/store.ts"
import { serveControl } from "./control.ts"
import { hold, openCouncil, type Council } from "./council.ts"
import { handlersOf } from "./handlers.ts"
import { makeHome } from "./home.ts"
import { pinCouncil, readIdentities, settleRoster } from "./identities.ts"
import type { RuntimeOptions } from "./options.ts"
import { openOutgoing } from "./outgoing.ts"

export interface Runtime extends Council {
  readonly embedded: boolean
  /** Whether the council's secret is kept here, and which operator key was made here, if one was. */
  readonly keepsCouncil: boolean
  readonly operator: () => { readonly pubkey: string; readonly created: boolean } | undefined
}

/** What a runtime takes from its context, beside the home's store. */
export type RuntimeServices = Clock | Chance | Socket | Verifier | SignaturePool

/** Fails, or dies, with errors whose message says what to do; then nothing is left open. */
export const openRuntime = (options: RuntimeOptions): Effect.Effect<Runtime, unknown, Scope.Scope | RuntimeServices> =>
  Effect.gen(function* () {
    const { home } = options
    const clock = yield* Clock
    makeHome(home)
    yield* hold(
      () => takeLock(home.dir, clock),
      (lock) => lock.release(),
    )
    const store = yield* hold(
      () => openStore(home.database),
      (opened) => opened.database.close(),
    )
    return yield* runtimeOver(options).pipe(Effect.provideService(Store, store))
  })

/** The same over a store that is open already. */
export const runtimeOver = (
  options: RuntimeOptions,
): Effect.Effect<Runtime, unknown, Scope.Scope | Store | RuntimeServices> =>
  Effect.gen(function* () {
    const { home, limits, warn } = options
    const clock = yield* Clock
    const chance = yield* Chance
    const signatures = yield* SignaturePool
    const verifier = yield* Verifier
    const store = yield* Store
    const identities = readIdentities(options, store, signatures)
    const { council, wizards } = identities
    const openRelay = (port: number, onBroken?: (error: Error) => void) =>
      serveRelay({
        port,
        file: home.relayDatabase,
        verifier,
        clock,
        chance,
        limits,
        council: council.pubkey,
        ...(onBroken !== undefined && { onBroken }),
      })
    const broken = Promise.withResolvers<Error>()
    // Closed here too: a start that fails further down has no tree yet that would do it.
    const first =
      options.relays.length === 0
        ? yield* Effect.acquireRelease(
            Effect.tryPromise({ try: () => openRelay(options.relayPort, broken.resolve), catch: (error) => error }),
            (server) => Effect.promise(server.close),
          )
        : undefined
    let nudge = (): void => {}
    const host = { guards: home.guards, outputs: home.outputs, env: process.env, clock, chance, limits, warn }
    // Nothing of an earlier life may still be at work when what it left is taken up (P31).
    yield* sweepGuards(host)
    const equipped = yield* Effect.forEach(wizards, ({ executor: kind, settings, checks, ...wizard }) =>
      Effect.gen(function* () {
        const executorHost: ExecutorHost = { ...host, wizard: wizard.name, state: `${home.executors}/${wizard.name}` }
        const executor = yield* kind.make(settings, executorHost)
        const check = checks === undefined ? undefined : yield* openChecks(checks, executorHost)
        return { ...wizard, executor, check }
      }),
    )
    const opened = yield* openCouncil({
      home,
      council,
      wizards: equipped,
      relays: options.relays,
      embedded: first && { first, broken: broken.promise, again: (onBroken) => openRelay(first.port, onBroken) },
      limits,
      warn,
      reached: () => nudge(),
      information: openRelayInformation({ clock, limits }),
    })
    pinCouncil(home, council.pubkey)
    const outgoing = openOutgoing({ home, clock, limits, warn, wizards: opened.wizards })
    nudge = outgoing.nudge
    yield* Effect.addFinalizer(() => Effect.sync(outgoing.close))
    yield* Effect.promise(() => settleRoster(options, identities, opened.rosters, clock)).pipe(
      Effect.catchDefect((error) => Effect.sync(() => warn((error as Error).message))),
      Effect.forkScoped,
    )
    const runtime: Runtime = {
      ...opened,
      embedded: first !== undefined,
      keepsCouncil: council.signer !== undefined,
      operator: identities.operator.held,
    }
    yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: () => serveControl(home.control, handlersOf(runtime, outgoing.nudge), limits.controlBytesMax),
        catch: (error) => error,
      }),
      (control) => Effect.promise(control.close),
    )
    return runtime
  })
