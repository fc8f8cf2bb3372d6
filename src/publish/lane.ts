/**
 * The way of one wizard's events to one relay: what it has not answered, in order, a bounded number at a time.
 *
 *   store ─► page ─► chains (one for each actor) ─► ready ─► under way ─► answer ─► delivery row
 *
 * Keeps U3–U6, U9 and U10 of `publisher.ts`.
 */
import { isBarred, isRateLimited, isTooOld, refusalOf } from "../protocol/refusal.ts"
import type { NostrEvent } from "../protocol/event.ts"
import { outboxStart, type DeliveryRow, type OutboxPlace, type OutboxRow } from "../store/store.ts"
import type { Outgoing } from "../engine/commands.ts"
import { isAfter, isStopped, messageOf, type Answer, type Outlet, type PublisherOptions } from "./outlet.ts"
import { isPassed } from "./passing.ts"

export interface Lane {
  /** Sends what is waiting, as far as there is room. */
  readonly pump: () => void
  /** Begins again at the oldest event without an answer. */
  readonly restart: () => void
  /** The same where something from that place on is owed once more; its tries are counted anew. */
  readonly rewind: (from: OutboxPlace, effects: readonly string[]) => void
  readonly close: () => void
}

/** What may be sent: everything up to a place, whose signatures are in the store or here. */
export interface Signed {
  readonly upTo: () => OutboxPlace
  readonly of: (effect: string) => string | undefined
}

