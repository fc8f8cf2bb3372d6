/**
 * What one client is told: its subscriptions, the stored answers under way, the live feed, and the bound on it all.
 *
 * N2  The stored answer is fixed and the live feed is joined in one turn: no event is missed between them (P19). Stored
 *     events are then sent as fast as the client reads, a turn at a time; live ones that come meanwhile are held until EOSE.
 * N3  What waits for a client is bounded: one that does not read is cut off (P21).
 * N6  A live event is shown to those who may see it when it comes, as a stored one to those who may when they ask.
 */
import type { Limits } from "../limits.ts"
import { type ClockShape, nowSeconds } from "../services/clock.ts"
import type { Answer } from "./answer.ts"
import { type Filter, valuesIn } from "./filter.ts"
import type { LiveFeed } from "./live.ts"
import { sees, type Sight } from "./sight.ts"
import type { ClientSocket } from "./socket.ts"
import type { Storage } from "./storage.ts"

export interface Subscriptions {
  /** Sends any message, as JSON. */
  readonly send: (...message: readonly unknown[]) => void
  /** Starts the answer; the id must not be open. */
  readonly begin: (id: string, filters: readonly Filter[]) => void
  readonly end: (id: string) => void
  readonly count: () => number
  /** How many values the filters of all that are open name. */
  readonly values: () => number
  /** Whether one more piece of work may be begun for this client. */
  readonly isRoom: () => boolean
  /** Calls until it says true or the client is gone; other clients, and this one's other work, have their turn in between. */
  readonly inTurns: (step: () => boolean) => void
  /** Sends more of the stored answers, as far as the socket has room. */
  readonly pump: () => void
  /** The socket has room again. */
  readonly drained: () => void
  /** Ends them all, for good. */
  readonly leave: () => void
}

export interface SubscriptionsParts {
  readonly storage: Storage
  readonly live: LiveFeed
  readonly clock: ClockShape
  readonly limits: Limits
  readonly sight: () => Sight
}

export const clientSubscriptions = (parts: SubscriptionsParts, socket: ClientSocket): Subscriptions => {
  const { storage, live, clock, limits, sight } = parts
  const open = new Map<string, Open>()
  /** Those whose stored answer is not all sent, in the order they came. When it is, nothing of it is kept. */
  const answering = new Map<Open, Answering>()
  let heldBytes = 0
  /** Work under way, each piece of which has its turn. */
  const working: (() => boolean)[] = []
  let isPumpDue = false
  let isStalled = false
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
    const waiting = answering.get(subscription)
    if (waiting === undefined) return sendText(eventFrame(subscription.id, json))
    waiting.held.push(json)
    heldBytes += json.length
    bound()
  }
  const settle = (subscription: Open): void => {
    for (const json of answering.get(subscription)?.held ?? []) heldBytes -= json.length
    answering.delete(subscription)
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
  const pump = (rowsMax = limits.relayTurnRowsMax): void => {
    let left = rowsMax
    for (const [subscription, { answer, held }] of answering) {
      const { id } = subscription
      for (;;) {
        isStalled = socket.bufferedBytes() >= limits.relayPaceBytesMax
        if (gone || isStalled) return
        if (left-- <= 0) return pumpSoon()
        const row = answer.next()
        if (row === undefined) break
        if (row === "later") return pumpSoon()
        const json = storage.read(row.seq, nowSeconds(clock))
        if (json !== undefined) sendText(eventFrame(id, json))
      }
      settle(subscription)
      sendText(JSON.stringify(["EOSE", id, [answer.isCut() ? "more" : "finish"]]))
      for (const json of held) sendText(eventFrame(id, json))
    }
  }
  /** One piece: a client with much under way gets no more of the time than one with little. */
  const turn = (): void => {
    const step = working[0]
    if (step === undefined) return
    const isDone = gone || step()
    working.shift()
    if (!isDone) working.push(step)
    if (working.length > 0) setImmediate(turn)
  }
  const pumpSoon = (): void => {
    if (isPumpDue) return
    isPumpDue = true
    setImmediate(() => {
      isPumpDue = false
      pump()
    })
  }

  return {
    send: (...message) => sendText(JSON.stringify(message)),
    begin: (id, filters) => {
      if (gone) return
      const answer = storage.answer(filters, sight(), nowSeconds(clock))
      const subscription: Open = {
        id,
        values: valuesIn(filters),
        leave: live.subscribe({
          filters,
          deliver: ({ event, json }) => {
            if (sees(sight(), event)) deliver(subscription, json)
          },
        }),
      }
      open.set(id, subscription)
      answering.set(subscription, { answer, held: [] })
      // A few at once: what is sent in a turn leaves at its end.
      pump(Math.min(firstRows, limits.relayTurnRowsMax))
    },
    end,
    count: () => open.size,
    values: () => [...open.values()].reduce((sum, { values }) => sum + values, 0),
    isRoom: () => open.size + working.length < limits.relaySubscriptionsMax,
    inTurns: (step) => {
      if (working.push(step) === 1) turn()
    },
    pump: () => pump(),
    // In a turn of its own: what the network takes at once must not keep others from theirs.
    drained: () => {
      if (isStalled) pumpSoon()
    },
    leave,
  }
}

const firstRows = 16

interface Open {
  readonly id: string
  /** How many its filters name. */
  readonly values: number
  readonly leave: () => void
}

interface Answering {
  readonly answer: Answer
  /** Live events that came before EOSE. */
  readonly held: string[]
}

const eventFrame = (id: string, json: string): string => `["EVENT",${JSON.stringify(id)},${json}]`
