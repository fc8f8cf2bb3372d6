/**
 * The embedded relay: one port, one database, put together from its parts.
 *
 *   socket ─► session ─► policies ─► writer ─► storage
 *                 ▲ └───── REQ ────────────────►┘ │
 *                 └─────────── live feed ◄────────┘
 *
 * Where does it go? A new verb: `verbs/` and a line in `session.ts`. A reason to refuse an event: `policies.ts`. Who may
 * come: `access.ts`; who sees what: `sight.ts`. What is kept: `storage.ts`. A management call: `management.ts`.
 */
import type { VerifierShape } from "../identity/verifier.ts"
import type { Limits } from "../limits.ts"
import { type ChanceShape, systemChance } from "../services/chance.ts"
import { type ClockShape, nowSeconds } from "../services/clock.ts"
import { accessBy } from "./access.ts"
import { addressesOf, isLoopback, urlOf } from "./addresses.ts"
import type { SessionParts } from "./client.ts"
import { filterParser } from "./filter.ts"
import { information } from "./information.ts"
import { liveFeed } from "./live.ts"
import { answerCall } from "./management.ts"
import { followMembers } from "./members.ts"
import { perMinute } from "./rate.ts"
import { type RelayRules, rulesAt } from "./rules.ts"
import { openSession } from "./session.ts"
import { listen } from "./socket.ts"
import { openStorage, type Storage } from "./storage.ts"
import { groupWriter } from "./writer.ts"

export { ListenFailed, PortBusy } from "./socket.ts"

export interface RelayOptions {
  /** Default 127.0.0.1. */
  readonly host?: string
  /** 0: any free one. */
  readonly port: number
  /** The database; `:memory:` keeps nothing. */
  readonly file: string
  readonly verifier: VerifierShape
  readonly clock: ClockShape
  readonly chance?: ChanceShape
  readonly limits: Limits
  /** The addresses by which others reach it (wss://…), which AUTH and management calls must name. */
  readonly urls?: readonly string[]
  /** The council's public key in hex: its roster says who is a member, and it alone manages the relay. */
  readonly council?: string | undefined
  /** What is not said here goes by the host: open on this machine, members elsewhere. */
  readonly rules?: Partial<RelayRules>
  /** `normal`: OK does not wait for the disk. Default `full`. */
  readonly durability?: "full" | "normal"
  /** A sync failed (DatabaseBroken): the relay has said goodbye (1011) to its clients and takes no more. Told once. */
  readonly onBroken?: (error: Error) => void
}

export interface RelayServer {
  /** `ws://127.0.0.1:PORT` */
  readonly url: string
  readonly port: number
  readonly stats: () => RelayStats
  /** Answers what is under way, says goodbye (1001), syncs, closes the database. More than one call is one. */
  readonly close: () => Promise<void>
}

export interface RelayStats {
  readonly clients: number
  readonly subscriptions: number
  /** Events in the database. */
  readonly events: number
  /** EVENT messages answered OK true, and OK false after the policies; transactions. Since the start. */
  readonly accepted: number
  readonly refused: number
  readonly groups: number
}

/** Rejects with PortBusy, ListenFailed, DatabaseTooNew or DatabaseBroken; then nothing is left open. */
export const serveRelay = async (options: RelayOptions): Promise<RelayServer> => {
  const { host = "127.0.0.1", port, file, verifier, clock, limits, council, durability = "full" } = options
  const { urls = [], chance = systemChance } = options
  const rules = rulesAt(host, urls, options.rules)
  const storage = openStorage({ file, rowsMax: limits.relayRowsMax, durability })
  const { lists } = storage
  const live = liveFeed()
  let broken = false
  const onBroken = (error: Error): void => {
    broken = true
    void listener.close(1011, "the relay's disk failed")
    options.onBroken?.(error)
  }
  const byKey = perMinute(limits.relayKeyEventsPerMinuteMax, limits.relayRateKeysMax, clock)
  const isInRate = (pubkey: string): boolean => !rules.isRated || byKey(pubkey)
  const writer = groupWriter({ storage, live, verifier, clock, limits, isInRate, onBroken })
  const access = accessBy(rules, council, followMembers(council, storage, live, nowSeconds(clock)), lists)
  const ownSubscriptions = live.count()
  const parts: Omit<SessionParts, "addresses"> = {
    storage,
    live,
    writer,
    verifier,
    clock,
    limits,
    access,
    council,
    requirements: rules,
    parseFilter: filterParser(limits),
    newChallenge: () => chance.hex(16),
    newRate: () => {
      if (!rules.isRated) return () => true
      const take = perMinute(limits.relayConnectionEventsPerMinuteMax, 1, clock)
      return () => take("")
    },
    negentropyRoom: { rows: limits.relayNegentropyRowsTotalMax },
  }
  const isManaged = council !== undefined && (isLoopback(host) || urls.some((url) => url.startsWith("wss:")))
  let addresses = addressesOf(urls, host, port)
  const stopSweeping = sweepAlways(storage, clock, limits)
  const listener = await listen({
    host,
    port,
    clock,
    limits,
    document: () => information({ limits, rules, lists, isManaged }),
    connected: (socket) => openSession({ ...parts, addresses }, socket),
    isBlocked: (address) => lists.has("blocked-ip", address),
    ...(isManaged && {
      call: (call) => answerCall({ admin: council, addresses, verifier, clock, limits, lists, storage, access }, call),
    }),
  }).catch((error: unknown) => {
    stopSweeping()
    storage.close()
    throw error
  })
  addresses = addressesOf(urls, host, listener.port)

  const shut = async (): Promise<void> => {
    stopSweeping()
    await writer.close()
    await listener.close()
    if (!broken) await storage.sync()
    storage.close()
  }
  let closing: Promise<void> | undefined

  return {
    url: urlOf(host, listener.port),
    port: listener.port,
    stats: () => ({
      clients: listener.clients(),
      subscriptions: live.count() - ownSubscriptions,
      events: storage.count(),
      ...writer.stats(),
    }),
    close: () => (closing ??= shut()),
  }
}

/** Expired events go also where nothing is written, a bite at a time. Returns what ends it. */
const sweepAlways = (storage: Storage, clock: ClockShape, limits: Limits): (() => void) => {
  const pauseMs = limits.relaySweepSeconds * 1000
  let disarm = clock.after(pauseMs, tick, { unref: true })
  function tick(): void {
    let isMore = false
    try {
      isMore = storage.sweep(nowSeconds(clock))
    } catch {
      // A full disk, say: they are served to nobody, and their turn comes again.
    }
    disarm = clock.after(isMore ? 0 : pauseMs, tick, { unref: true })
  }
  return () => disarm()
}
