/**
 * Does what was begun: runs the executor of one wizard, and brings its result back to the engine as an input.
 *
 * O1  Nothing runs before its `execute` effect is durable, nor while an earlier attempt at the same command still does.
 * O2  A result is brought back until it is durable, or the engine has stopped. One that was told to stop has none; what
 *     it claimed before that, the next attempt finds.
 * O3  What an earlier life left open is `lost`, once: the machine decides what becomes of it.
 * O4  What is not done when the drain is over is stopped and `lost`.
 * O5  What is past its deadline when its `execute` is durable (the lid was closed meanwhile) does not run: the alarm that
 *     is due ends it.
 */
import { Cause, Effect, Exit, Fiber } from "effect"
import type { Limits } from "../limits.ts"
import { mayRetry, type Executor, type ExecutorFailed } from "../executors/executor.ts"
import type { ChanceShape } from "../services/chance.ts"
import { sleep, type ClockShape } from "../services/clock.ts"
import { outboxStart, type CommandRow, type OutboxPlace, type StoreShape } from "../store/store.ts"
import { HostStopped, type ActorEvent, type Envelope } from "../engine/command-host.ts"
import type { CommandResult } from "../engine/commands.ts"
import type { EngineShape } from "../engine/engine.ts"

export interface WorkerOptions {
  readonly wizard: string
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly clock: ClockShape
  readonly chance: ChanceShape
  readonly limits: Pick<Limits, "attemptSecondsMax" | "retryMsMin">
  /** A command that there is. */
  readonly row: (actor: string) => CommandRow
  /** What its executor says; without it, all may be repeated. */
  readonly repeat?: Executor["repeat"]
  /** The work of a row, whatever kind it is. */
  readonly perform: (row: CommandRow, attempt: number) => Effect.Effect<CommandResult, ExecutorFailed>
  readonly warn: (message: string) => void
}

export interface Worker {
  /**
   * Declares lost what an earlier life left open, and gives how much that was. Call it when our own history is read (a
   * relay may know how it ended) and before anything begins; later calls do nothing.
   */
  readonly recover: () => Promise<number>
  /** Attempts whose result is not durable yet. */
  readonly running: () => number
  /** Stops everything, declaring it lost; resolves when that is durable. */
  readonly abandon: (reason: string) => Promise<void>
  readonly close: () => void
}

interface Running {
  readonly actor: string
  readonly attempt: number
  readonly effect: OutboxPlace
  readonly fiber: Fiber.Fiber<CommandResult, ExecutorFailed>
  /** Why it was stopped, where it was not aborted. */
  stopped: { readonly type: "late" } | { readonly type: "lost"; readonly reason: string } | undefined
  over: Promise<void>
}

