/**
 * A person's side of a command: sends it over every relay and follows what the wizards say of it, by signed events
 * alone. It believes only keys of the roster, where it has one.
 */
import { openRelayConnection, type RelayConnection } from "../../actors/relay-connection.ts"
import type { Signatures } from "../identity/signature-pool.ts"
import type { Signer } from "../identity/signer.ts"
import type { Limits } from "../limits.ts"
import { readArtifact, type Artifact } from "../protocol/artifact.ts"
import type { NostrEvent } from "../protocol/event.ts"
import { Kind } from "../protocol/kinds.ts"
import { readReceipt, type Receipt } from "../protocol/receipt.ts"
import { wizardByKey, type Roster } from "../protocol/roster.ts"
import { isEnd } from "../protocol/status.ts"
import type { ChanceShape } from "../services/chance.ts"
import type { ClockShape } from "../services/clock.ts"
import type { SocketShape } from "../services/socket.ts"

export interface FollowOptions {
  readonly relays: readonly string[]
  readonly signer: Signer
  readonly signatures: Signatures
  readonly clock: ClockShape
  readonly chance: ChanceShape
  readonly socket: SocketShape
  readonly limits: Limits
  readonly roster: Roster | undefined
  readonly receipt: (receipt: Receipt) => void
  readonly artifact: (artifact: Artifact) => void
}

export interface Follower {
  /** Sends to every relay that can be reached. True when one took it; throws with the relays' words where all refused. */
  readonly send: (event: NostrEvent, wizards: readonly string[]) => Promise<boolean>
  /** Resolves when each wizard that is meant has ended it; rejects when the time is over. */
  readonly ended: (event: NostrEvent, wizards: readonly string[], waitMs: number) => Promise<readonly Receipt[]>
  readonly close: () => Promise<void>
}

/** Resolves when a relay can be reached, or none can. */
export const openFollower = async (options: FollowOptions): Promise<Follower & { readonly reached: boolean }> => {
  const { signer, clock, limits } = options
  const followed = new Set<string>()
  const seen = new Set<string>()
  const ends = new Map<string, Map<string, Receipt>>()
  const waiting = new Set<() => void>()

  const take = (event: NostrEvent): void => {
    if (seen.has(event.id)) return
    seen.add(event.id)
    // A wizard speaks for itself only.
    const isBy = (name: string): boolean =>
      options.roster === undefined || wizardByKey(options.roster, event.pubkey)?.name === name
    const artifact = readArtifact(event)
    if (artifact !== undefined && isBy(artifact.wizard) && followed.has(artifact.command)) options.artifact(artifact)
    const receipt = readReceipt(event)
    if (receipt === undefined || !isBy(receipt.wizard) || !followed.has(receipt.command)) return
    options.receipt(receipt)
    if (!isEnd(receipt.status)) return
    const told = ends.get(receipt.command) ?? new Map<string, Receipt>()
    ends.set(receipt.command, told.set(receipt.wizard, receipt))
    for (const call of waiting) call()
  }

  const connections = options.relays.map((url): RelayConnection => {
    const connection = openRelayConnection({
      ...options,
      url,
      identity: signer.pubkey,
      verifier: options.signatures.verifier,
      subscriptions: () =>
        followed.size === 0
          ? []
          : [
              {
                name: "followed",
                filters: [{ kinds: [Kind.record, Kind.artifact], "#e": [...followed] }],
                sinceMs: () => undefined,
              },
            ],
      take: async ({ events }) => {
        // Receipts first in their own order; a relay gives the newest first.
        for (const event of events.toSorted((a, b) => a.created_at - b.created_at || order(a) - order(b))) take(event)
      },
      read: () => {},
      changed: () => {},
    })
    return connection
  })

  const isReached = (): boolean =>
    connections.some((connection) => ["catching-up", "live"].includes(connection.status().state))
  const startMs = clock.nowMs()
  while (
    !isReached() &&
    connections.some((one) => one.status().state !== "backing-off" || one.status().attempts === 0)
  ) {
    if (clock.nowMs() - startMs > limits.connectMsMax) break
    await new Promise<void>((resolve) => void clock.after(20, resolve))
  }

  return {
    reached: isReached(),
    send: async (event) => {
      followed.add(event.id)
      for (const connection of connections) connection.resubscribe()
      const answers = await Promise.allSettled(connections.map((connection) => connection.publish(event)))
      const given = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []))
      if (given.some((answer) => answer.accepted)) return true
      if (given.length > 0) throw new Error(`refused: ${given.map((answer) => answer.message).join("; ")}`)
      return false
    },
    ended: (event, wizards, waitMs) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const told = ends.get(event.id)
          const done = wizards.length === 0 ? (told?.size ?? 0) > 0 : wizards.every((name) => told?.has(name))
          if (!done) return
          finish()
          resolve([...(told?.values() ?? [])])
        }
        const late = (): void => {
          finish()
          reject(new Error("not ended in time"))
        }
        // The connections hold the process for as long as it follows.
        const cancel = clock.after(waitMs, late, { unref: true })
        const finish = (): void => {
          cancel()
          waiting.delete(look)
        }
        waiting.add(look)
        look()
      }),
    close: async () => void (await Promise.all(connections.map((connection) => connection.close()))),
  }
}

const order = (event: NostrEvent): number => readReceipt(event)?.n ?? 0
