/**
 * The alarm clock: turns timer rows that fall due into inputs. A timer that is disarmed in the same moment is dropped
 * by the engine, as is one that fired before; so it may be late, but never early and never twice.
 */
import type { ClockShape } from "../services/clock.ts"
import type { StoreShape, TimerRow } from "../store/store.ts"
import { HostStopped, type ActorKind } from "./command-host.ts"
import type { EngineShape } from "./engine.ts"

/** How many timers are taken at a time, and how long at most until the clock is looked at again (it may be stepped). */
const dueRowsMax = 256
const lookAgainMsMax = 60_000
const heldMs = 1000

export const openAlarms = (options: {
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly clock: ClockShape
  readonly kinds: Readonly<Record<string, ActorKind>>
  /** Whether an actor may be woken now. One that may not is asked for again, soon; it holds up nobody else. */
  readonly may?: (actor: string) => boolean
}): { readonly close: () => void } => {
  const { engine, store, clock, kinds, may = () => true } = options
  let cancel = (): void => {}
  let armedFor = Number.POSITIVE_INFINITY
  let closed = false
  let ringing = false
  let holding = false

  const arm = (): void => {
    if (closed || ringing) return
    const due = store.timer.next()
    if (due === armedFor) return
    cancel()
    armedFor = due ?? Number.POSITIVE_INFINITY
    if (due === undefined) return
    const waitMs = holding ? heldMs : Math.max(0, due - clock.nowMs())
    cancel = clock.after(Math.min(lookAgainMsMax, waitMs), () => void ring(), { unref: true })
  }

  const ringable = (): readonly TimerRow[] => {
    for (let most = dueRowsMax; ; most *= 2) {
      const due = store.timer.due(clock.nowMs(), most)
      const free = due.filter(({ actor }) => may(actor))
      holding = free.length < due.length
      if (free.length > 0 || due.length < most) return free
    }
  }

  const ring = async (): Promise<void> => {
    ringing = true
    armedFor = Number.POSITIVE_INFINITY
    try {
      for (;;) {
        const due = ringable()
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
