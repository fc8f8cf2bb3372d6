/** COUNT (NIP-45): how many events a REQ would find that had no limit. Exact, and for what this client may see. */
import { Result } from "effect"
import { nowSeconds } from "../../services/clock.ts"
import { badSubscriptionId, isSubscriptionId, type Verb } from "../client.ts"
import { filtersOf } from "../filters.ts"

export const count: Verb = (session, [id, ...values]) => {
  const { storage, clock, sight, subscriptions } = session
  const { send } = subscriptions
  if (!isSubscriptionId(id)) return send("NOTICE", badSubscriptionId)
  const filters = filtersOf(session, values)
  if (Result.isFailure(filters)) return send("CLOSED", id, filters.failure)
  if (!subscriptions.isRoom())
    return send("CLOSED", id, "rate-limited: too much is under way for this client; wait, or close a subscription")
  const tally = storage.tally(filters.success, sight(), nowSeconds(clock))
  subscriptions.inTurns(() => {
    const n = tally.step()
    if (n !== undefined) send("COUNT", id, { count: n })
    return n !== undefined
  })
}
