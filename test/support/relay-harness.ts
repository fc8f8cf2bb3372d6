/** Everything that a relay connection needs in a test, for real: sockets, signatures, time, and what it handed over. */
import { finalizeEvent, generateSecretKey, getPublicKey, verifyEvent, type NostrEvent } from "nostr-tools/pure"
import {
  openRelayConnection,
  type RelayConnection,
  type RelayConnectionDeps,
  type RelayReport,
} from "../../actors/relay-connection.ts"
import type { Batch, Subscription } from "../../actors/subscription.ts"
import type { Signer } from "../../src/identity/signer.ts"
import type { VerifierShape } from "../../src/identity/verifier.ts"
import { limits as defaults, type Limits } from "../../src/limits.ts"
import { seededChance } from "../../src/services/chance.ts"
import { systemClock, type ClockShape } from "../../src/services/clock.ts"
import { webSocket } from "../../src/services/socket.ts"

export const inlineVerifier: VerifierShape = {
  backend: "nostr-tools",
  verify: async (events) => events.map((event) => verifyEvent({ ...event } as NostrEvent)),
}

export const keyPair = () => {
  const secret = generateSecretKey()
  const pubkey = getPublicKey(secret)
  const event = (content: string, created_at: number, kind = 1, tags: string[][] = []) =>
    finalizeEvent({ kind, content, created_at, tags }, secret)
  const signer: Signer = {
    pubkey,
    sign: async (events) =>
      events.map(({ kind, content, created_at, tags }) =>
        finalizeEvent({ kind, content, created_at, tags: tags.map((tag) => [...tag]) }, secret),
      ),
  }
  return { pubkey, event, signer }
}

export interface Harness {
  readonly connection: RelayConnection
  readonly batches: Batch[]
  readonly reads: string[]
  readonly reports: RelayReport[]
  /** Ids taken, in order; of one subscription where it is named. */
  readonly ids: (subscription?: string) => readonly string[]
  /** Waits until that holds; asked again whenever something is handed over. */
  readonly until: (holds: () => boolean) => Promise<void>
}

export const harness = (
  url: string,
  subscriptions: () => readonly Subscription[],
  options: {
    readonly limits?: Partial<Limits>
    readonly clock?: ClockShape
    readonly key?: ReturnType<typeof keyPair>
    readonly take?: (batch: Batch) => Promise<void>
    /** Hears of each frame that is sent. */
    readonly sent?: (frame: readonly unknown[]) => void
    readonly information?: RelayConnectionDeps["information"]
  } = {},
): Harness => {
  const key = options.key ?? keyPair()
  const batches: Batch[] = []
  const reads: string[] = []
  const reports: RelayReport[] = []
  const waiting = new Set<() => void>()
  const stir = (): void => waiting.forEach((look) => look())
  const connection = openRelayConnection({
    url,
    identity: key.pubkey,
    socket: {
      connect: (...args) => {
        const socket = webSocket.connect(...args)
        const send = (text: string): void => {
          options.sent?.(JSON.parse(text) as unknown[])
          socket.send(text)
        }
        return { ...socket, send }
      },
    },
    clock: options.clock ?? systemClock,
    chance: seededChance(1),
    limits: { ...defaults, reconnectMsMin: 5, reconnectMsMax: 20, historyWaitSecondsMax: 5, ...options.limits },
    verifier: inlineVerifier,
    signer: key.signer,
    ...(options.information !== undefined && { information: options.information }),
    subscriptions,
    take: async (batch) => {
      await options.take?.(batch)
      batches.push(batch)
      stir()
    },
    read: (subscription) => {
      reads.push(subscription)
      stir()
    },
    changed: (report) => {
      reports.push(report)
      stir()
    },
  })
  return {
    connection,
    batches,
    reads,
    reports,
    ids: (subscription) =>
      batches
        .filter((batch) => subscription === undefined || batch.subscription === subscription)
        .flatMap(({ events }) => events.map(({ id }) => id)),
    until: (holds) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!holds()) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      }),
  }
}

/** A subscription to kind 1 notes of one author, read from the beginning. */
export const notesOf = (name: string, pubkey: string, sinceMs?: number): Subscription => ({
  name,
  filters: [{ kinds: [1], authors: [pubkey] }],
  sinceMs: () => sinceMs,
})
