/**
 * NEG-OPEN, NEG-MSG, NEG-CLOSE (NIP-77): a client finds out what it has and the relay has not, and the other way round.
 * The answers hold the ids of what this client may see, as a REQ would show it.
 */
import { Result } from "effect"
import { type IdSet, NegentropyFault, respond } from "../../protocol/negentropy.ts"
import { nowSeconds } from "../../services/clock.ts"
import { badSubscriptionId, isSubscriptionId, type Session, type Verb } from "../client.ts"
import { filtersOf } from "../filters.ts"
import { idSetOfRows } from "../negentropy.ts"
import type { Row } from "../query.ts"

export const negOpen: Verb = (session, [id, value, message]) => {
  const { storage, clock, limits, sight, subscriptions, negentropies } = session
  const { send } = subscriptions
  if (!isSubscriptionId(id)) return send("NOTICE", badSubscriptionId)
  negentropies.end(id)
  const filters = filtersOf(session, [value])
  if (Result.isFailure(filters)) return send("NEG-ERR", id, filters.failure)
  const query = bytesOf(message)
  if (query === undefined) return send("NEG-ERR", id, noHex)
  if (negentropies.count() >= limits.relayNegentropiesMax || !subscriptions.isRoom())
    return send("NEG-ERR", id, `blocked: at most ${limits.relayNegentropiesMax} at a time; close one first`)
  const gathering = negentropies.begin(id, () => {
    negentropies.end(id)
    send("NEG-ERR", id, `closed: nothing came for ${limits.relayNegentropySecondsMax} seconds`)
  })
  const answer = storage.answer(filters.success, sight(), nowSeconds(clock), limits.relayNegentropyRowsMax)
  const rows: Row[] = []
  const refuse = (): true => {
    negentropies.end(id)
    send("NEG-ERR", id, "blocked: this query is too big; narrow the filter", limits.relayNegentropyRowsMax)
    return true
  }
  subscriptions.inTurns(() => {
    if (!gathering.isOpen()) return true
    for (let left = limits.relayTurnRowsMax * 8; left > 0; left--) {
      const row = answer.next()
      if (row === undefined) {
        // Cut by the client's own limit is as asked; cut by ours would look like a difference.
        if (answer.isCut() && (filters.success[0]?.limit ?? Infinity) > limits.relayNegentropyRowsMax) return refuse()
        const set = idSetOfRows(rows)
        gathering.finish(set)
        reply(session, id, set, query)
        return true
      }
      if (row === "later") return false
      if (!gathering.take()) return refuse()
      rows.push(row)
    }
    return false
  })
}

export const negMsg: Verb = (session, [id, message]) => {
  const { subscriptions, negentropies } = session
  if (!isSubscriptionId(id)) return subscriptions.send("NOTICE", badSubscriptionId)
  const held = negentropies.get(id)
  const query = bytesOf(message)
  if (held === undefined) return subscriptions.send("NEG-ERR", id, "closed: no negentropy is open under this id")
  if (held.set !== undefined && query !== undefined) return reply(session, id, held.set, query)
  negentropies.end(id)
  subscriptions.send("NEG-ERR", id, query === undefined ? noHex : "invalid: the answer is still on its way")
}

export const negClose: Verb = ({ subscriptions, negentropies }, [id]) => {
  if (isSubscriptionId(id)) negentropies.end(id)
  else subscriptions.send("NOTICE", badSubscriptionId)
}

const reply = ({ subscriptions, negentropies, limits }: Session, id: string, set: IdSet, query: Buffer): void => {
  try {
    subscriptions.send("NEG-MSG", id, respond(set, query, limits.relayNegentropyBytesMax).toString("hex"))
  } catch (error) {
    if (!(error instanceof NegentropyFault)) throw error
    negentropies.end(id)
    subscriptions.send("NEG-ERR", id, `invalid: ${error.message}`)
  }
}

const noHex = "invalid: a negentropy message is bytes in hex"

const bytesOf = (message: unknown): Buffer | undefined =>
  typeof message === "string" && message.length % 2 === 0 && /^[0-9a-f]+$/i.test(message)
    ? Buffer.from(message, "hex")
    : undefined
