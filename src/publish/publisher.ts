/**
 * From the outbox to the relays: signs what is owed, keeps the signed event, and offers it to each relay until each has
 * answered.
 *
 *   outbox row ─► signer ─► stored with its signature ─► a lane for each (wizard, relay) ─► OK ─► delivery row
 *
 * U1  An event is signed once and stored before it is first sent; every resend is the same event.
 * U2  A row is done when each relay of the wizard has answered, attached yet or not, and one took it; refused by all, it
 *     is a dead letter with the reasons.
 * U3  Events of one actor are offered to a relay in their order, one after the other.
 * U4  A relay that is away loses nothing: its lane begins again at the oldest event that it has not answered.
 * U5  A lane holds `deliveriesInFlightMax` events at most; the rest of its backlog stays in the store.
 * U6  A relay that bars us (`restricted`, `blocked`) is offered nothing more of that actor until it is reached anew, or
 *     `suspendSeconds` have passed; each of those is a try.
 * U7  An event that this signer cannot sign, since it bears another key, is a dead letter; the others go on.
 */
import type { NostrEvent } from "../protocol/event.ts"
import { isBarred, refusalOf } from "../protocol/refusal.ts"
import type { ClockShape } from "../services/clock.ts"
import type { Limits } from "../limits.ts"
import { outboxStart, type OutboxPlace, type OutboxRow, type StoreShape } from "../store/store.ts"
import type { Signer } from "../identity/signer.ts"
import type { Effect } from "../engine/command-host.ts"
import type { EngineShape } from "../engine/engine.ts"
import type { Outgoing } from "../engine/commands.ts"

export interface Answer {
  readonly accepted: boolean
  readonly message: string
}

/**
 * One relay as one wizard sees it. `publish` rejects where there is no answer: not connected, or lost. With `late: true`
 * on the error the relay was there and kept silent about this event.
 */
export interface Outlet {
  readonly relay: string
  readonly publish: (event: NostrEvent) => Promise<Answer>
}

export interface Publisher {
  /** Adds or replaces the outlet of a wizard to a relay. Returns what removes it. */
  readonly attach: (wizard: string, outlet: Outlet) => () => void
  /** The relay can be reached again. */
  readonly reconnected: (wizard: string, relay: string) => void
  /** Signs for a wizard from now on, for these relays. */
  readonly open: (wizard: string, signer: Signer, relays: readonly string[]) => void
  /** Events of a wizard that some relay has not answered. */
  readonly backlog: (wizard: string) => number
  readonly close: () => void
}

export interface PublisherOptions {
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly clock: ClockShape
  readonly limits: Pick<
    Limits,
    "deliveriesInFlightMax" | "deliveryTriesMax" | "okMsMax" | "reconnectMsMin" | "reconnectMsMax" | "suspendSeconds"
  >
  /** Hears of what could not be signed or stored; it is tried again. */
  readonly warn: (message: string) => void
}

const pageRows = 1024
/** Effects that are held in memory until they are signed. More: they are read from the store. */
const freshRowsMax = 8192

/** An outgoing event without a signature, and what owes it. */
interface Unsigned {
  readonly row: OutboxPlace
  readonly event: Outgoing
}

export const openPublisher = (options: PublisherOptions): Publisher => {
  const { engine, store } = options
  const wizards = new Map<string, WizardOutbox>()
  const unwatch = engine.watch(({ effects }) => {
    const owners = new Map<string, Effect[]>()
    for (const effect of effects) {
      if (effect.kind !== "publish") continue
      const owed = owners.get(effect.owner)
      if (owed === undefined) owners.set(effect.owner, [effect])
      else owed.push(effect)
    }
    for (const [owner, owed] of owners) wizards.get(owner)?.sign(owed)
  })
  return {
    open: (wizard, signer, relays) => {
      const outbox = openOutbox(wizard, signer, relays, options)
      wizards.set(wizard, outbox)
      outbox.sign([])
      outbox.tidy()
    },
    attach: (wizard, outlet) => {
      const outbox = wizards.get(wizard)
      if (outbox === undefined) throw new Error(`the outbox of ${wizard} is not open`)
      return outbox.attach(outlet)
    },
    reconnected: (wizard, relay) => wizards.get(wizard)?.reconnected(relay),
    backlog: (wizard) => store.outbox.countPending("publish", wizard),
    close: () => {
      unwatch()
      for (const outbox of wizards.values()) outbox.close()
    },
  }
}

interface WizardOutbox {
  /** Signs what is owed; these came to be just now. */
  readonly sign: (fresh: readonly Effect[]) => void
  /** Settles what each relay has answered: what it waited for is a relay no more. */
  readonly tidy: () => void
  readonly attach: (outlet: Outlet) => () => void
  readonly reconnected: (relay: string) => void
  readonly close: () => void
}

