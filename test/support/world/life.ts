/**
 * One process of the runtime in a world: `openCouncil`, as a home runs it, on a disk, a clock, a network and keys that
 * are the world's. It lives until it is stopped; nothing of it is heard afterwards.
 */
import { Cause, Effect, Exit } from "effect"
import { Verifier } from "../../../src/identity/verifier.ts"
import { limits as defaults, type Limits } from "../../../src/limits.ts"
import { readRelayInformation } from "../../../src/protocol/relay-information.ts"
import { isOperator } from "../../../src/protocol/roster.ts"
import type { ControlHandlers } from "../../../src/runtime/control.ts"
import { openCouncil, type Council } from "../../../src/runtime/council.ts"
import { everyDeadLetter } from "../../../src/runtime/dead-letters.ts"
import { handlersOf } from "../../../src/runtime/handlers.ts"
import { homeOf } from "../../../src/runtime/home.ts"
import { Chance, type ChanceShape } from "../../../src/services/chance.ts"
import { Clock } from "../../../src/services/clock.ts"
import { Socket } from "../../../src/services/socket.ts"
import { Store, storeOver, type StoreShape } from "../../../src/store/store.ts"
import type { Disk, DiskHooks } from "./disk.ts"
import { simulatedExecutor } from "./executor.ts"
import type { Keyring } from "./keyring.ts"
import type { Model } from "./model.ts"
import type { Network, WireHears } from "./network.ts"
import type { Plan } from "./plan.ts"
import { clockOf, type Owner, type Timeline } from "./timeline.ts"
import { watchWire } from "./wire.ts"

export interface Life {
  readonly owner: Owner
  /** Once it is put together. */
  readonly council: () => Council | undefined
  /** What `runtime outbox` asks of the running process. */
  readonly deadLetters: (how: "resend" | "drop") => void
  /** As SIGTERM has it: drains, closes, and ends. */
  readonly terminate: () => void
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
  /** It ended by itself. */
  readonly ended: (reason: string) => void
}

export const startLife = (options: LifeOptions): Life => {
  const { plan, timeline, keyring, model, disk, chance, trace, isTwin } = options
  const owner: Owner = { alive: true, frozenMs: 0 }
  const clock = clockOf(timeline, owner, options.epochMs, options.offsetMs)
  const limits: Limits = {
    ...defaults,
    queueRowsMax: plan.queueRowsMax,
    intakeRowsMax: plan.intakeRowsMax,
    pageRowsMax: plan.pageRowsMax,
  }
  const wire = watchWire({
    model,
    db: disk.look,
    nowMs: clock.nowMs,
    wizards: new Map(plan.wizards.map((name) => [keyring.signer(name).pubkey, name])),
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
  const executor = simulatedExecutor({
    seed: plan.seed,
    repeat: plan.repeat,
    clock,
    began: (command, wizard, author) => {
      trace(`run ${command} ${wizard}`)
      const roster = council?.rosters.inForce()
      const authorised = roster !== undefined && isOperator(roster, author)
      model.runs.began({ life: owner, command, wizard, isTwin, authorised, nowMs: clock.nowMs() })
    },
    over: (command, wizard, done) => {
      if (owner.alive) model.runs.over(command, wizard, done)
    },
  })
  let council: Council | undefined
  let control: ControlHandlers | undefined
  const opened = (given: Council): void => {
    council = given
    control = handlersOf(given, () => {})
    if (isTwin) model.instanceIsTwin(given.instance)
    given.engine.watch(({ steps }) => {
      for (const { actor, seq, event, after } of steps) trace(`${actor} ${seq} ${event.type} ${after}`)
    })
    for (const host of given.wizards) host.watch(() => owner.alive && trace(`${host.name} is ${host.status().state}`))
  }
  const told = Promise.withResolvers<void>()
  const process = Effect.scoped(
    Effect.gen(function* () {
      const given = yield* openCouncil({
        home: homeOf("/nowhere", {}),
        council: { pubkey: keyring.signer("council").pubkey, signer: undefined, fresh: false },
        wizards: plan.wizards.map((name) => ({
          name,
          className: name === "timmy" ? "local" : "worker",
          signer: keyring.signer(name),
          fresh: false,
          executor,
        })),
        relays: plan.relays.filter(({ late }) => late !== true).map(({ url }) => url),
        embedded: undefined,
        limits,
        warn: (message) => owner.alive && trace(`warning ${message}`),
        reached: () => {},
        information: {
          of: (url) => {
            const { reconciles, cap } = plan.relays.find((relay) => relay.url === url) ?? {}
            return readRelayInformation({ supported_nips: reconciles ? [77] : [], limitation: { max_limit: cap } })
          },
        },
      })
      opened(given)
      yield* Effect.raceFirst(
        given.run,
        Effect.promise(() => told.promise),
      )
    }),
  ).pipe(
    Effect.provideService(Store, poisonable(store)),
    Effect.provideService(Clock, clock),
    Effect.provideService(Chance, chance),
    Effect.provideService(Socket, options.network.socketFor(owner, overheard(wire.listen, options.note))),
    Effect.provideService(Verifier, {
      backend: keyring.verifier.backend,
      verify: async (events) => {
        const verdicts = await keyring.verifier.verify(events)
        // As other threads take their time.
        await new Promise<void>((resolve) => void clock.after(chance.next() * 60, resolve))
        return verdicts
      },
    }),
  )
  const end = (reason: string): void => {
    if (owner.alive) options.ended(reason)
  }
  let isTold = false
  Effect.runFork(process).addObserver((exit) => {
    if (Exit.isSuccess(exit) && isTold) end("it was told to")
    else end(Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : "its tree ended")
  })
  return {
    owner,
    council: () => council,
    deadLetters: (how) =>
      void (async () => control?.[`outbox-${how}`]({ which: everyDeadLetter }))().catch((error: unknown) =>
        trace(`warning dead letters: ${String(error)}`),
      ),
    terminate: () => {
      isTold = true
      // Before it listens for signals the system ends it.
      if (council === undefined) return end("it was told to")
      void council
        .drain()
        .catch((error: unknown) => trace(`warning draining: ${String(error)}`))
        .then(told.resolve)
    },
  }
}

const overheard =
  (listen: (url: string) => WireHears, note: (line: string) => void) =>
  (url: string): WireHears => {
    const { sent, received } = listen(url)
    return {
      sent: (text) => {
        note(`> ${url} ${text}`)
        sent(text)
      },
      received: (text) => {
        note(`< ${url} ${text}`)
        received(text)
      },
    }
  }

/** A command whose word is poison makes the step throw: at once, or only when it is to begin. */
const poisonable = (store: StoreShape): StoreShape => {
  const strike = (id: string, body: string | undefined, isAtOnce: boolean): void => {
    if (body === "poison" && (Number.parseInt(id.slice(0, 1), 16) % 2 === 0) === isAtOnce) throw new Error("poison")
  }
  return {
    ...store,
    command: {
      ...store.command,
      add: (row) => {
        strike(row.id, row.body, true)
        store.command.add(row)
      },
    },
    attempt: {
      ...store.attempt,
      add: (row) => {
        const { id = "", body } = store.command.get(row.actor) ?? {}
        strike(id, body, false)
        store.attempt.add(row)
      },
    },
  }
}
