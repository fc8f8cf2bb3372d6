/**
 * Does what was begun: runs the executor of one wizard, and brings its result back to the engine as an input.
 *
 * O1  Nothing runs before its `execute` effect is durable.
 * O2  A result is brought back until it is durable, or the engine has stopped.
 * O3  What an earlier life left open is `lost`: the machine decides what becomes of it.
 * O4  Draining takes nothing new; what is not done in time is stopped and `lost`.
 */
import { Cause, Effect, Exit, Fiber } from "effect"
import type { Limits } from "../limits.ts"
import type { ExecutorFailed } from "../executors/executor.ts"
import type { ChanceShape } from "../services/chance.ts"
import { sleep, type ClockShape } from "../services/clock.ts"
import type { CommandRow, StoreShape } from "../store/store.ts"
import { HostStopped, type ActorEvent } from "../engine/command-host.ts"
import type { CommandResult } from "../engine/commands.ts"
import type { EngineShape } from "../engine/engine.ts"

export interface WorkerOptions {
  readonly wizard: string
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly clock: ClockShape
  readonly chance: ChanceShape
  readonly limits: Pick<Limits, "attemptSecondsMax" | "retryMsMin">
  /** The work of a row, whatever kind it is. */
  readonly perform: (row: CommandRow, attempt: number) => Effect.Effect<CommandResult, ExecutorFailed>
  readonly warn: (message: string) => void
}

export interface Worker {
  /** Declares lost what an earlier life left open. Call before anything begins. */
  readonly recover: () => Promise<number>
  readonly running: () => number
  /** Stops everything, declaring it lost. */
  readonly abandon: (reason: string) => Promise<void>
  readonly close: () => void
}

export const openWorker = (options: WorkerOptions): Worker => {
  const { wizard, engine, store, clock, chance, limits, warn } = options
  const running = new Map<
    string,
    { readonly fiber: Fiber.Fiber<CommandResult, ExecutorFailed>; readonly attempt: number }
  >()

  const unwatch = engine.watch(({ effects }) => {
    for (const { kind, owner, actor, effect, payload } of effects) {
      if (owner !== wizard) continue
      if (kind === "execute") void run(actor, (payload as { attempt: number }).attempt, effect)
      if (kind === "abort") void stop(actor, effect)
    }
  })

  const run = async (actor: string, attempt: number, effect: string): Promise<void> => {
    const row = store.command.get(actor) as CommandRow
    const fiber = Effect.runFork(options.perform(row, attempt))
    running.set(actor, { fiber, attempt })
    let late = false
    const cancel = clock.after(
      limits.attemptSecondsMax * 1000,
      () => {
        late = true
        void Effect.runFork(Fiber.interrupt(fiber))
      },
      { unref: true },
    )
    const exit = await Effect.runPromise(Fiber.await(fiber))
    cancel()
    if (running.get(actor)?.fiber === fiber) running.delete(actor)
    const event = late ? timedOut(attempt, limits.attemptSecondsMax) : eventOf(exit, attempt, chance.next())
    // Interrupted by us: whoever did it has said so to the engine already.
    if (event === undefined) return
    await bring(actor, `attempt/${attempt}/${event.type}`, event, effect)
  }

  const stop = async (actor: string, effect: string): Promise<void> => {
    const held = running.get(actor)
    if (held !== undefined) await Effect.runPromise(Fiber.interrupt(held.fiber))
    await untilWritten(() => engine.write(() => store.outbox.done(effect)))
  }

  const bring = (actor: string, cause: string, event: ActorEvent, effect: string | undefined): Promise<unknown> =>
    untilWritten(() =>
      engine.deliverWith([{ actor, cause, event }], () => {
        if (effect !== undefined) store.outbox.done(effect)
      }),
    )

  const untilWritten = async (write: () => Promise<unknown>): Promise<void> => {
    for (;;) {
      try {
        await write()
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
      const open = store.attempt.allOpen().filter((row) => row.wizard === wizard && !running.has(row.actor))
      const reason = "the process ended in the middle of it"
      for (const { actor, attempt } of open) {
        const effect = store.outbox
          .of(actor)
          .findLast((row) => row.kind === "execute" && row.state === "pending")?.effect
        await bring(actor, `attempt/${attempt}/lose`, { type: "lose", attempt, reason }, effect)
      }
      return open.length
    },
    running: () => running.size,
    abandon: async (reason) => {
      const held = [...running]
      for (const [actor, { fiber, attempt }] of held) {
        await Effect.runPromise(Fiber.interrupt(fiber))
        await bring(actor, `attempt/${attempt}/lose`, { type: "lose", attempt, reason }, undefined)
      }
    },
    close: unwatch,
  }
}

const timedOut = (attempt: number, seconds: number): ActorEvent => ({
  type: "fail",
  attempt,
  retryable: true,
  chance: 0.5,
  reason: `it was not done after ${seconds} s`,
})

const eventOf = (
  exit: Exit.Exit<CommandResult, ExecutorFailed>,
  attempt: number,
  chance: number,
): ActorEvent | undefined => {
  if (Exit.isSuccess(exit)) return { type: "succeed", attempt, result: exit.value }
  if (Cause.hasInterruptsOnly(exit.cause)) return undefined
  const failure = exit.cause.reasons.find(Cause.isFailReason)?.error
  return failure === undefined
    ? {
        type: "fail",
        attempt,
        retryable: false,
        chance,
        reason: `it broke: ${Cause.pretty(exit.cause).split("\n")[0]}`,
      }
    : { type: "fail", attempt, retryable: failure.kind === "retryable", chance, reason: failure.reason }
}
