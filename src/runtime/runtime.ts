/**
 * The runtime, put together: what `runtime start` runs, and what tests run in their own process.
 *
 *   lock ─► store ─► engine ─► relay (embedded) ─► council ─► wizards, each with its relay connections
 *
 * The supervision tree: `runtime` (rest-for-one: the embedded relay, then the council) › `council` (one-for-one: the
 * wizards and the channels) › `wizard/<name>` (rest-for-one: its actor, then its connections).
 */
import { readdirSync, readFileSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { Effect, Schema, type Scope } from "effect"
import { runChannel } from "../../actors/channel.ts"
import { superviseActor } from "../../actors/bridge.ts"
import { openAlarms } from "../engine/alarms.ts"
import { commandKind, commandProjection } from "../engine/commands.ts"
import { openEngine, type EngineShape } from "../engine/engine.ts"
import { upgradeActors } from "../engine/upgrade.ts"
import { executors, isExecutorName } from "../executors/executors.ts"
import { keyFile, npubOf, readKey, readOrCreateKey } from "../identity/keys.ts"
import type { Signatures } from "../identity/signature-pool.ts"
import type { Limits } from "../limits.ts"
import { parseEvent, type NostrEvent } from "../protocol/event.ts"
import { isOperator, isName, isWizardClass, wizardByName, type RosterChange } from "../protocol/roster.ts"
import { openPublisher } from "../publish/publisher.ts"
import { serveRelay, type RelayServer } from "../relay/relay.ts"
import { classOfName } from "../roles/roles.ts"
import type { ChanceShape } from "../services/chance.ts"
import type { ClockShape } from "../services/clock.ts"
import type { SocketShape } from "../services/socket.ts"
import { takeLock } from "../store/lock.ts"
import { openStore, type StoreShape } from "../store/store.ts"
import { answers } from "./answers.ts"
import type { Config } from "./config.ts"
import { serveControl } from "./control.ts"
import { makeHome, type Home } from "./home.ts"
import { openRosterKeeper, type RosterKeeper } from "./roster-keeper.ts"
import { asChild, supervisor, type Child, type SupervisorHandle } from "./supervisor.ts"
import { openWizard, type WizardHost } from "./wizard.ts"

/** What a person asked for that cannot be; exit code 2. */
export class StartRefused extends Schema.TaggedError<StartRefused>()("StartRefused", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

export interface RuntimeOptions {
  readonly home: Home
  readonly roles: readonly { readonly name: string; readonly class?: string; readonly executor?: string }[]
  /** Relays of others; none: the embedded one. */
  readonly relays: readonly string[]
  readonly relayPort: number
  /** A council to join: its public key, hex. */
  readonly council: string | undefined
  /** People's own public keys, hex. */
  readonly operators: readonly string[]
  readonly config: Config
  readonly limits: Limits
  readonly clock: ClockShape
  readonly chance: ChanceShape
  readonly socket: SocketShape
  readonly signatures: Signatures
  readonly warn: (message: string) => void
}

export interface Runtime {
  readonly wizards: readonly WizardHost[]
  readonly rosters: RosterKeeper
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly relays: readonly string[]
  readonly embedded: boolean
  /** Whether the council's secret is kept here, and which operator key was made here, if one was. */
  readonly keepsCouncil: boolean
  readonly operator: () => { readonly pubkey: string; readonly created: boolean } | undefined
  readonly counts: () => Readonly<Record<string, number>>
  readonly tree: () => ReturnType<SupervisorHandle["tree"]>
  /** Lives as long as the runtime; fails where it cannot go on. */
  readonly run: Effect.Effect<void, unknown>
  /** Takes nothing new and waits for what runs, up to the drain's time. */
  readonly drain: () => Promise<void>
  /** How many attempts are under way. */
  readonly working: () => number
}

/** Fails, or dies, with errors whose message says what to do; then nothing is left open. */
export const openRuntime = (options: RuntimeOptions): Effect.Effect<Runtime, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const { home, limits, clock, chance, warn, signatures } = options
    const startedMs = clock.nowMs()
    makeHome(home)
    yield* hold(
      () => takeLock(home.dir, clock),
      (lock) => lock.release(),
    )
    const store = yield* hold(
      () => openStore(home.database),
      (opened) => opened.database.close(),
    )
    const identities = readIdentities(options, store)
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
    // Closed here too: a start that fails further down has no tree yet that would do it.
    const first = embedded
      ? yield* Effect.acquireRelease(
          Effect.tryPromise({ try: () => openRelay(options), catch: (error) => error }),
          (server) => Effect.promise(server.close),
        )
      : undefined
    const relays = first === undefined ? options.relays : [first.url]
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
    yield* Effect.promise(() => engine.write(() => store.setting.put("runtime", "relays", JSON.stringify(relays))))
    const publisher = yield* hold(
      () => openPublisher({ engine, store, clock, limits, warn }),
      (opened) => opened.close(),
    )
    const counts = new Map<string, number>()
    const wizards: WizardHost[] = []
    const outgoing = openOutgoing(options, wizards)
    yield* Effect.addFinalizer(() => Effect.sync(outgoing.close))
    for (const { name, className, signer, fresh, executor } of identities.wizards) {
      publisher.open(name, signer, relays)
      const host = yield* openWizard({
        name,
        className,
        signer,
        freshKey: fresh,
        executor,
        relays,
        home,
        instance,
        engine,
        store,
        counts: projection.counts,
        publisher,
        rosters,
        signatures,
        clock,
        chance,
        socket: options.socket,
        limits,
        startedMs,
        warn,
        count: (reason) => void counts.set(reason, (counts.get(reason) ?? 0) + 1),
        reached: outgoing.nudge,
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
    const tree = treeOf({ options, store, wizards, rosters, first })
    yield* Effect.promise(() => settleRoster(options, identities, rosters)).pipe(
      Effect.catchDefect((error) => Effect.sync(() => warn((error as Error).message))),
      Effect.forkScoped,
    )
    const runtime: Runtime = {
      wizards,
      rosters,
      engine,
      store,
      relays,
      embedded,
      keepsCouncil: council.signer !== undefined,
      operator: identities.operator.held,
      counts: () => Object.fromEntries(counts),
      tree: tree.tree,
      run: Effect.raceFirst(tree.run, Effect.promise(() => engine.failed).pipe(Effect.flatMap(Effect.fail))),
      drain: async () => {
        await Promise.all(wizards.map((wizard) => wizard.drain()))
        await Promise.all(
          wizards.map((wizard) => farewell(wizard, runtime, () => publisher.backlog(wizard.name), options)),
        )
      },
      working: () => store.attempt.allOpen().length,
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

const hold = <A>(open: () => A, close: (opened: A) => void | Promise<void>) =>
  Effect.acquireRelease(Effect.try({ try: open, catch: (error) => error }), (opened) =>
    Effect.promise(async () => close(opened)),
  )

/** What was said last still goes out, where a relay is there to take it. */
const farewell = (
  wizard: WizardHost,
  { engine }: Runtime,
  backlog: () => number,
  { clock, limits }: RuntimeOptions,
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

const openRelay = (options: RuntimeOptions, onBroken?: (error: Error) => void): Promise<RelayServer> =>
  serveRelay({
    port: options.relayPort,
    file: options.home.relayDatabase,
    verifier: options.signatures.verifier,
    clock: options.clock,
    limits: options.limits,
    ...(onBroken !== undefined && { onBroken }),
  })

/** The keys that this start works with. Throws StartRefused and what `identity/keys.ts` throws. */
const readIdentities = (options: RuntimeOptions, store: StoreShape) => {
  const { home, signatures, config } = options
  const pinned = options.council ?? store.setting.get("runtime", "council")
  const stored = store.setting.get("runtime", "council")
  if (options.council !== undefined && stored !== undefined && stored !== options.council) {
    throw new StartRefused({
      reason: `this home belongs to the council ${npubOf(stored)}: start without --council, or with another --home`,
    })
  }
  const councilFile = keyFile(home.explicit, "council")
  const kept = pinned === undefined ? readOrCreateKey(councilFile) : readKey(councilFile)
  const isOurs = kept !== undefined && (pinned === undefined || kept.pubkey === pinned)
  const council = {
    pubkey: pinned ?? (kept as { pubkey: string }).pubkey,
    signer: isOurs ? signatures.signerFor(kept.secret) : undefined,
    fresh: isOurs && "created" in kept && kept.created === true,
  }
  if (council.signer === undefined && options.relays.length === 0 && store.roster.all().length === 0) {
    throw new StartRefused({
      reason:
        "a council whose secret is not here is joined over a relay: add --relay wss://… (the one the council uses)",
    })
  }
  const twice = options.roles.find((role, i) => options.roles.findIndex(({ name }) => name === role.name) < i)
  if (twice !== undefined) throw new StartRefused({ reason: `${twice.name} is named twice: give each --role once` })
  const wizards = options.roles.map((role) => {
    if (!isName(role.name) || role.name === "council" || role.name === "operator" || role.name === "all") {
      throw new StartRefused({ reason: `"${role.name}" cannot be a wizard's name` })
    }
    const configured = config.roles?.[role.name]
    const className = role.class ?? configured?.class ?? classOfName(role.name)
    if (className === undefined) {
      throw new StartRefused({
        reason: `nobody knows a wizard called ${role.name}: say what it is with --class worker|researcher|implementation|local|tempo|monitor`,
      })
    }
    if (!isWizardClass(className)) throw new StartRefused({ reason: `there is no class "${className}"` })
    const executorName = role.executor ?? configured?.executor ?? "note"
    if (!isExecutorName(executorName)) {
      throw new StartRefused({
        reason: `there is no executor "${executorName}" (known: ${Object.keys(executors).join(", ")})`,
      })
    }
    const key = readOrCreateKey(keyFile(home.explicit, role.name))
    return {
      name: role.name,
      className,
      executor: executors[executorName],
      signer: signatures.signerFor(key.secret),
      fresh: key.created,
    }
  })
  // A person's own key is admitted by --operator; only without one is a key made here, and only by who founds a council.
  const operatorFile = keyFile(home.explicit, "operator")
  const own = readKey(operatorFile)
  let held: { readonly pubkey: string; readonly created: boolean } | undefined =
    own === undefined ? undefined : { pubkey: own.pubkey, created: false }
  const operator = {
    held: () => held,
    create: () => (held = readOrCreateKey(operatorFile)),
  }
  return { council, wizards, operator, operators: options.operators }
}

type Identities = ReturnType<typeof readIdentities>

/**
 * Where the council's secret is kept: writes the version that a new role or operator needs (K3 of the keeper).
 */
const settleRoster = async (
  options: RuntimeOptions,
  { council, wizards, operators, operator }: Identities,
  rosters: RosterKeeper,
): Promise<void> => {
  if (council.signer === undefined) return
  await rosters.read
  const held = rosters.inForce()
  const changes: RosterChange[] = []
  // Somebody must be able to command a council that is founded here.
  const founders = held === undefined && operators.length === 0 ? [operator.create().pubkey] : operators
  for (const pubkey of founders) {
    if (held === undefined || !isOperator(held, pubkey)) changes.push({ type: "add-operator", pubkey, label: "" })
  }
  for (const { name, className, signer } of wizards) {
    const known = held === undefined ? undefined : wizardByName(held, name)
    if (known === undefined) changes.push({ type: "add-wizard", name, pubkey: signer.pubkey, class: className })
    else if (known.pubkey !== signer.pubkey) {
      options.warn(
        `${name} has another key in the roster (${npubOf(known.pubkey)}): bring that key file back, or choose another name`,
      )
    }
  }
  const fresh = held === undefined ? options.relays.filter((url) => !isLoopback(url)) : []
  for (const url of fresh) changes.push({ type: "add-relay", url })
  if (changes.length > 0) await rosters.amend(changes)
}

export const isLoopback = (url: string): boolean =>
  /^wss?:\/\/(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:|\/|$)/i.test(url)

const treeOf = (parts: {
  readonly options: RuntimeOptions
  readonly store: StoreShape
  readonly wizards: readonly WizardHost[]
  readonly rosters: RosterKeeper
  readonly first: RelayServer | undefined
}): SupervisorHandle => {
  const { options, store, wizards, rosters } = parts
  const { limits, clock } = options
  const record = ({ path, reason, atMs }: { path: string; reason: string; atMs: number }): void => {
    options.warn(`${path} was restarted: ${reason}`)
    store.database.transaction(() => store.restart.add(atMs, path, reason))
  }
  const common = { limits, clock, record }
  const wizardTrees = wizards.map((wizard) =>
    asChild(
      `wizard/${wizard.name}`,
      supervisor({
        ...common,
        name: `runtime/council/wizard/${wizard.name}`,
        strategy: "rest-for-one",
        children: wizard.children,
      }),
    ),
  )
  const council = supervisor({ ...common, name: "runtime/council", strategy: "one-for-one", children: wizardTrees })
  const channels = new Set<string>()
  const follow = (): void => {
    for (const { name, id } of rosters.inForce()?.channels ?? []) {
      if (channels.has(name)) continue
      channels.add(name)
      void Effect.runPromise(council.add(channelChild(name, id, rosters, limits)))
    }
  }
  rosters.watch(follow)
  follow()
  const relay: readonly Child[] = parts.first === undefined ? [] : [relayChild(options, parts.first)]
  return supervisor({
    ...common,
    name: "runtime",
    strategy: "rest-for-one",
    children: [...relay, asChild("council", council)],
  })
}

/** The first life of the embedded relay is the one that was opened at start, so that a busy port is told at once. */
const relayChild = (options: RuntimeOptions, first: RelayServer): Child => {
  let next: RelayServer | undefined = first
  let broken: (error: Error) => void = () => {}
  return {
    name: "relay",
    restart: "permanent",
    run: Effect.acquireRelease(
      Effect.tryPromise({
        try: async () => {
          const server = next ?? (await openRelay({ ...options, relayPort: first.port }, (error) => broken(error)))
          next = undefined
          return server
        },
        catch: (error) => error,
      }),
      (server) => Effect.promise(server.close),
    ).pipe(
      Effect.andThen(Effect.callback<void, Error>((resume) => void (broken = (error) => resume(Effect.fail(error))))),
    ),
  }
}

const channelChild = (name: string, id: string, rosters: RosterKeeper, limits: Limits): Child => ({
  name: `channel/${name}`,
  restart: "transient",
  run: superviseActor(`channel/${name}`, () => {
    const channel = runChannel({ limits, accepted: () => {}, refused: () => {} })
    const define = (): void => {
      const members = rosters.inForce()?.members.filter((member) => member.channel === name) ?? []
      channel.define(
        id,
        members.map(({ pubkey }) => pubkey),
      )
    }
    const unwatch = rosters.watch(define)
    define()
    return { actor: channel.actor, close: () => channel.close().finally(unwatch) }
  }),
})

/** Sends what a person wrote while there was no relay: one signed event a file, removed when a relay took it. */
const openOutgoing = (options: RuntimeOptions, wizards: readonly WizardHost[]) => {
  const { home, clock, limits, warn } = options
  let busy = false
  let again = false
  let closed = false
  let cancel = (): void => {}
  const sweep = async (): Promise<void> => {
    again = true
    if (busy || closed) return
    busy = true
    cancel()
    while (again && !closed) {
      again = false
      await send().catch((error: unknown) => warn(`${home.outgoing} was not sent: ${(error as Error).message}`))
    }
    busy = false
    if (!closed) cancel = clock.after(limits.outgoingSeconds * 1000, () => void sweep(), { unref: true })
  }
  const send = async (): Promise<void> => {
    for (const name of readdirSync(home.outgoing)
      .filter((file) => file.endsWith(".json"))
      .sort()) {
      const file = join(home.outgoing, name)
      const event = readOutgoing(file)
      if (event === undefined) {
        renameSync(file, `${file}.unreadable`)
        warn(`${file} holds no event; it was set aside as ${name}.unreadable`)
      } else if ((await Promise.all(wizards.map((wizard) => wizard.send(event)))).includes(true))
        rmSync(file, { force: true })
    }
  }
  return {
    nudge: () => void sweep(),
    close: () => {
      closed = true
      cancel()
    },
  }
}

const readOutgoing = (file: string): NostrEvent | undefined => {
  try {
    return parseEvent(JSON.parse(readFileSync(file, "utf8")))
  } catch {
    return undefined
  }
}

const handlersOf = (runtime: Runtime, nudge: () => void): Parameters<typeof serveControl>[1] => {
  const named = (name: string | undefined): readonly WizardHost[] => {
    const found = runtime.wizards.filter((wizard) => name === undefined || wizard.name === name)
    if (found.length === 0) throw new StartRefused({ reason: `no wizard called ${name} runs here` })
    return found
  }
  return {
    ping: () => ({ pid: process.pid, relays: runtime.relays, council: runtime.rosters.council }),
    ps: () => ({
      tree: runtime.tree(),
      wizards: runtime.wizards.map((wizard) => ({
        name: wizard.name,
        pubkey: wizard.pubkey,
        ...wizard.status(),
        relays: wizard.relays(),
      })),
      counts: runtime.counts(),
      restarts: runtime.store.restart.recent(20),
    }),
    claim: ({ wizard }) => {
      for (const host of named(wizard)) host.claim()
      return { claimed: named(wizard).map(({ name }) => name) }
    },
    admit: async ({ name = "", pubkey = "", class: className = "" }) => {
      if (!isName(name) || !isWizardClass(className))
        throw new StartRefused({ reason: `${name} cannot be admitted as "${className}"` })
      const roster = await runtime.rosters.amend([{ type: "add-wizard", name, pubkey, class: className }])
      return { version: roster.version }
    },
    outgoing: () => nudge(),
  }
}
