/**
 * One wizard on this machine, put together: its live actor, a connection to each relay, intake, worker, heartbeats.
 * Everything here is memory; what must outlive it is in the store.
 *
 *   relay connections ─► intake ─► engine ─► tally ─► wizard actor ─► pump ─► engine ─► worker
 */
import { Effect } from "effect"
import type { RelayReport } from "../../actors/relay-connection.ts"
import { runWizard, type WizardActor, type WizardReport } from "../../actors/wizard.ts"
import { superviseActor } from "../../actors/bridge.ts"
import { openArtifacts, type Artifacts } from "../artifacts/artifacts.ts"
import { receivedOf, type Commands } from "../engine/commands.ts"
import { HostStopped } from "../engine/command-host.ts"
import type { EngineShape } from "../engine/engine.ts"
import type { Check } from "../executors/checks.ts"
import type { Executor } from "../executors/executor.ts"
import type { VerifierShape } from "../identity/verifier.ts"
import type { Signer } from "../identity/signer.ts"
import { openIntake } from "../intake/intake.ts"
import { mayGoOn } from "../intake/rights.ts"
import type { Limits } from "../limits.ts"
import type { NostrEvent } from "../protocol/event.ts"
import { wizardByKey } from "../protocol/roster.ts"
import type { Publisher } from "../publish/publisher.ts"
import { nowSeconds, sleep, type ClockShape } from "../services/clock.ts"
import type { ChanceShape } from "../services/chance.ts"
import type { RelayInformationShape } from "../services/relay-information.ts"
import type { SocketShape } from "../services/socket.ts"
import type { CommandRow, StoreShape } from "../store/store.ts"
import { openAnnouncer } from "./announce.ts"
import { openConnections, type Connections } from "./connections.ts"
import { carryOut } from "./desk.ts"
import type { Home } from "./home.ts"
import { openHeartbeats, type Heartbeats } from "./heartbeat.ts"
import { openPump } from "./pump.ts"
import { fixFloors } from "./reading.ts"
import type { RelayLists } from "./relay-lists.ts"
import { runTask } from "./task.ts"
import type { RosterKeeper } from "./roster-keeper.ts"
import type { RosterReaders } from "./roster-readers.ts"
import type { Child } from "./supervisor.ts"
import { isPaused, performVerb } from "./verbs.ts"
import { openWorker, type Worker } from "./worker.ts"

export interface WizardHostOptions {
  readonly name: string
  readonly className: string
  readonly signer: Signer
  /** The key was made by this very start. */
  readonly freshKey: boolean
  readonly executor: Executor
  /** What a result that is a commit must stand up to. */
  readonly check?: Check | undefined
  readonly relays: readonly string[]
  readonly home: Home
  readonly instance: string
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly commands: Pick<Commands, "counts" | "row">
  readonly publisher: Publisher
  readonly rosters: RosterKeeper
  readonly readers: RosterReaders
  readonly relayLists: RelayLists
  readonly verifier: VerifierShape
  readonly clock: ClockShape
  readonly chance: ChanceShape
  readonly socket: SocketShape
  readonly limits: Limits
  readonly startedMs: number
  readonly warn: (message: string) => void
  readonly count: (reason: string) => void
  /** A relay can be reached. */
  readonly reached: () => void
  /** What relays say of themselves; without it none says anything. */
  readonly information?: RelayInformationShape
}

export interface WizardHost {
  readonly name: string
  readonly pubkey: string
  /** What does its work, for a person. */
  readonly executor: string
  readonly status: () => WizardReport & { readonly instanceHeard: boolean }
  /** Hears of each change of the status. Returns what ends it. */
  readonly watch: (hear: () => void) => () => void
  readonly relays: () => readonly RelayReport[]
  /** Its relays come and go (the supervised child apart). */
  readonly connections: Pick<Connections, "add" | "remove" | "childOf" | "announce">
  /** Whether it may change its commands now: it knows its past, and no other instance of its key is at work. */
  readonly acts: () => boolean
  readonly claim: () => void
  /** Takes nothing new; resolves when what runs is done, or was stopped after the drain's time. */
  readonly drain: () => Promise<void>
  /** What one sends on this wizard's sockets beside the outbox: rosters, a person's command. */
  readonly send: (event: NostrEvent) => Promise<boolean>
  /** Its supervised children: the wizard actor, and a connection to each relay. */
  readonly children: readonly Child[]
  readonly close: () => void
}

