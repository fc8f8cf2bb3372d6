/**
 * AUTH (NIP-42): a client proves that it holds a key, any number of them on one connection. What it says meanwhile waits
 * for the verdict, so that a REQ sent right behind an AUTH is already the authenticated client's.
 */
import { type NostrEvent, parseEvent, tagValue } from "../../protocol/event.ts"
import { Kind } from "../../protocol/kinds.ts"
import { nowSeconds } from "../../services/clock.ts"
import { refuseShapeless, type Session, type Verb } from "../client.ts"

export const auth: Verb = (session, [value]) => {
  const { subscriptions, verifier, keys, holdUntil } = session
  const { send } = subscriptions
  const event = parseEvent(value)
  if (event === undefined) return refuseShapeless(send, value)
  const fault = authFault(session, event)
  if (fault !== undefined) return send("OK", event.id, false, fault)
  const judge = async (): Promise<void> => {
    try {
      const [isGood] = await verifier.verify([event])
      if (isGood === true) keys.add(event.pubkey)
      send("OK", event.id, isGood === true, isGood === true ? "" : "invalid: id or signature is wrong")
    } catch {
      send("OK", event.id, false, "error: signatures cannot be checked at the moment; send it again later")
    }
  }
  holdUntil(judge())
}

const authFault = (session: Session, event: NostrEvent): string | undefined => {
  const { challenge, addresses, clock, limits, keys, isInRate } = session
  if (!isInRate()) return "rate-limited: too many events on this connection; wait"
  if (event.kind !== Kind.auth) return `invalid: AUTH takes a kind ${Kind.auth}`
  const apart = Math.abs(event.created_at - nowSeconds(clock))
  if (apart > limits.relayAuthSecondsMax)
    return `invalid: created_at is ${apart} seconds from now, at most ${limits.relayAuthSecondsMax} are taken; check the clock`
  if (tagValue(event, "challenge") !== challenge) return "invalid: the challenge is not the one that was sent"
  if (!addresses.isOurs(tagValue(event, "relay") ?? "")) return "invalid: the relay tag names another relay"
  return keys.size >= limits.relayAuthKeysMax && !keys.has(event.pubkey)
    ? `restricted: at most ${limits.relayAuthKeysMax} keys on one connection`
    : undefined
}