export const openLane = (
  wizard: string,
  outlet: Outlet,
  settle: (row: OutboxRow) => void,
  signed: Signed,
  options: PublisherOptions,
): Lane => {
  const { engine, store, clock, limits, warn } = options
  const { relay } = outlet
  /** What waits behind an event of the same actor; the first of each list is under way or ready (U3). */
  const chains = new Map<string, OutboxRow[]>()
  const tries = new Map<string, number>()
  /** U6: actors that wait for the next beginning. */
  const barred = new Set<string>()
  const pace = openPace(limits)
  let ready: OutboxRow[] = []
  let place: OutboxPlace = outboxStart
  /** Up to here everything is answered: a new beginning does not look through it again. */
  let floor: OutboxPlace = outboxStart
  let held = 0
  let underWay = 0
  let resting = false
  let away = false
  let closed = false
  let generation = 0

  const pump = (): void => {
    // Filled up only when half is free: one look at the store for many answers.
    while (!closed && !away && held * 2 <= limits.deliveriesInFlightMax) {
      const end = signed.upTo()
      // An answer is no news of the store: most of the time there is nothing to look for.
      const rows = isAfter(end, place)
        ? store.outbox
            .unanswered("publish", wizard, relay, place, limits.deliveriesInFlightMax - held)
            .filter((row) => !isAfter(row, end))
        : []
      const last = rows.at(-1)
      if (last === undefined) {
        if (isAfter(end, place)) place = end
        if (held === 0 && barred.size === 0) floor = place
        return
      }
      place = last
      for (const found of rows) {
        if (barred.has(found.actor)) continue
        const row = { ...found, sig: found.sig ?? signed.of(found.effect) ?? null }
        held += 1
        const chain = chains.get(row.actor)
        if (chain === undefined) {
          chains.set(row.actor, [row])
          ready.push(row)
        } else chain.push(row)
      }
      flow()
    }
  }

  /** As many as the relay bears go out; while it asks for a rest, none. */
  const flow = (): void => {
    while (!closed && !away && !resting && underWay < pace.most()) {
      const row = ready.shift()
      if (row === undefined) return
      if (isPassed(store, row)) void keep(row, { state: "dropped", tries: tries.get(row.effect) ?? 0 }, generation)
      else void send(row, generation)
    }
  }

  const send = async (row: OutboxRow, mine: number): Promise<void> => {
    underWay += 1
    const answer = await ask(row, mine)
    if (mine !== generation || closed) return
    underWay -= 1
    if (answer === undefined) return
    const { accepted, message } = answer
    const count = (tries.get(row.effect) ?? 0) + 1
    const mayPass = !accepted && count < limits.deliveryTriesMax && !isTooOld(message)
    if (mayPass) tries.set(row.effect, count)
    if (mayPass && isBarred(message)) bar(row.actor, mine)
    else if (mayPass && isRateLimited(message)) rest(row, mine)
    else if (mayPass && refusalOf(message) !== "never") {
      const waitMs = Math.min(limits.reconnectMsMax, limits.reconnectMsMin * 2 ** (count - 1))
      clock.after(waitMs, () => mine === generation && again(row), { unref: true })
    } else {
      if (accepted) pace.taken()
      await keep(row, { state: accepted ? "accepted" : "refused", tries: count, error: message }, mine)
    }
    if (mine === generation) flow()
  }

  /** The relay's word; undefined where there is none, and all of it goes out again later. */
  const ask = async (row: OutboxRow, mine: number): Promise<Answer | undefined> => {
    try {
      return await outlet.publish({ ...(JSON.parse(row.payload) as Outgoing), sig: row.sig } as NostrEvent)
    } catch (error) {
      if (isLate(error)) return { accepted: false, message: "error: no answer in time" }
      // No answer: everything unanswered goes out again when the connection says that the relay is there, or later.
      if (mine === generation && !closed && !away) {
        away = true
        clock.after(limits.okMsMax, () => mine === generation && restart(), { unref: true })
      }
      return undefined
    }
  }

  /** Before what came after it: else the oldest would be refused time and again. */
  const again = (row: OutboxRow): void => {
    const at = ready.findIndex((other) => isAfter(other, row))
    ready.splice(at === -1 ? ready.length : at, 0, row)
    flow()
  }

  /** U9: the whole lane waits, not only what was refused, and then goes on with fewer at a time. */
  const rest = (row: OutboxRow, mine: number): void => {
    // Those that were under way meanwhile say nothing new.
    const isNews = !resting
    resting = true
    again(row)
    if (!isNews) return
    const wake = (): void => {
      if (mine !== generation || closed) return
      resting = false
      flow()
    }
    clock.after(pace.limited(), wake, { unref: true })
  }

  /** Writes the answer down, and goes on with the actor's next event. */
  const keep = async (
    row: OutboxRow,
    answer: Pick<DeliveryRow, "state" | "tries"> & { readonly error?: string },
    mine: number,
  ): Promise<void> => {
    const { position, effect } = row
    const { state } = answer
    // The relay has spoken: the actor's next event does not wait until that is written (U3).
    const chain = chains.get(row.actor)
    chain?.shift()
    const next = chain?.[0]
    if (next === undefined) chains.delete(row.actor)
    else {
      ready.push(next)
      flow()
    }
    try {
      await engine.write(() => {
        const error = state === "refused" ? (answer.error ?? "") : null
        store.delivery.put({ position, effect, relay, state, tries: answer.tries, error })
        settle(row)
      })
    } catch (error) {
      // The answer is not kept, so the event goes out once more, and the relay says that it has it.
      if (closed || isStopped(error)) return
      warn(`${wizard} at ${relay}: an answer could not be stored: ${messageOf(error)}`)
      return void clock.after(limits.reconnectMsMin, restart, { unref: true })
    }
    tries.delete(effect)
    if (mine !== generation) return
    held -= 1
    pump()
  }

  /** U6. */
  const bar = (actor: string, mine: number): void => {
    held -= chains.get(actor)?.length ?? 0
    chains.delete(actor)
    if (barred.size === 0)
      clock.after(limits.suspendSeconds * 1000, () => mine === generation && restart(), { unref: true })
    barred.add(actor)
    pump()
  }

  const restart = (): void => {
    if (closed) return
    generation += 1
    chains.clear()
    barred.clear()
    ready = []
    held = 0
    underWay = 0
    resting = false
    away = false
    place = floor
    pump()
  }

  return {
    pump,
    restart,
    rewind: (from, effects) => {
      for (const effect of effects) tries.delete(effect)
      if (isAfter(floor, from)) floor = from
      restart()
    },
    close: () => {
      closed = true
    },
  }
}

/**
 * How many events a relay bears at a time: half as many each time that it says `rate-limited:`, one more when it took
 * so many again; and how long it is left alone then, twice as long each time until it takes something.
 */
const openPace = (limits: PublisherOptions["limits"]) => {
  let most = limits.deliveriesInFlightMax
  let inRow = 0
  return {
    most: (): number => Math.floor(most),
    taken: (): void => {
      inRow = 0
      most = Math.min(limits.deliveriesInFlightMax, most + 1 / most)
    },
    limited: (): number => {
      most = Math.max(1, Math.floor(most / 2))
      inRow += 1
      return Math.min(limits.reconnectMsMax, limits.reconnectMsMin * 2 ** (inRow - 1))
    },
  }
}

const isLate = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "late" in error && error.late === true