/** Fails where the artifacts folder cannot be used. */
export const openWizard = Effect.fnUntraced(function* (options: WizardHostOptions) {
  const { name, home, clock, chance } = options
  const artifacts = options.executor.needsClone
    ? yield* openArtifacts({
        wizard: name,
        dir: home.artifacts(name),
        clones: `${home.work}/${name}`,
        clock,
        chance,
        limits: options.limits,
      })
    : undefined
  if (artifacts !== undefined) yield* artifacts.sweep
  return assemble(options, artifacts)
})

const assemble = (options: WizardHostOptions, artifacts: Artifacts | undefined): WizardHost => {
  const { name, signer, engine, store, clock, limits, rosters, readers, publisher, executor, warn } = options
  const { counts, row } = options.commands
  const { pubkey } = signer
  const watchers = new Set<() => void>()
  const others = new Set<string>()
  let actor: WizardActor | undefined
  let open = false
  let mayTakeIn = false
  let draining = false
  let heard = false
  let release: () => void = () => {}
  const released = new Promise<void>((resolve) => (release = resolve))

  const changed = (): void => watchers.forEach((hear) => hear())
  const state = (): string => actor?.status().state ?? "waiting"
  const tell: WizardActor["tell"] = (event) => actor?.tell(event)
  const tally = (): void =>
    tell({ type: "tally", open: counts.open(name, "task"), queued: counts.queued(name), paused: isPaused(store, name) })

  const perform = (row: CommandRow, attempt: number) =>
    row.work === "verb"
      ? performVerb(row, {
          wizard: name,
          engine,
          store,
          counts,
          limits,
          executor: executor.about,
          nowMs: clock.nowMs,
          startedMs: options.startedMs,
          roster: rosters.inForce,
          carryOut: (order) => carryOut(order, name, { rosters, store }),
        })
      : runTask({ executor, artifacts, check: options.check, clock }, row, attempt)
  const worker: Worker = openWorker({
    wizard: name,
    engine,
    store,
    clock,
    chance: options.chance,
    limits,
    row,
    repeat: executor.repeat,
    perform,
    warn,
  })

  const heartbeats: Heartbeats = openHeartbeats({
    wizard: name,
    instance: options.instance,
    signer,
    engine,
    store,
    clock,
    limits,
    state,
    queued: () => counts.queued(name),
    send: (event) => void connections.send(event),
    warn,
  })

  const intake = openIntake({
    wizard: name,
    pubkey,
    instance: options.instance,
    engine,
    store,
    clock,
    limits,
    roster: rosters.inForce,
    authorFloor: (author) => Math.floor(rosters.standingSinceMs(author) / 1000) - limits.firstReadSecondsMax,
    offerRoster: rosters.offer,
    offerRelayList: options.relayLists.offer,
    kinWanted: () => connections.relist(),
    ready: () => open,
    heard: ({ createdAt, interval, state: theirs, instance }, stored) => {
      // Stored ones of the very second of our start may be our own, from the life before.
      const startSeconds = Math.floor(options.startedMs / 1000)
      // One that has been silent for three of its intervals since is gone.
      if (nowSeconds(clock) - createdAt > 3 * interval) return
      if (stored ? createdAt <= startSeconds : createdAt < startSeconds) return
      heard = true
      // Only a newcomer, who listens, is answered: two that work would answer each other for ever (P23).
      const atWork = ["idle", "busy", "paused", "draining"]
      if (!atWork.includes(state()) || theirs === "listening") tell({ type: "hear", intervalMs: interval * 1000 })
      else if (atWork.includes(theirs) && !others.has(instance)) {
        others.add(instance)
        warn(`${name}: another instance of its key is at work as well; stop one of them`)
      }
    },
    executor: { name: executor.name, repeat: executor.repeat },
    count: options.count,
  })

  const connections: Connections = openConnections({
    name,
    signer,
    relays: options.relays,
    store,
    publisher,
    rosters,
    readers,
    verifier: options.verifier,
    clock,
    chance: options.chance,
    socket: options.socket,
    limits,
    warn,
    announcer: openAnnouncer({
      name,
      about: `${options.className} wizard, ${executor.about}`,
      signer,
      relays: () => connections.urls(),
      engine,
      store,
      clock,
      limits,
      warn,
    }),
    intake,
    isOpen: () => open,
    historyRead: () => tell({ type: "history-read" }),
    reached: options.reached,
    backlogRead: () => pump.tasks(),
    ...(options.information !== undefined && { information: options.information }),
  })

  const pump = openPump({
    name,
    engine,
    store,
    counts,
    limits,
    may: () => open && !draining,
    held: () => isPaused(store, name) || !connections.isBacklogRead(),
    warn,
    clock,
  })

  const startActor = (): WizardActor => {
    open = false
    mayTakeIn = false
    actor = runWizard({
      clock,
      limits,
      freshKey: options.freshKey,
      paused: isPaused(store, name),
      beat: heartbeats.beat,
      pump: pump.tasks,
      takeIn: (may) => {
        mayTakeIn = may
        if (may) return void settlePast().then(takeUp)
        open = false
        connections.resubscribe()
      },
      released: () => release(),
    })
    actor.actor.subscribe({ next: changed, error: changed, complete: changed })
    admit()
    return actor
  }

  /** Before anything new: how relays say that our own work went on, then what an earlier life left open. */
  const settlePast = async (): Promise<void> => {
    for (;;) {
      try {
        await intake.importOwn()
        await worker.recover()
        await fixFloors({ pubkey, relays: connections.urls(), engine, store, clock, limits })
        // Once more: what a relay told meanwhile.
        await intake.importOwn()
        return
      } catch (error) {
        if (error instanceof HostStopped) return
        warn(`${name}: its past could not be written, trying again: ${(error as Error).message}`)
        await sleep(clock, limits.retryMsMin)
      }
    }
  }

  const takeUp = (): void => {
    if (!mayTakeIn) return
    open = true
    connections.resubscribe()
    heartbeats.beat(state())
    pump.verbs()
    pump.tasks()
  }

  const admit = (): void => {
    const roster = rosters.inForce()
    tell({ type: roster !== undefined && wizardByKey(roster, pubkey)?.name === name ? "admit" : "dismiss" })
    if (state() === "catching-up" && connections.isHistoryRead()) tell({ type: "history-read" })
    tally()
  }

  const watches = [
    rosters.watch(() => {
      admit()
      connections.follow()
      void withdraw({ engine, store, rosters, clock, limits, warn }, name)
    }),
    engine.watch(({ steps }) => {
      if (!steps.some((step) => step.actor.endsWith(`/${name}`))) return
      pump.verbs()
      tally()
      // Not one by one: reading a relay again is worth it when there is some room.
      if (intake.isHolding() && counts.queued(name) <= limits.queueRowsMax / 2)
        connections.rereadCommands(intake.resume())
    }),
  ]

  return {
    name,
    pubkey,
    executor: executor.about,
    status: () => ({
      ...(actor?.status() ?? { state: "waiting", open: 0, queued: 0, sinceMs: options.startedMs }),
      instanceHeard: heard,
    }),
    watch: (hear) => {
      watchers.add(hear)
      return () => void watchers.delete(hear)
    },
    relays: connections.reports,
    connections,
    acts: () => open,
    claim: () => tell({ type: "claim" }),
    drain: async () => {
      tell({ type: "drain" })
      draining = true
      // What the pump had sent before that is begun by now, and waited for.
      await engine.write(() => undefined).catch(() => undefined)
      const cancel = clock.after(limits.drainSecondsMax * 1000, () => release())
      if (worker.running() === 0) release()
      await released
      cancel()
      // A disk without room must not hold the process: what is not written is lost at the next start just so.
      const given = Promise.withResolvers<void>()
      const giveUp = clock.after(limits.farewellMsMax, given.resolve)
      await Promise.race([worker.abandon("the runtime was stopped before it was done"), given.promise])
      giveUp()
      tell({ type: "drained" })
    },
    send: connections.send,
    children: [
      { name: "wizard", restart: "transient", run: superviseActor(`wizard/${name}`, startActor) },
      ...connections.children(),
    ],
    close: () => {
      for (const unwatch of watches) unwatch()
      connections.close()
      worker.close()
      heartbeats.close()
    },
  }
}

/** Work whose author lost the right to it ends; what is not written is tried again. */
const withdraw = async (
  options: Pick<WizardHostOptions, "engine" | "store" | "rosters" | "clock" | "limits" | "warn">,
  wizard: string,
): Promise<void> => {
  const { engine, store, rosters, clock, limits, warn } = options
  for (;;) {
    const roster = rosters.inForce()
    if (roster === undefined) return
    const rows = store.command
      .unended(wizard)
      .filter((row) => row.state !== "faulted" && !mayGoOn(roster, row.author, () => receivedOf(store, row.actor)))
    const event = { type: "cancel", reason: "authority withdrawn" }
    try {
      if (rows.length > 0)
        await engine.deliver(rows.map(({ actor }) => ({ actor, cause: `roster/${roster.version}`, event })))
      return
    } catch (error) {
      if (error instanceof HostStopped) return
      warn(`${wizard}: withdrawn work could not be ended, trying again: ${(error as Error).message}`)
      await sleep(clock, limits.retryMsMin)
    }
  }
}
