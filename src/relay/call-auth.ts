/**
 * Whether a management call was signed by the relay's admin (NIP-98): a kind 27235 in the Authorization header, for this
 * address, this method and exactly this body, made just now, and used once.
 */
import { hash } from "node:crypto"
import type { VerifierShape } from "../identity/verifier.ts"
import type { Limits } from "../limits.ts"
import { type NostrEvent, parseEvent, tagValue } from "../protocol/event.ts"
import { Kind } from "../protocol/kinds.ts"
import { type ClockShape, nowSeconds } from "../services/clock.ts"
import { type Addresses, isLoopback } from "./addresses.ts"
import type { Lists } from "./lists.ts"
import type { Call } from "./socket.ts"

export interface CallAuthParts {
  /** Whose calls are obeyed. */
  readonly admin: string
  readonly addresses: Addresses
  readonly verifier: VerifierShape
  readonly clock: ClockShape
  readonly limits: Limits
  readonly lists: Lists
}

/** Why a call is not the admin's; nothing if it is. */
export const callFault = async (parts: CallAuthParts, call: Call): Promise<string | undefined> => {
  const { admin, verifier, clock, limits, lists } = parts
  const event = eventIn(call.authorization)
  if (event === undefined) return "the Authorization header must hold a signed event: Nostr <base64> (NIP-98)"
  const fault = contentFault(parts, event, call)
  if (fault !== undefined) return fault
  if (event.pubkey !== admin) return "only the council's key manages this relay"
  const [isGood] = await verifier.verify([event])
  if (isGood !== true) return "id or signature is wrong"
  const now = nowSeconds(clock)
  return lists.useOnce(event.id, now + 2 * limits.relayAdminSecondsMax, now) ? undefined : "this event was used before"
}

const contentFault = ({ addresses, clock, limits }: CallAuthParts, event: NostrEvent, call: Call) => {
  if (event.kind !== Kind.httpAuth) return `the event is not of kind ${Kind.httpAuth}`
  const apart = Math.abs(event.created_at - nowSeconds(clock))
  if (apart > limits.relayAdminSecondsMax)
    return `created_at is ${apart} seconds from now, at most ${limits.relayAdminSecondsMax} are taken; check the clock`
  if (!addresses.isCalled(tagValue(event, "u") ?? "", isLoopback(call.address)))
    return "the u tag is not this relay's address, or not one that is safe to manage it by (wss://)"
  if (tagValue(event, "method")?.toUpperCase() !== "POST") return "the method tag is not POST"
  const payload = tagValue(event, "payload")
  return payload === hash("sha256", call.body) ? undefined : "the payload tag is not the SHA-256 of the body"
}

const eventIn = (authorization = ""): NostrEvent | undefined => {
  const [, token = ""] = /^Nostr\s+([A-Za-z0-9+/_=-]+)\s*$/i.exec(authorization) ?? []
  try {
    return parseEvent(JSON.parse(Buffer.from(token, "base64").toString("utf8")))
  } catch {
    return undefined
  }
}