const openOutbox = (
  wizard: string,
  signer: Signer,
  known: readonly string[],
  options: PublisherOptions,
): WizardOutbox => {
  const { engine, store, clock, limits, warn } = options
  const lanes = new Map<string, Lane>()
  const relays = new Set(known)
  let place: OutboxPlace = outboxStart
  /** What came since the store was read to its end; undefined where that is still to be done. */
  let fresh: Effect[] | undefined
  let signing = false
  let again = false
  let closed = false

  /** Does the work until it succeeds, with doubled waits between. */
  const insist = async (what: string, work: () => Promise<void>): Promise<void> => {
    for (let waitMs = limits.reconnectMsMin; !closed; waitMs = Math.min(limits.reconnectMsMax, waitMs * 2)) {
      try {
        return await work()
      } catch (error) {
        if (closed || isStopped(error)) return
        warn(`${wizard}: what is owed could not be ${what}, trying again: ${messageOf(error)}`)
        await new Promise<void>((resolve) => void clock.after(waitMs, resolve, { unref: true }))
      }
    }
  }

  /** Signs everything owed after `place`, page by page; one page at a time is under way. */
  const sign = (more: readonly Effect[]): void => {
    fresh?.push(...more)
    // More than that is left to the store.
    if (fresh !== undefined && fresh.length > freshRowsMax) fresh = undefined
    again = true
    if (signing) return
    signing = true
    void (async () => {
      while (again && !closed) {
        again = false
        await insist("signed and stored", async () => {
          while (!closed && (await signPage())) for (const lane of lanes.values()) lane.pump()
        })
      }
      signing = false
    })()
  }

  /** The next of what is owed and not signed, and the place up to which that is all. */
  const nextPage = (): { readonly unsigned: readonly Unsigned[]; readonly end: OutboxPlace } | undefined => {
    if (fresh === undefined) {
      const rows = store.outbox.pending("publish", wizard, place, pageRows)
      const end = rows.at(-1)
      if (end !== undefined) {
        const unsigned = rows.filter(({ sig }) => sig === null)
        return { unsigned: unsigned.map((row) => ({ row, event: JSON.parse(row.payload) as Outgoing })), end }
      }
      // What the store holds already may be told of only later; it is passed over then.
      fresh = []
    }
    const owed = fresh.filter((row) => isAfter(row, place)).slice(0, pageRows)
    const end = owed.at(-1)
    return end === undefined
      ? undefined
      : { unsigned: owed.map((row) => ({ row, event: row.payload as Outgoing })), end }
  }

  const signPage = async (): Promise<boolean> => {
    const page = nextPage()
    if (page === undefined) return false
    const { unsigned, end } = page
    const [ours, foreign] = [true, false].map((own) =>
      unsigned.filter(({ event }) => (event.pubkey === signer.pubkey) === own),
    ) as [Unsigned[], Unsigned[]]
    if (unsigned.length > 0) {
      const signed = ours.length === 0 ? [] : await signer.sign(ours.map(({ event }) => event))
      await engine.write(() => {
        for (const [i, { row }] of ours.entries()) store.outbox.sign(row, (signed[i] as NostrEvent).sig)
        for (const { row, event } of foreign) store.outbox.dead(row, foreignReason(event.pubkey, signer.pubkey))
      })
    }
    if (foreign.length > 0)
      warn(`${wizard}: ${foreign.length} events bear another key than the wizard's own, and are dead letters`)
    place = end
    fresh = fresh?.filter((row) => isAfter(row, end))
    return true
  }

  const tidy = (): void =>
    void insist("settled", async () => {
      let after = outboxStart
      while (!closed && relays.size > 0) {
        const rows = store.outbox.answered("publish", wizard, [...relays], after, pageRows)
        const last = rows.at(-1)
        if (last === undefined) return
        await engine.write(() => rows.forEach(settle))
        after = last
      }
    })

  /** U2: the row is settled when every relay has answered. Inside a transaction. */
  const settle = (row: OutboxRow): void => {
    const answers = new Map(store.delivery.of(row).map((delivery) => [delivery.relay, delivery]))
    if ([...relays].some((relay) => !answers.has(relay))) return
    const given = [...answers.values()]
    if (given.some((delivery) => delivery.state === "accepted")) store.outbox.done(row)
    else store.outbox.dead(row, given.map((delivery) => `${delivery.relay}: ${delivery.error}`).join("; "))
  }

  return {
    sign,
    tidy,
    attach: (outlet) => {
      lanes.get(outlet.relay)?.close()
      relays.add(outlet.relay)
      const lane = openLane(wizard, outlet, settle, () => place, options)
      lanes.set(outlet.relay, lane)
      lane.pump()
      return () => {
        lane.close()
        if (lanes.get(outlet.relay) !== lane) return
        lanes.delete(outlet.relay)
        relays.delete(outlet.relay)
        tidy()
      }
    },
    reconnected: (relay) => lanes.get(relay)?.restart(),
    close: () => {
      closed = true
      for (const lane of lanes.values()) lane.close()
    },
  }
}

