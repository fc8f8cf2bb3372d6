/**
 * What runs over a store that is open: the engine, the council's roster, the wizards with their relay connections, and
 * what tends them. It touches no file of the home and listens nowhere: `runtime.ts` puts it into a home, and the
 * simulated world into a world.
 *
 *   store ─► engine ─► roster keeper, publisher ─► wizards ─► tree
 */
import { Effect, type Scope } from "effect"
import { openAlarms } from "../engine/alarms.ts"
import { commandKind, commandProjection } from "../engine/commands.ts"
import { openEngine, type EngineShape } from "../engine/engine.ts"
import { upgradeActors } from "../engine/upgrade.ts"
import type { Check } from "../executors/checks.ts"
import type { Executor } from "../executors/executor.ts"
import type { Signer } from "../identity/signer.ts"
import { Verifier } from "../identity/verifier.ts"
import { mayGoOn } from "../intake/rights.ts"
import type { Limits } from "../limits.ts"
import { openPublisher, type Publisher } from "../publish/publisher.ts"
import { Chance } from "../services/chance.ts"
import { Clock, type ClockShape } from "../services/clock.ts"
import type { RelayInformationShape } from "../services/relay-information.ts"
import { Socket } from "../services/socket.ts"
import { Store, type StoreShape } from "../store/store.ts"
import { answers } from "./answers.ts"
import type { Home } from "./home.ts"
import { openRelayLists } from "./relay-lists.ts"
import { openRelays, relaysAtStart, type Relays } from "./relays.ts"
import { openRosterKeeper, type RosterKeeper } from "./roster-keeper.ts"
import { openRosterReaders } from "./roster-readers.ts"
import type { SupervisorTree } from "./supervisor.ts"
import { treeOf, type EmbeddedRelay } from "./tree.ts"
import { openWizard, type WizardHost } from "./wizard.ts"

export interface CouncilOptions {
  readonly home: Home
  /** `signer` where its secret is kept here; `fresh` where it was made by this very start. */
  readonly council: { readonly pubkey: string; readonly signer: Signer | undefined; readonly fresh: boolean }
  readonly wizards: readonly {
    readonly name: string
    readonly className: string
    readonly signer: Signer
    readonly fresh: boolean
    readonly executor: Executor
    /** What a result that is a commit must stand up to. */
    readonly check?: Check | undefined
  }[]
  /** Those that the start names. */
  readonly relays: readonly string[]
  readonly embedded: EmbeddedRelay | undefined
  readonly limits: Limits
  readonly warn: (message: string) => void
  /** A relay can be reached. */
  readonly reached: () => void
  /** What relays say of themselves; without it none says anything. */
  readonly information?: RelayInformationShape
}

export interface Council {
  /** Of this life, as its signs of life and receipts name it. */
  readonly instance: string
  readonly wizards: readonly WizardHost[]
  readonly rosters: RosterKeeper
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly publisher: Publisher
  readonly relays: Relays
  readonly counts: () => Readonly<Record<string, number>>
  readonly tree: () => SupervisorTree
  /** Lives as long as the process; fails where it cannot go on. */
  readonly run: Effect.Effect<void, unknown>
  /** Takes nothing new and waits for what runs, up to the drain's time. */
  readonly drain: () => Promise<void>
  /** How many attempts are under way. */
  readonly working: () => number
}

export const openCouncil = (
  options: CouncilOptions,
): Effect.Effect<Council, unknown, Scope.Scope | Store | Clock | Chance | Socket | Verifier> =>
  Effect.gen(function* () {
    const { home, council, embedded, limits, warn } = options
    const clock = yield* Clock
    const chance = yield* Chance
    const socket = yield* Socket
    const verifier = yield* Verifier
    const store = yield* Store
    const startedMs = clock.nowMs()
    const rosterOf = (): RosterKeeper => rosters
    const instance = chance.hex(8)
    const projection = commandProjection({
      store,
      limits,
      pubkeyOf: (wizard) => options.wizards.find(({ name }) => name === wizard)?.signer.pubkey ?? "",
      mayCommand: (author, _wizard, received) => {
        const roster = rosterOf().inForce()
        return roster !== undefined && mayGoOn(roster, author, received)
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
    const relays = relaysAtStart(store, options.relays, embedded?.first.url, warn)
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
    yield* Effect.promise(() =>
      engine.write(() => {
        store.setting.put("runtime", "council", council.pubkey)
        store.setting.put("runtime", "relays", JSON.stringify(relays))
        if (embedded === undefined) store.setting.remove("runtime", "embedded")
        else store.setting.put("runtime", "embedded", embedded.first.url)
      }),
    )
    const publisher = yield* hold(
      () => openPublisher({ engine, store, clock, limits, warn }),
      (opened) => opened.close(),
    )
    const counts = new Map<string, number>()
    const wizards: WizardHost[] = []
    const readers = openRosterReaders()
    const relayLists = openRelayLists({ roster: rosters.inForce, engine, store, clock, limits })
    for (const { name, className, signer, fresh, executor, check } of options.wizards) {
      publisher.open(name, signer, relays)
      const host = yield* openWizard({
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
        reached: options.reached,
        ...(options.information !== undefined && { information: options.information }),
      })
      yield* Effect.addFinalizer(() => Effect.sync(host.close))
      wizards.push(host)
    }
    // Nothing is due before its wizard knows its own past: a relay may tell that it ended (P25).
    const may = (actor: string): boolean => wizards.some(({ name, acts }) => actor.endsWith(`/${name}`) && acts())
    yield* hold(
      () => openAlarms({ engine, store, clock, kinds, may }),
      (alarms) => alarms.close(),
    )
    const tree = treeOf({ limits, clock, warn, engine, store, wizards, rosters, relay: embedded })
    const relayKeeper = openRelays({
      relays,
      embedded: embedded?.first.url,
      wizards,
      supervisorOf: tree.wizard,
      publisher,
      rosters,
      engine,
      store,
      clock,
      limits,
    })
    const sweeping = sweepSeen(engine, store, clock, limits)
    yield* Effect.addFinalizer(() => Effect.sync(sweeping.close))
    return {
      instance,
      wizards,
      rosters,
      engine,
      store,
      publisher,
      relays: relayKeeper,
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
  })

/** What opens it may throw; closed with the scope. */
export const hold = <A>(open: () => A, close: (opened: A) => void | Promise<void>) =>
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
