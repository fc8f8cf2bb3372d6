/**
 * What one client is told: its subscriptions, the stored answers under way, the live feed, and the bound on it all.
 *
 * N2  The stored answer is fixed and the live feed is joined in one turn: no event is missed between them (P19). Stored
 *     events are then sent as fast as the client reads; live ones that come meanwhile are held until EOSE.
 * N3  What waits for a client is bounded: one that does not read is cut off (P21).
 */
import type { Limits } from "../limits.ts"
import { type ClockShape, nowSeconds } from "../services/clock.ts"
import type { Filter } from "./filter.ts"
import type { LiveFeed } from "./live.ts"
import type { ClientSocket } from "./socket.ts"
import type { Storage } from "./storage.ts"

export interface Subscriptions {
  /** Sends any message, as JSON. */
  readonly send: (...message: readonly unknown[]) => void
  /** Starts the answer; the id must not be open. */
  readonly begin: (id: string, filters: readonly Filter[]) => void
  readonly end: (id: string) => void
  readonly count: () => number
  /** Sends more of the stored answers, as far as the socket has room. */
  readonly pump: () => void
  /** Ends them all, for good. */
  readonly leave: () => void
}

export interface SubscriptionsParts {
  readonly storage: Storage
  readonly live: LiveFeed
  readonly clock: ClockShape
  readonly limits: Limits
}

export const clientSubscriptions = (parts: SubscriptionsParts, socket: ClientSocket): Subscriptions => {
  const { storage, live, clock, limits } = parts
  const open = new Map<string, Open>()
  /** Those whose stored answer is not all sent, in the order they came. */
  const answering = new Set<Open>()
  let heldBytes = 0
  let gone = false

  const sendText = (text: string): void => {
    socket.send(text)
    bound()
  }
  const bound = (): void => {
    if (socket.bufferedBytes() + heldBytes <= limits.relayBufferBytesMax) return
    socket.cut()
    leave()
  }
  const deliver = (subscription: Open, json: string): void => {
    if (!answering.has(subscription)) return sendText(eventFrame(subscription.id, json))
    subscription.held.push(json)
    heldBytes += json.length
    bound()
  }
  const settle = (subscription: Open): void => {
    if (answering.delete(subscription)) for (const json of subscription.held) heldBytes -= json.length
  }
  const end = (id: string): void => {
    const subscription = open.get(id)
    if (subscription === undefined) return
    open.delete(id)
    subscription.leave()
    settle(subscription)
  }
  const leave = (): void => {
    gone = true
    for (const id of open.keys()) end(id)
  }
  const pump = (): void => {
    for (const subscription of answering) {
      const { id, rows, held } = subscription
      while (subscription.sent < rows.length) {
        if (gone || socket.bufferedBytes() >= limits.relayPaceBytesMax) return
        const json = storage.read(rows[subscription.sent++] as number, nowSeconds(clock))
        if (json !== undefined) sendText(eventFrame(id, json))
      }
      settle(subscription)
      sendText(JSON.stringify(["EOSE", id]))
      for (const json of held) sendText(eventFrame(id, json))
    }
  }

  return {
    send: (...message) => sendText(JSON.stringify(message)),
    begin: (id, filters) => {
      if (gone) return
      const subscription: Open = {
        id,
        rows: storage.query(filters, nowSeconds(clock)),
        sent: 0,
        held: [],
        leave: live.subscribe({ filters, deliver: (json) => deliver(subscription, json) }),
      }
      open.set(id, subscription)
      answering.add(subscription)
      pump()
    },
    end,
    count: () => open.size,
    pump,
    leave,
  }
}

interface Open {
  readonly id: string
  /** The stored answer: numbers of events, fetched when they are sent. */
  readonly rows: readonly number[]
  sent: number
  /** Live events that came before EOSE. */
  readonly held: string[]
  readonly leave: () => void
}

const eventFrame = (id: string, json: string): string => `["EVENT",${JSON.stringify(id)},${json}]`
