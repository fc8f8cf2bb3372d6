/** EVENT: what the policies let through goes to the writer, which answers it. */
import { parseEvent } from "../../protocol/event.ts"
import { nowSeconds } from "../../services/clock.ts"
import { refuseShapeless, type Verb } from "../client.ts"
import { refusalOf } from "../policies.ts"

export const event: Verb = (session, [value], messageBytes) => {
  const { subscriptions, pause, resume, writer, storage, clock, limits, unanswered } = session
  const { send } = subscriptions
  const event = parseEvent(value)
  if (event === undefined) return refuseShapeless(send, value)
  const json = JSON.stringify(event)
  const bytes = Buffer.byteLength(json)
  const { lists } = storage
  const refusal = refusalOf(event, { ...contextOf(session), nowSeconds: nowSeconds(clock), bytes, limits, lists })
  if (refusal !== undefined) return send("OK", event.id, false, refusal)
  unanswered.bytes += messageBytes
  if (unanswered.bytes > limits.relayUnansweredBytesMax) pause("unanswered")
  writer.submit({
    event,
    json,
    answer: (ok, message) => {
      send("OK", event.id, ok, message)
      unanswered.bytes -= messageBytes
      if (unanswered.bytes <= limits.relayUnansweredBytesMax / 2) resume("unanswered")
    },
  })
}

const contextOf = ({ keys, access, requirements, isInRate }: Parameters<Verb>[0]) => ({
  keys,
  access,
  requirements,
  isInRate,
})
