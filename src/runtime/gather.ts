/**
 * Asks one relay for what it stores, once: every page of each filter, with ids and signatures checked. For whoever
 * judges without a database of their own.
 */
import { openRelayConnection } from "../../actors/relay-connection.ts"
import type { Filter } from "../../actors/subscription.ts"
import type { Signatures } from "../identity/signature-pool.ts"
import type { Signer } from "../identity/signer.ts"
import type { Limits } from "../limits.ts"
import type { NostrEvent } from "../protocol/event.ts"
import type { ChanceShape } from "../services/chance.ts"
import { sleep, type ClockShape } from "../services/clock.ts"
import type { SocketShape } from "../services/socket.ts"
import { RelayUnreachable } from "./ping.ts"

export interface Gathered {
  readonly events: readonly NostrEvent[]
  /** False where the relay refused a part, or did not come to its end in time. */
  readonly whole: boolean
}

export interface Gatherer {
  /** Rejects with RelayUnreachable. */
  readonly ask: (filters: readonly Filter[]) => Promise<Gathered>
  readonly close: () => Promise<void>
}

export const openGatherer = (options: {
  readonly url: string
  /** For AUTH, where the relay demands it. */
  readonly signer: Signer
  readonly signatures: Signatures
  readonly clock: ClockShape
  readonly chance: ChanceShape
  readonly socket: SocketShape
  readonly limits: Limits
}): Gatherer => {
  const { url, clock, limits, signer } = options
  const asked = new Map<string, readonly Filter[]>()
  const found = new Map<string, Map<string, NostrEvent>>()
  const over = new Map<string, boolean>()
  const connection = openRelayConnection({
    ...options,
    identity: signer.pubkey,
    verifier: options.signatures.verifier,
    subscriptions: () => [...asked].map(([name, filters]) => ({ name, filters, sinceMs: () => undefined })),
    take: async ({ subscription, events }) => {
      for (const event of events) found.get(subscription)?.set(event.id, event)
    },
    read: (subscription, whole) => void over.set(subscription, whole),
    changed: () => {},
  })
  return {
    ask: async (filters) => {
      const name = `ask-${found.size}`
      found.set(name, new Map())
      asked.clear()
      asked.set(name, filters)
      connection.relist()
      const waitMs = limits.connectMsMax + limits.historyWaitSecondsMax * 1000
      for (let waited = 0; waited < waitMs && !over.has(name); waited += lookMs) {
        const { attempts, state, lastError } = connection.status()
        if (attempts > 0 && (state === "backing-off" || state === "suspended"))
          throw new RelayUnreachable({ url, reason: lastError ?? "it closed the connection" })
        await sleep(clock, lookMs)
      }
      return { events: [...(found.get(name)?.values() ?? [])], whole: over.get(name) ?? false }
    },
    close: () => connection.close(),
  }
}

const lookMs = 10