export const openWorker = (options: WorkerOptions): Worker => {
  const { wizard, engine, store, clock, chance, limits, warn } = options
  const running = new Set<Running>()
  /** The latest attempt of each command; it waits for the one before it. */
  const last = new Map<string, Running>()
  // Read here, where nothing of ours is begun yet.
  const left = leftBehind(store, wizard)

  const unwatch = engine.watch(({ effects }) => {
    for (const effect of effects) {
      const { kind, owner, actor, payload } = effect
      if (owner !== wizard) continue
      const { attempt } = payload as { readonly attempt: number }
      if (kind === "execute") run(actor, attempt, effect)
      if (kind === "abort") void abort(actor, attempt, effect)
    }
  })

  const run = (actor: string, attempt: number, effect: OutboxPlace): void => {
    const row = options.row(actor)
    // O5.
    if (row.deadline_ms !== null && row.deadline_ms <= clock.nowMs()) return void bring([], [effect])
    const work = Effect.suspend(() => options.perform(row, attempt))
    const before = last.get(actor)
    const fiber = Effect.runFork(before === undefined ? work : Fiber.await(before.fiber).pipe(Effect.andThen(work)))
    const held: Running = { actor, attempt, effect, fiber, stopped: undefined, over: Promise.resolve() }
    running.add(held)
    last.set(actor, held)
    held.over = finish(held).finally(() => {
      running.delete(held)
      if (last.get(actor) === held) last.delete(actor)
    })
  }

  const finish = async (held: Running): Promise<void> => {
    const { actor, attempt, effect, fiber } = held
    const late = (): void => void stop(held, { type: "late" })
    const cancel = clock.after(limits.attemptSecondsMax * 1000, late, { unref: true })
    const exit = await new Promise<Exit.Exit<CommandResult, ExecutorFailed>>((resolve) => fiber.addObserver(resolve))
    cancel()
    const event = eventOf(exit, held, options, chance.next())
    // Aborted: whoever did it has said so to the engine already.
    await bring(event === undefined ? [] : [{ actor, cause: `attempt/${attempt}/${event.type}`, event }], [effect])
  }

  const stop = (held: Running, why: Running["stopped"]): Promise<void> => {
    held.stopped ??= why
    return Effect.runPromise(Fiber.interrupt(held.fiber))
  }

  const abort = async (actor: string, attempt: number, effect: OutboxPlace): Promise<void> => {
    for (const held of running) if (held.actor === actor && held.attempt === attempt) await stop(held, undefined)
    await bring([], [effect])
  }

  /** O2. */
  const bring = async (envelopes: readonly Envelope[], effects: readonly OutboxPlace[]): Promise<void> => {
    for (;;) {
      try {
        await engine.deliverWith(envelopes, () => {
          for (const effect of effects) store.outbox.done(effect)
        })
        return
      } catch (error) {
        if (error instanceof HostStopped) return
        warn(`${wizard}: a result could not be written, trying again: ${(error as Error).message}`)
        await sleep(clock, limits.retryMsMin)
      }
    }
  }

  return {
    recover: async () => {
      const attempts = left.attempts.splice(0)
      const effects = left.effects.splice(0)
      const reason = "the process ended in the middle of it"
      const envelopes = attempts.map(({ actor, attempt }) => ({
        actor,
        cause: `attempt/${attempt}/lose`,
        event: { type: "lose", attempt, reason },
      }))
      if (effects.length + envelopes.length > 0) await bring(envelopes, effects)
      return envelopes.length
    },
    running: () => running.size,
    abandon: async (reason) => {
      const held = [...running]
      await Promise.all(held.map((one) => stop(one, { type: "lost", reason })))
      await Promise.all(held.map(({ over }) => over))
    },
    close: unwatch,
  }
}

/** Attempts that are open, and effects that only a living process could have carried out. */
const leftBehind = (store: StoreShape, wizard: string) => ({
  attempts: store.attempt.allOpen().filter((row) => row.wizard === wizard),
  effects: ["execute", "abort"].flatMap((kind) =>
    store.outbox.pending(kind, wizard, outboxStart, Number.MAX_SAFE_INTEGER),
  ),
})

const eventOf = (
  exit: Exit.Exit<CommandResult, ExecutorFailed>,
  { attempt, stopped }: Running,
  { repeat = "safe", limits: { attemptSecondsMax } }: Pick<WorkerOptions, "repeat" | "limits">,
  chance: number,
): ActorEvent | undefined => {
  if (Exit.isSuccess(exit)) return { type: "succeed", attempt, result: exit.value }
  const fail = (retryable: boolean, reason: string): ActorEvent => ({
    type: "fail",
    attempt,
    retryable,
    chance,
    reason,
  })
  if (Cause.hasInterruptsOnly(exit.cause)) {
    if (stopped?.type === "lost") return { type: "lose", attempt, reason: stopped.reason }
    return stopped?.type === "late"
      ? fail(mayRetry("late", repeat), `it was not done after ${attemptSecondsMax} s`)
      : undefined
  }
  const failure = exit.cause.reasons.find(Cause.isFailReason)?.error
  return failure === undefined
    ? fail(false, `it broke: ${Cause.pretty(exit.cause).split("\n")[0]}`)
    : fail(mayRetry(failure.kind, repeat), failure.reason)
}
