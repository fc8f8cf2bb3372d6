/**
 * Begins what is queued, one delivery at a time for verbs and one for tasks. Which one is next is the store's order;
 * whether there is room is judged once more in the transaction.
 */
import type { Counts } from "../engine/commands.ts"
import { HostStopped } from "../engine/command-host.ts"
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
  /** Tasks wait: it is paused, or a backlog is being read. Verbs (`resume` among them) do not. */
  readonly held: () => boolean
  readonly warn: (message: string) => void
}): Pump => {
  const { name, engine, store, counts, limits, clock } = options
  const lane = (work: "verb" | "task", openMax: number, may: () => boolean) => {
    let busy = false
    let again = false
    const pump = async (): Promise<void> => {
      again = true
      if (busy) return
      busy = true
      try {
        // A call that comes while one is under way may know of what the other did not see.
        while (again && may()) {
          again = false
          const room = openMax - counts.open(name, work)
          const rows = room > 0 ? store.command.nextUp(name, work, room) : []
          if (rows.length === 0) break
          const outcomes = await engine.deliver(
            rows.map(({ actor, receipts }) => ({ actor, cause: `begin/${receipts}`, event: { type: "begin" } })),
          )
          // A faulted one has left the queue, and nobody else is told of it.
          again ||= outcomes.some((outcome) => outcome === "applied" || outcome === "faulted")
        }
      } catch (error) {
        if (error instanceof HostStopped) return
        options.warn(`${name}: nothing could be begun, trying again: ${(error as Error).message}`)
        clock.after(limits.retryMsMin, () => void pump(), { unref: true })
      } finally {
        busy = false
      }
    }
    return () => void pump()
  }
  return {
    verbs: lane("verb", 1, options.may),
    tasks: lane("task", limits.concurrentAttemptsMax, () => options.may() && !options.held()),
  }
}