interface Lane {
  /** Sends what is waiting, as far as there is room. */
  readonly pump: () => void
  /** Begins again at the oldest event without an answer. */
  readonly restart: () => void
  readonly close: () => void
}

const openLane = (
  wizard: string,
  outlet: Outlet,
  settle: (row: OutboxRow) => void,
  signedUpTo: () => OutboxPlace,
  options: PublisherOptions,
): Lane => {
  const { engine, store, clock, limits, warn } = options
  const { relay } = outlet
  /** What waits behind an event of the same actor; the first of each list is under way (U3). */
  const chains = new Map<string, OutboxRow[]>()
  const tries = new Map<string, number>()
  /** U6: actors that wait for the next beginning. */
  const barred = new Set<string>()
  let place: OutboxPlace = outboxStart
  /** Up to here everything is answered: a new beginning does not look through it again. */
  let floor: OutboxPlace = outboxStart
  let held = 0
  let away = false
  let closed = false
  let generation = 0

  const pump = (): void => {
    // Filled up only when half is free: one look at the store for many answers.
    while (!closed && !away && held * 2 <= limits.deliveriesInFlightMax) {
      const end = signedUpTo()
      const rows = store.outbox
        .unanswered("publish", wizard, relay, place, limits.deliveriesInFlightMax - held)
        .filter((row) => !isAfter(row, end))
      const last = rows.at(-1)
      if (last === undefined) {
        if (isAfter(end, place)) place = end
        if (held === 0 && barred.size === 0) floor = place
        return
      }
      place = last
      for (const row of rows) {
        if (barred.has(row.actor)) continue
        held += 1
        const chain = chains.get(row.actor)
        if (chain === undefined) {
          chains.set(row.actor, [row])
          void send(row, generation)
        } else chain.push(row)
      }
    }
  }

  const send = async (row: OutboxRow, mine: number): Promise<void> => {
    let answer: Answer
    try {
      answer = await outlet.publish({ ...(JSON.parse(row.payload) as Outgoing), sig: row.sig } as NostrEvent)
    } catch (error) {
      if (mine !== generation || closed) return
      if (!isLate(error)) {
        // No answer: everything unanswered goes out again when the connection says that the relay is there, or later.
        if (away) return
        away = true
        return void clock.after(limits.okMsMax, () => mine === generation && restart(), { unref: true })
      }
      answer = { accepted: false, message: "error: no answer in time" }
    }
    if (mine !== generation || closed) return
    const count = (tries.get(row.effect) ?? 0) + 1
    const mayPass = !answer.accepted && count < limits.deliveryTriesMax
    if (mayPass && isBarred(answer.message)) {
      tries.set(row.effect, count)
      return bar(row.actor, mine)
    }
    if (mayPass && refusalOf(answer.message) !== "never") {
      tries.set(row.effect, count)
      const waitMs = Math.min(limits.reconnectMsMax, limits.reconnectMsMin * 2 ** (count - 1))
      clock.after(waitMs, () => mine === generation && !closed && void send(row, mine), { unref: true })
      return
    }
    try {
      await engine.write(() => {
        const state = answer.accepted ? "accepted" : "refused"
        store.delivery.put({
          position: row.position,
          effect: row.effect,
          relay,
          state,
          tries: count,
          error: answer.accepted ? null : answer.message,
        })
        settle(row)
      })
    } catch (error) {
      // The answer is not kept, so the event goes out once more, and the relay says that it has it.
      if (closed || isStopped(error)) return
      warn(`${wizard} at ${relay}: an answer could not be stored: ${messageOf(error)}`)
      return void clock.after(limits.reconnectMsMin, restart, { unref: true })
    }
    tries.delete(row.effect)
    if (mine !== generation) return
    held -= 1
    const chain = chains.get(row.actor)
    chain?.shift()
    const next = chain?.[0]
    if (next === undefined) chains.delete(row.actor)
    else void send(next, mine)
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
    held = 0
    away = false
    place = floor
    pump()
  }

  return {
    pump,
    restart,
    close: () => {
      closed = true
    },
  }
}

const foreignReason = (bears: string, ours: string): string =>
  `it cannot be signed: it bears the key ${bears}, and the wizard's key is ${ours} now`

const isLate = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "late" in error && error.late === true

/** The engine has stopped: what is owed is sent by the next start. */
const isStopped = (error: unknown): boolean => error instanceof Error && error.name === "HostStopped"

const isAfter = (a: OutboxPlace, b: OutboxPlace): boolean =>
  a.position > b.position || (a.position === b.position && indexOf(a.effect) > indexOf(b.effect))

const indexOf = (effect: string): number => Number(effect.slice(effect.lastIndexOf("/") + 1))

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
