/**
 * One client of the relay: what it says, and what is answered. A verb is a function in the list; what a subscription is
 * told is `subscriptions.ts`'s.
 *
 * N1  No message throws, whatever it holds (P24): it is answered by OK false, CLOSED or NOTICE, and the client goes on.
 * N4  A client whose events wait for their OK in great number is not read until they have it.
 */
import { Result } from "effect"
import { eventFault, isHex64, parseEvent } from "../protocol/event.ts"
import { nowSeconds } from "../services/clock.ts"
import type { ParseFilter } from "./filter.ts"
import { refusalOf } from "./policies.ts"
import type { ClientHandlers, ClientSocket } from "./socket.ts"
import { clientSubscriptions, type Subscriptions, type SubscriptionsParts } from "./subscriptions.ts"
import type { Writer } from "./writer.ts"

export interface SessionParts extends SubscriptionsParts {
  readonly writer: Writer
  readonly parseFilter: ParseFilter
}

/** Serves a client until its socket closes. */
export const openSession = (parts: SessionParts, socket: ClientSocket): ClientHandlers => {
  const session: Session = {
    ...parts,
    socket,
    subscriptions: clientSubscriptions(parts, socket),
    unanswered: { bytes: 0 },
  }
  const { send, pump, leave } = session.subscriptions
  return {
    message: (text) => {
      const message = parseList(text)
      if (message === undefined) return send("NOTICE", "invalid: a message is a JSON list")
      const [name, ...args] = message
      const verb = typeof name === "string" ? verbs.get(name) : undefined
      if (verb !== undefined) verb(session, args, text.length)
      else send("NOTICE", `invalid: unknown verb; this relay knows ${[...verbs.keys()].join(", ")}`)
    },
    drained: pump,
    closed: leave,
  }
}

interface Session extends SessionParts {
  readonly socket: ClientSocket
  readonly subscriptions: Subscriptions
  /** Of this client's events that have no OK yet. */
  readonly unanswered: { bytes: number }
}

/** `bytes` is the whole message's length. */
type Verb = (session: Session, args: readonly unknown[], bytes: number) => void

const event: Verb = ({ subscriptions, socket, writer, clock, limits, unanswered }, [value], bytes) => {
  const { send } = subscriptions
  const event = parseEvent(value)
  if (event === undefined) {
    const id = (value as { readonly id?: unknown } | null | undefined)?.id
    const reason = `invalid: ${eventFault(value)}`
    return isHex64(id) ? send("OK", id, false, reason) : send("NOTICE", reason)
  }
  const json = JSON.stringify(event)
  const refusal = refusalOf(event, { nowSeconds: nowSeconds(clock), bytes: Buffer.byteLength(json), limits })
  if (refusal !== undefined) return send("OK", event.id, false, refusal)
  unanswered.bytes += bytes
  if (unanswered.bytes > limits.relayUnansweredBytesMax) socket.pause()
  writer.submit({
    event,
    json,
    answer: (ok, message) => {
      send("OK", event.id, ok, message)
      unanswered.bytes -= bytes
      if (unanswered.bytes <= limits.relayUnansweredBytesMax / 2) socket.resume()
    },
  })
}

/** A REQ with the id of an open subscription takes its place, even where it is refused. */
const req: Verb = ({ subscriptions, parseFilter, limits }, [id, ...values]) => {
  const { send, count } = subscriptions
  if (!isSubscriptionId(id)) return send("NOTICE", badSubscriptionId)
  const refuse = (reason: string): void => send("CLOSED", id, reason)
  subscriptions.end(id)
  if (count() >= limits.relaySubscriptionsMax)
    return refuse(`rate-limited: ${count()} subscriptions are open, more are not given; close one first`)
  if (values.length === 0 || values.length > limits.relayFiltersMax)
    return refuse(`invalid: ${values.length} filters, 1 to ${limits.relayFiltersMax} are taken`)
  const parsed = Result.all(values.map(parseFilter))
  if (Result.isFailure(parsed)) return refuse(`invalid: ${parsed.failure}`)
  subscriptions.begin(id, parsed.success)
}

const close: Verb = ({ subscriptions }, [id]) => {
  if (isSubscriptionId(id)) subscriptions.end(id)
  else subscriptions.send("NOTICE", badSubscriptionId)
}

const verbs: ReadonlyMap<string, Verb> = new Map([
  ["EVENT", event],
  ["REQ", req],
  ["CLOSE", close],
])

const badSubscriptionId = "invalid: a subscription id is text of 1 to 64 characters"

const isSubscriptionId = (value: unknown): value is string =>
  typeof value === "string" && value.length >= 1 && value.length <= 64

const parseList = (text: string): readonly unknown[] | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}
