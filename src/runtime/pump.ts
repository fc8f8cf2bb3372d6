/**
 * Begins what is queued, one delivery at a time for verbs and one for tasks. Which one is next is the store's order;
 * whether there is room is judged once more in the transaction.
 */
import type { Counts } from "../engine/commands.ts"
import type { EngineShape } from "../engine/engine.ts"
import type { Limits } from "../limits.ts"
import type { ClockShape } from "../services/clock.ts"
import type { StoreShape } from "../store/store.ts"

export interface Pump {
  readonly verbs: () => void
  readonly tasks: () => void
}

export const openPump = (options: {
  readonly name: string
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly counts: Counts
  readonly limits: Pick<Limits, "concurrentAttemptsMax" | "retryMsMin">
  readonly clock: ClockShape
  /** Whether anything may begin now. */
  readonly may: () => boolean
  /** Tasks wait; verbs (`resume` among them) do not. */
  readonly paused: () => boolean
  readonly warn: (message: string) => void
}): Pump => {
  const { name, engine, store, counts, limits, clock } = options
  const lane = (work: "verb" | "task", openMax: number, may: () => boolean) => {
    let busy = false
    const pump = async (): Promise<void> => {
      if (busy || !may()) return
      const room = openMax - counts.open(name, work)
      if (room <= 0) return
      const rows = store.command.nextUp(name, work, room)
      if (rows.length === 0) return
      busy = true
      try {
        const outcomes = await engine.deliver(
          rows.map(({ actor, receipts }) => ({ actor, cause: `begin/${receipts}`, event: { type: "begin" } })),
        )
        busy = false
        if (outcomes.includes("applied")) void pump()
      } catch (error) {
        busy = false
        options.warn(`${name}: nothing could be begun, trying again: ${(error as Error).message}`)
        clock.after(limits.retryMsMin, () => void pump(), { unref: true })
      }
    }
    return () => void pump()
  }
  return {
    verbs: lane("verb", 1, options.may),
    tasks: lane("task", limits.concurrentAttemptsMax, () => options.may() && !options.paused()),
  }
}
