/**
 * The runtime, put together: what `runtime start` runs, and what tests run in their own process.
 *
 *   lock ─► store ─► engine ─► relay (embedded) ─► council ─► wizards, each with its relay connections
 */
import { Effect, type Scope } from "effect"
import { openAlarms } from "../engine/alarms.ts"
import { commandKind, commandProjection } from "../engine/commands.ts"
import { openEngine, type EngineShape } from "../engine/engine.ts"
import { upgradeActors } from "../engine/upgrade.ts"
import { openChecks } from "../executors/checks.ts"
import { sweepGuards } from "../executors/guarded.ts"
import type { ExecutorHost } from "../executors/kind.ts"
import { isOperator } from "../protocol/roster.ts"
import { openPublisher } from "../publish/publisher.ts"
import { SignaturePool } from "../identity/signature-pool.ts"
import { Verifier } from "../identity/verifier.ts"
import { serveRelay } from "../relay/relay.ts"
import { Chance } from "../services/chance.ts"
import { Clock, type ClockShape } from "../services/clock.ts"
import { Socket } from "../services/socket.ts"
import type { Limits } from "../limits.ts"
import { takeLock } from "../store/lock.ts"
import { openStore, Store, type StoreShape } from "../store/store.ts"
import { answers } from "./answers.ts"
import { serveControl } from "./control.ts"
import { handlersOf } from "./handlers.ts"
import { makeHome } from "./home.ts"
import { pinCouncil, readIdentities, settleRoster } from "./identities.ts"
import type { RuntimeOptions } from "./options.ts"
import { openOutgoing } from "./outgoing.ts"
import { openRelayLists } from "./relay-lists.ts"
import { openRelays, relaysAtStart, type Relays } from "./relays.ts"
import { openRosterReaders } from "./roster-readers.ts"
import { openRosterKeeper, type RosterKeeper } from "./roster-keeper.ts"
import type { SupervisorTree } from "./supervisor.ts"
import { treeOf } from "./tree.ts"
import { openWizard, type WizardHost } from "./wizard.ts"

