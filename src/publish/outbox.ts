/**
 * What one wizard owes: signs it, hands it to the lanes, and settles what every relay has answered.
 *
 * Keeps U1, U2, U7, U8 and U11 of `publisher.ts`.
 */
import type { NostrEvent } from "../protocol/event.ts"
import { outboxStart, type OutboxPlace, type OutboxRow } from "../store/store.ts"
import type { Signer } from "../identity/signer.ts"
import type { Effect } from "../engine/command-host.ts"
import type { Outgoing } from "../engine/commands.ts"
import { openLane, type Lane } from "./lane.ts"
import { isAfter, isStopped, justBefore, messageOf, type Outlet, type PublisherOptions } from "./outlet.ts"

export interface WizardOutbox {
  /** Signs what is owed; these came to be just now. */
  readonly sign: (fresh: readonly Effect[]) => void
  /** Settles what each relay has answered: what it waited for is a relay no more. */
  readonly tidy: () => void
  /** These are owed once more. */
  readonly revived: (rows: readonly OutboxPlace[]) => void
  /** What is owed waits for this relay too, and it is offered what it should know (U8). */
  readonly know: (relay: string) => Promise<void>
  /** Nothing waits for this relay any more. */
  readonly forget: (relay: string) => Promise<void>
  readonly attach: (outlet: Outlet) => () => void
  readonly reconnected: (relay: string) => void
  readonly close: () => void
}

const pageRows = 1024
/** Effects that are held in memory until they are signed. More: they are read from the store. */
const freshRowsMax = 8192

/** An outgoing event without a signature, and what owes it. */
interface Unsigned {
  readonly row: OutboxPlace
  readonly event: Outgoing
}

interface Page {
  readonly unsigned: readonly Unsigned[]
  readonly end: OutboxPlace
  /** What is read from the store may not be on the disk yet; what was told of is. */
  readonly isDurable: boolean
}

