/**
 * One process of the runtime in a world: the same parts as `src/runtime/runtime.ts` puts together, on a disk, a clock, a
 * network and keys that are the world's. It lives until it is stopped; nothing of it is heard afterwards.
 */
import { Effect, Exit } from "effect"
import { openAlarms } from "../../../src/engine/alarms.ts"
import { commandKind, commandProjection, type Received } from "../../../src/engine/commands.ts"
import { openEngine, type EngineShape, type Projection, type Stepped } from "../../../src/engine/engine.ts"
import { limits as defaults, type Limits } from "../../../src/limits.ts"
import { isOperator } from "../../../src/protocol/roster.ts"
import { openPublisher } from "../../../src/publish/publisher.ts"
import { answers } from "../../../src/runtime/answers.ts"
import { homeOf } from "../../../src/runtime/home.ts"
import { openRosterKeeper } from "../../../src/runtime/roster-keeper.ts"
import { openRelayLists } from "../../../src/runtime/relay-lists.ts"
import { openRosterReaders } from "../../../src/runtime/roster-readers.ts"
import { treeOf } from "../../../src/runtime/tree.ts"
import { openWizard, type WizardHost } from "../../../src/runtime/wizard.ts"
import type { ChanceShape } from "../../../src/services/chance.ts"
import { storeOver, type StoreShape } from "../../../src/store/store.ts"
import { type Disk, type DiskHooks } from "./disk.ts"
import { simulatedExecutor } from "./executor.ts"
import type { Keyring } from "./keyring.ts"
import type { Model } from "./model.ts"
import type { Network, WireHears } from "./network.ts"
import type { Plan } from "./plan.ts"
import { clockOf, type Owner, type Timeline } from "./timeline.ts"
import { watchWire } from "./wire.ts"

export interface Life {
  readonly owner: Owner
  readonly instance: string
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly hosts: readonly WizardHost[]
}

export interface LifeOptions {
  readonly plan: Plan
  readonly isTwin: boolean
  readonly timeline: Timeline
  readonly epochMs: number
  readonly offsetMs: () => number
  readonly keyring: Keyring
  readonly network: Network
  readonly disk: Disk
  readonly chance: ChanceShape
  readonly model: Model
  readonly disturbs: Pick<DiskHooks, "stops" | "stop" | "hasRoom" | "mayLosePower"> & {
    readonly syncMsMax: () => number
  }
  readonly trace: (line: string) => void
  /** For whoever reads the whole trace; it counts for nothing. */
  readonly note: (line: string) => void
  /** It cannot go on by itself. */
  readonly ended: (reason: string) => void
}

