/** COUNT (NIP-45): how many events a REQ would find that had no limit. Exact, and for what this client may see. */
import { Result } from "effect"
import { nowSeconds } from "../../services/clock.ts"
import { badSubscriptionId, isSubscriptionId, type Verb } from "../client.ts"
import { filtersOf } from "../filters.ts"

export const count: Verb = (session, [id, ...values]) => {
  const { storage, clock, limits, sight, subscriptions } = session
  const { send } = subscriptions
  if (!isSubscriptionId(id)) return send("NOTICE", badSubscriptionId)
  const filters = filtersOf(session, values)
  if (Result.isFailure(filters)) return send("CLOSED", id, filters.failure)
  const asked = filters.success.map(({ limit: _limit, ...filter }) => filter)
  const [only] = asked
  if (asked.length === 1 && only !== undefined) {
    const n = storage.countUpTo(limits.relayCountRowsMax, only, sight(), nowSeconds(clock))
    if (n < limits.relayCountRowsMax) return send("COUNT", id, { count: n })
  }
  if (!subscriptions.isRoom())
    return send("CLOSED", id, "rate-limited: too much is under way for this client; wait, or close a subscription")
  const answer = storage.answer(asked, sight(), nowSeconds(clock), Infinity)
  let n = 0
  subscriptions.inTurns(() => {
    if (!answer.prime()) return false
    for (let left = limits.relayTurnRowsMax * 8; left > 0; left--) {
      if (answer.next() === undefined) {
        send("COUNT", id, { count: n })
        return true
      }
      n++
    }
    return false
  })
}