export const openOutbox = (
  wizard: string,
  signer: Signer,
  known: readonly string[],
  options: PublisherOptions,
): WizardOutbox => {
  const { engine, store, clock, limits, warn } = options
  const lanes = new Map<string, Lane>()
  const relays = new Set(known)
  /** Up to here everything is signed and stored. */
  let place: OutboxPlace = outboxStart
  /** Up to here everything is signed; the lanes may send it (U1). */
  let ahead: OutboxPlace = outboxStart
  /** By effect, what is signed and not stored yet. */
  const signatures = new Map<string, string>()
  /** What came since the store was read to its end; undefined where that is still to be done. */
  let fresh: Effect[] | undefined
  /** What is owed once more, until the signing has gone back to it. */
  let revived: readonly OutboxPlace[] = []
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
          while (!closed && (await signPage())) pump()
        })
      }
      signing = false
    })()
  }

  const pump = (): void => {
    for (const lane of lanes.values()) lane.pump()
  }

  /** The next of what is owed and not signed, and the place up to which that is all. */
  const nextPage = (): Page | undefined => {
    if (fresh === undefined) {
      const rows = store.outbox.pending("publish", wizard, place, pageRows)
      const end = rows.at(-1)
      if (end !== undefined) {
        const unsigned = rows.filter(({ sig }) => sig === null)
        const page = unsigned.map((row) => ({ row, event: JSON.parse(row.payload) as Outgoing }))
        return { unsigned: page, end, isDurable: false }
      }
      // What the store holds already may be told of only later; it is passed over then.
      fresh = []
    }
    const owed = fresh.filter((row) => isAfter(row, place)).slice(0, pageRows)
    const end = owed.at(-1)
    return end === undefined
      ? undefined
      : { unsigned: owed.map((row) => ({ row, event: row.payload as Outgoing })), end, isDurable: true }
  }

  const signPage = async (): Promise<boolean> => {
    goBack()
    const page = nextPage()
    if (page === undefined) return false
    const { unsigned, end, isDurable } = page
    const [ours, foreign] = [true, false].map((own) =>
      unsigned.filter(({ event }) => (event.pubkey === signer.pubkey) === own),
    ) as [Unsigned[], Unsigned[]]
    if (unsigned.length > 0) {
      const signed = ours.length === 0 ? [] : await signer.sign(ours.map(({ event }) => event))
      for (const [i, { row }] of ours.entries()) signatures.set(row.effect, (signed[i] as NostrEvent).sig)
      const written = engine.write(() => {
        for (const [i, { row }] of ours.entries()) store.outbox.sign(row, (signed[i] as NostrEvent).sig)
        for (const { row, event } of foreign) store.outbox.dead(row, foreignReason(event.pubkey, signer.pubkey))
      })
      if (isDurable && foreign.length === 0) {
        ahead = end
        pump()
      }
      await written
      signatures.clear()
    }
    if (foreign.length > 0)
      warn(`${wizard}: ${foreign.length} events bear another key than the wizard's own, and are dead letters`)
    place = end
    ahead = end
    fresh = fresh?.filter((row) => isAfter(row, end))
    return true
  }

  /** To the first of what is owed once more: nothing after it is signed, as far as the lanes know, until it is. */
  const goBack = (): void => {
    const [one, ...others] = revived
    if (one === undefined) return
    const effects = revived.map(({ effect }) => effect)
    revived = []
    const from = justBefore(others.reduce((first, row) => (isAfter(first, row) ? row : first), one))
    if (isAfter(place, from)) place = from
    ahead = place
    fresh = undefined
    for (const lane of lanes.values()) lane.rewind(from, effects)
  }

  const settleAll = (): Promise<void> =>
    insist("settled", async () => {
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
    if (given.some(({ state }) => state !== "refused")) store.outbox.done(row)
    else store.outbox.dead(row, given.map(({ relay, error }) => `${relay}: ${error}`).join("; "))
  }

  const offered = (): readonly string[] | undefined => {
    const list = store.setting.get(wizard, offeredKey)
    return list === undefined ? undefined : (JSON.parse(list) as string[])
  }
  const setOffered = (list: readonly string[]): void =>
    store.setting.put(wizard, offeredKey, JSON.stringify([...new Set(list)]))

  /** U8: once for each relay, also where the process ends in the middle. */
  const offer = (relay: string): Promise<void> =>
    insist(`offered to ${relay}`, async () => {
      const before = offered()
      if (before?.includes(relay) === true || !relays.has(relay)) return
      // A home that knew none before owes nothing to anybody.
      const owed = before === undefined ? [] : store.outbox.ofUnended(wizard, relay)
      for (let at = 0; at < owed.length; at += pageRows) {
        const rows = owed.slice(at, at + pageRows)
        await engine.write(() => {
          for (const row of rows) store.outbox.owe(row)
        })
        revived = [...revived, ...rows]
      }
      await engine.write(() => {
        if (before !== undefined) store.outbox.passEnded(wizard, relay)
        setOffered([...(offered() ?? []), relay])
      })
      sign([])
    })

  /** A relay that is one no more is offered everything anew when it comes back. */
  const prune = (): Promise<void> =>
    insist("settled", async () => {
      if (offered()?.every((relay) => relays.has(relay)) ?? true) return
      await engine.write(() => setOffered((offered() ?? []).filter((relay) => relays.has(relay))))
    })

  const forgetLane = (relay: string): void => {
    lanes.get(relay)?.close()
    lanes.delete(relay)
    relays.delete(relay)
  }

  return {
    sign,
    tidy: () => void settleAll().then(prune),
    revived: (rows) => {
      revived = [...revived, ...rows]
      sign([])
    },
    know: async (relay) => {
      relays.add(relay)
      await offer(relay)
    },
    forget: async (relay) => {
      forgetLane(relay)
      await insist("settled", async () => {
        await engine.write(() => {
          setOffered((offered() ?? []).filter((each) => each !== relay))
          store.delivery.dropRefused(wizard, relay)
        })
      })
      await settleAll()
    },
    attach: (outlet) => {
      lanes.get(outlet.relay)?.close()
      relays.add(outlet.relay)
      const lane = openLane(
        wizard,
        outlet,
        settle,
        { upTo: () => ahead, of: (effect) => signatures.get(effect) },
        options,
      )
      lanes.set(outlet.relay, lane)
      lane.pump()
      return () => {
        lane.close()
        if (lanes.get(outlet.relay) !== lane) return
        forgetLane(outlet.relay)
        void settleAll()
      }
    },
    reconnected: (relay) => lanes.get(relay)?.restart(),
    close: () => {
      closed = true
      for (const lane of lanes.values()) lane.close()
    },
  }
}

/** The setting of a wizard that lists the relays which were offered what U8 says. */
const offeredKey = "relaysOffered"

const foreignReason = (bears: string, ours: string): string =>
  `it cannot be signed: it bears the key ${bears}, and the wizard's key is ${ours} now`
