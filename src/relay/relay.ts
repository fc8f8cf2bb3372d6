/**
 * The embedded relay: one port, one database, put together from its parts.
 *
 *   socket ─► session ─► policies ─► writer ─► storage
 *                 ▲ └───── REQ ────────────────►┘ │
 *                 └─────────── live feed ◄────────┘
 *
 * Where does it go? A new verb: `session.ts`. A reason to refuse an event: `policies.ts`. What is kept: `storage.ts`.
 */
import type { VerifierShape } from "../identity/verifier.ts"
import type { Limits } from "../limits.ts"
import type { ClockShape } from "../services/clock.ts"
import { filterParser } from "./filter.ts"
import { information } from "./information.ts"
import { liveFeed } from "./live.ts"
import { openSession } from "./session.ts"
import { listen } from "./socket.ts"
import { openStorage } from "./storage.ts"
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
  readonly limits: Limits
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
  const { host = "127.0.0.1", port, file, verifier, clock, limits, durability = "full" } = options
  const storage = openStorage({ file, rowsMax: limits.relayRowsMax, durability })
  const live = liveFeed()
  let broken = false
  const onBroken = (error: Error): void => {
    broken = true
    void listener.close(1011, "the relay's disk failed")
    options.onBroken?.(error)
  }
  const writer = groupWriter({ storage, live, verifier, clock, limits, onBroken })
  const parts = { storage, live, writer, clock, limits, parseFilter: filterParser(limits) }
  const document = information(limits)
  const listener = await listen({
    host,
    port,
    clock,
    limits,
    document: () => document,
    connected: (socket) => openSession(parts, socket),
  }).catch((error: unknown) => {
    storage.close()
    throw error
  })

  const shut = async (): Promise<void> => {
    await writer.close()
    await listener.close()
    if (!broken) await storage.sync()
    storage.close()
  }
  let closing: Promise<void> | undefined

  return {
    url: `ws://${host.includes(":") ? `[${host}]` : host}:${listener.port}`,
    port: listener.port,
    stats: () => ({
      clients: listener.clients(),
      subscriptions: live.count(),
      events: storage.count(),
      ...writer.stats(),
    }),
    close: () => (closing ??= shut()),
  }
}
