/** REQ and CLOSE. A REQ with the id of an open subscription takes its place, even where it is refused. */
import { Result } from "effect"
import { badSubscriptionId, isSubscriptionId, type Verb } from "../client.ts"
import { valuesIn } from "../filter.ts"
import { filtersOf } from "../filters.ts"

export const req: Verb = (session, [id, ...values]) => {
  const { send, end, begin, count, values: held } = session.subscriptions
  const { relaySubscriptionsMax, relayOpenValuesMax } = session.limits
  if (!isSubscriptionId(id)) return send("NOTICE", badSubscriptionId)
  end(id)
  const open = count()
  if (open >= relaySubscriptionsMax)
    return send("CLOSED", id, `rate-limited: ${open} subscriptions are open, more are not given; close one first`)
  const filters = filtersOf(session, values)
  if (Result.isFailure(filters)) return send("CLOSED", id, filters.failure)
  if (held() + valuesIn(filters.success) > relayOpenValuesMax)
    return send(
      "CLOSED",
      id,
      `rate-limited: all open subscriptions together may name ${relayOpenValuesMax} values; close one, or ask for less`,
    )
  begin(id, filters.success)
}

export const close: Verb = ({ subscriptions }, [id]) => {
  if (isSubscriptionId(id)) subscriptions.end(id)
  else subscriptions.send("NOTICE", badSubscriptionId)
}
