/**
 * The alarm clock: turns timer rows that fall due into inputs. A timer that is disarmed in the same moment is dropped
 * by the engine, as is one that fired before; so it may be late, but never early and never twice.
 */
import type { ClockShape } from "../services/clock.ts"
import type { StoreShape } from "../store/store.ts"
import { HostStopped, type ActorKind } from "./command-host.ts"
import type { EngineShape } from "./engine.ts"

/** How many timers are taken at a time, and how long at most until the clock is looked at again (it may be stepped). */
const dueRowsMax = 256
const lookAgainMsMax = 60_000

export const openAlarms = (options: {
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly clock: ClockShape
  readonly kinds: Readonly<Record<string, ActorKind>>
}): { readonly close: () => void } => {
  const { engine, store, clock, kinds } = options
  let cancel = (): void => {}
  let armedFor = Number.POSITIVE_INFINITY
  let closed = false
  let ringing = false

  const arm = (): void => {
    if (closed || ringing) return
    const due = store.timer.next()
    if (due === armedFor) return
    cancel()
    armedFor = due ?? Number.POSITIVE_INFINITY
    if (due === undefined) return
    cancel = clock.after(Math.min(lookAgainMsMax, Math.max(0, due - clock.nowMs())), () => void ring(), { unref: true })
  }

  const ring = async (): Promise<void> => {
    ringing = true
    armedFor = Number.POSITIVE_INFINITY
    try {
      for (;;) {
        const due = store.timer.due(clock.nowMs(), dueRowsMax)
        if (due.length === 0 || closed) break
        await engine.deliver(
          due.map(({ actor, name, effect }) => ({
            actor,
            cause: `timer/${effect}`,
            event: kinds[actor.slice(0, actor.indexOf("/"))]?.alarm(name) ?? { type: name },
            timer: { name, effect },
          })),
        )
      }
    } catch (error) {
      // Not written (a full disk): the rows are still due, and the clock is looked at again below.
      if (error instanceof HostStopped) closed = true
      else await new Promise<void>((resolve) => void clock.after(1000, resolve, { unref: true }))
    }
    ringing = false
    arm()
  }

  const unwatch = engine.watch(arm)
  arm()
  return {
    close: () => {
      closed = true
      cancel()
      unwatch()
    },
  }
}