export const startLife = (options: LifeOptions): Life => {
  const { plan, timeline, keyring, model, disk, chance, trace } = options
  const owner: Owner = { alive: true, frozenMs: 0 }
  const clock = clockOf(timeline, owner, options.epochMs, options.offsetMs)
  const limits: Limits = {
    ...defaults,
    queueRowsMax: plan.queueRowsMax,
    intakeRowsMax: plan.intakeRowsMax,
    pageRowsMax: plan.pageRowsMax,
  }
  const warn = (message: string): void => {
    if (owner.alive) trace(`warning ${message}`)
  }
  const wire = watchWire({
    model,
    db: disk.look,
    nowMs: clock.nowMs,
    honest: new Set(plan.relays.filter(({ honest }) => honest).map(({ url }) => url)),
    steps: plan.ops.some(({ type }) => type === "step-clock"),
  })
  const store = storeOver(
    disk.open({
      ...options.disturbs,
      confirm: (call) => void timeline.at(timeline.nowMs() + chance.next() * options.disturbs.syncMsMax(), call, owner),
      committed: (db, moved) => {
        for (const move of moved) wire.moved(db, move, clock.nowMs())
      },
      durable: model.durable,
    }),
  )
  const relays = plan.relays.map(({ url }) => url)
  const instance = chance.hex(8)
  const projection = commandProjection({
    store,
    limits,
    pubkeyOf: (wizard) => keyring.signer(wizard).pubkey,
    mayCommand: (author) => isAuthority(author),
    rosterVersion: () => rosters.inForce()?.version ?? 0,
    instance,
    answers: answers(limits),
  })
  const isAuthority = (author: string): boolean => {
    const roster = rosters.inForce()
    return roster !== undefined && isOperator(roster, author)
  }
  const kinds = { command: commandKind }
  const projections = { command: poisonable(projection, (actor) => projection.row(actor).body) }
  const engine = openEngine({ store, clock, limits, kinds, projections })
  const rosters = openRosterKeeper({
    council: keyring.signer("council").pubkey,
    signer: undefined,
    fresh: false,
    relays,
    engine,
    store,
    clock,
    warn,
  })
  engine.watch(({ steps }) => {
    for (const { actor, seq, event, after } of steps) trace(`${actor} ${seq} ${event.type} ${after}`)
  })
  const publisher = openPublisher({ engine, store, clock, limits, warn })
  const readers = openRosterReaders()
  const life: object = owner
  const overheard = (name: string, { sent, received }: WireHears): WireHears => ({
    sent: (url, text) => {
      options.note(`${name} > ${url} ${text}`)
      sent(url, text)
    },
    received: (url, text) => {
      options.note(`${name} < ${url} ${text}`)
      received(url, text)
    },
  })
  const relayLists = openRelayLists({ roster: rosters.inForce, engine, store, clock, limits })
  const hosts = plan.wizards.map((name) => {
    const signer = keyring.signer(name)
    publisher.open(name, signer, relays)
    const executor = simulatedExecutor({
      seed: plan.seed,
      repeat: plan.repeat,
      clock,
      began: (key, author) => {
        trace(`run ${key}`)
        const authorised = isAuthority(author)
        model.runs.began({ life, key, isTwin: options.isTwin, authorised, nowMs: clock.nowMs() })
      },
      over: (key) => {
        if (owner.alive) model.runs.over(key)
      },
    })
    return Effect.runSync(
      openWizard({
        name,
        className: name === "timmy" ? "local" : "worker",
        signer,
        freshKey: false,
        executor,
        relays,
        home: homeOf("/nowhere", {}),
        instance,
        engine,
        store,
        commands: projection,
        publisher,
        rosters,
        readers,
        relayLists,
        verifier: {
          backend: keyring.verifier.backend,
          verify: async (events) => {
            const verdicts = await keyring.verifier.verify(events)
            // As other threads take their time.
            await new Promise<void>((resolve) => void clock.after(chance.next() * 60, resolve))
            return verdicts
          },
        },
        clock,
        chance,
        socket: options.network.socketFor(owner, overheard(name, wire.hears(name, signer.pubkey))),
        limits,
        startedMs: clock.nowMs(),
        warn,
        count: () => {},
        reached: () => {},
      }),
    )
  })
  const may = (actor: string): boolean => hosts.some(({ name, acts }) => actor.endsWith(`/${name}`) && acts())
  openAlarms({ engine, store, clock, kinds, may })
  const tree = treeOf({ limits, clock, warn, engine, store, wizards: hosts, rosters, relay: undefined })
  for (const host of hosts) host.watch(() => owner.alive && trace(`${host.name} is ${host.status().state}`))
  const end = (reason: unknown): void => {
    if (owner.alive) options.ended(String(reason))
  }
  Effect.runFork(tree.run).addObserver((exit) => end(Exit.isFailure(exit) ? exit.cause : "its tree ended"))
  void engine.failed.then(end)
  return { owner, instance, engine, store, hosts }
}

/** A command whose word is poison makes the step throw: at once, or only when it is to begin. */
const poisonable = (projection: Projection, bodyOf: (actor: string) => string): Projection => ({
  ...projection,
  project: (stepped: Stepped) => {
    const received = stepped.event.type === "receive" ? (stepped.event["command"] as Received) : undefined
    const isAtOnce = Number.parseInt(stepped.actor.slice(8, 9), 16) % 2 === 0
    const strikes = received === undefined ? !isAtOnce : isAtOnce
    if (strikes && (received?.body ?? bodyOf(stepped.actor)) === "poison") throw new Error("poison")
    projection.project?.(stepped)
  },
})