export interface Runtime {
  readonly wizards: readonly WizardHost[]
  readonly rosters: RosterKeeper
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly relays: Relays
  readonly embedded: boolean
  /** Whether the council's secret is kept here, and which operator key was made here, if one was. */
  readonly keepsCouncil: boolean
  readonly operator: () => { readonly pubkey: string; readonly created: boolean } | undefined
  readonly counts: () => Readonly<Record<string, number>>
  readonly tree: () => SupervisorTree
  /** Lives as long as the runtime; fails where it cannot go on. */
  readonly run: Effect.Effect<void, unknown>
  /** Takes nothing new and waits for what runs, up to the drain's time. */
  readonly drain: () => Promise<void>
  /** How many attempts are under way. */
  readonly working: () => number
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
    const socket = yield* Socket
    const signatures = yield* SignaturePool
    const verifier = yield* Verifier
    const store = yield* Store
    const startedMs = clock.nowMs()
    const identities = readIdentities(options, store, signatures)
    const rosterOf = (): RosterKeeper => rosters
    const instance = chance.hex(8)
    const projection = commandProjection({
      store,
      limits,
      pubkeyOf: (wizard) => identities.wizards.find(({ name }) => name === wizard)?.signer.pubkey ?? "",
      mayCommand: (author) => {
        const roster = rosterOf().inForce()
        return roster !== undefined && isOperator(roster, author)
      },
      rosterVersion: () => rosterOf().inForce()?.version ?? 0,
      instance,
      answers: answers(limits),
    })
    const kinds = { command: commandKind }
    yield* Effect.tryPromise({
      try: () => upgradeActors(store, kinds, `${home.database}.before-${startedMs}`),
      catch: (error) => error,
    })
    const engine = yield* hold(
      () => openEngine({ store, clock, limits, kinds, projections: { command: projection } }),
      (opened) => opened.stop(),
    )
    const { council } = identities
    const embedded = options.relays.length === 0
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
    const first = embedded
      ? yield* Effect.acquireRelease(
          Effect.tryPromise({ try: () => openRelay(options.relayPort, broken.resolve), catch: (error) => error }),
          (server) => Effect.promise(server.close),
        )
      : undefined
    const relays = relaysAtStart(store, options.relays, first?.url, warn)
    const rosters = openRosterKeeper({
      council: council.pubkey,
      signer: council.signer,
      fresh: council.fresh,
      relays,
      engine,
      store,
      clock,
      warn,
    })
    yield* Effect.promise(() => engine.write(() => store.setting.put("runtime", "council", council.pubkey)))
    pinCouncil(home, council.pubkey)
    yield* Effect.promise(() => engine.write(() => store.setting.put("runtime", "relays", JSON.stringify(relays))))
    const publisher = yield* hold(
      () => openPublisher({ engine, store, clock, limits, warn }),
      (opened) => opened.close(),
    )
    const counts = new Map<string, number>()
    const wizards: WizardHost[] = []
    const outgoing = openOutgoing({ home, clock, limits, warn, wizards })
    yield* Effect.addFinalizer(() => Effect.sync(outgoing.close))
    const readers = openRosterReaders()
    const relayLists = openRelayLists({ roster: rosters.inForce, engine, store, clock, limits })
    const host = { guards: home.guards, outputs: home.outputs, env: process.env, clock, chance, limits, warn }
    // Nothing of an earlier life may still be at work when what it left is taken up (P31).
    yield* sweepGuards(host)
    for (const { name, className, signer, fresh, executor: kind, settings, checks } of identities.wizards) {
      publisher.open(name, signer, relays)
      const executorHost: ExecutorHost = { ...host, wizard: name, state: `${home.executors}/${name}` }
      const executor = yield* kind.make(settings, executorHost)
      const check = checks === undefined ? undefined : yield* openChecks(checks, executorHost)
      const wizard = yield* openWizard({
        name,
        className,
        signer,
        freshKey: fresh,
        executor,
        check,
        relays,
        home,
        instance,
        engine,
        store,
        commands: projection,
        publisher,
        rosters,
        readers,
        relayLists,
        verifier,
        clock,
        chance,
        socket,
        limits,
        startedMs,
        warn,
        count: (reason) => void counts.set(reason, (counts.get(reason) ?? 0) + 1),
        reached: outgoing.nudge,
      })
      yield* Effect.addFinalizer(() => Effect.sync(wizard.close))
      wizards.push(wizard)
    }
    // Nothing is due before its wizard knows its own past: a relay may tell that it ended (P25).
    const may = (actor: string): boolean => wizards.some(({ name, acts }) => actor.endsWith(`/${name}`) && acts())
    yield* hold(
      () => openAlarms({ engine, store, clock, kinds, may }),
      (alarms) => alarms.close(),
    )
    const tree = treeOf({
      limits,
      clock,
      warn,
      engine,
      store,
      wizards,
      rosters,
      relay:
        first === undefined
          ? undefined
          : { first, broken: broken.promise, again: (onBroken) => openRelay(first.port, onBroken) },
    })
    const relayKeeper = openRelays({
      relays,
      embedded: first?.url,
      wizards,
      supervisorOf: tree.wizard,
      publisher,
      rosters,
      engine,
      store,
      clock,
      limits,
    })
    yield* Effect.promise(() => settleRoster(options, identities, rosters, clock)).pipe(
      Effect.catchDefect((error) => Effect.sync(() => warn((error as Error).message))),
      Effect.forkScoped,
    )
    const sweeping = sweepSeen(engine, store, clock, limits)
    yield* Effect.addFinalizer(() => Effect.sync(sweeping.close))
    const runtime: Runtime = {
      wizards,
      rosters,
      engine,
      store,
      relays: relayKeeper,
      embedded,
      keepsCouncil: council.signer !== undefined,
      operator: identities.operator.held,
      counts: () => Object.fromEntries(counts),
      tree: tree.tree,
      run: Effect.raceFirst(tree.run, Effect.promise(() => engine.failed).pipe(Effect.flatMap(Effect.fail))),
      drain: async () => {
        await Promise.all(wizards.map((wizard) => wizard.drain()))
        await Promise.all(
          wizards.map((wizard) => farewell(wizard, engine, () => publisher.backlog(wizard.name), clock, limits)),
        )
      },
      working: () => store.attempt.allOpen().length,
    }
    yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: () => serveControl(home.control, handlersOf(runtime, publisher, outgoing.nudge), limits.controlBytesMax),
        catch: (error) => error,
      }),
      (control) => Effect.promise(control.close),
    )
    return runtime
  })

const hold = <A>(open: () => A, close: (opened: A) => void | Promise<void>) =>
  Effect.acquireRelease(Effect.try({ try: open, catch: (error) => error }), (opened) =>
    Effect.promise(async () => close(opened)),
  )

/** Ids stay in `seen` longer than any command may be old, not for ever: strangers write as many as they like. */
const sweepSeen = (engine: EngineShape, store: StoreShape, clock: ClockShape, limits: Limits) => {
  let cancel = (): void => {}
  const sweep = (): void => {
    cancel = clock.after(limits.sweepSeconds * 1000, sweep, { unref: true })
    // What is not swept now is swept the next time.
    void engine.write(() => store.seen.sweep(clock.nowMs() - limits.seenSecondsMax * 1000)).catch(() => undefined)
  }
  sweep()
  return { close: () => cancel() }
}

/** What was said last still goes out, where a relay is there to take it. */
const farewell = (
  wizard: WizardHost,
  engine: EngineShape,
  backlog: () => number,
  clock: ClockShape,
  limits: Pick<Limits, "farewellMsMax">,
): Promise<void> =>
  new Promise((resolve) => {
    const look = (): void => {
      const isReached = wizard.relays().some(({ state }) => state === "live" || state === "catching-up")
      if (isReached && backlog() > 0) return
      end()
    }
    const end = (): void => {
      cancel()
      unwatch()
      resolve()
    }
    const cancel = clock.after(limits.farewellMsMax, end)
    const unwatch = engine.watch(look)
    look()
  })
