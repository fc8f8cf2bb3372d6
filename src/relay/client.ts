/** What a client of the relay is while it is connected, and what its verbs (one a file in `verbs/`) have at hand. */
import type { VerifierShape } from "../identity/verifier.ts"
import { eventFault, isHex64 } from "../protocol/event.ts"
import type { Access } from "./access.ts"
import type { Addresses } from "./addresses.ts"
import type { ParseFilter } from "./filter.ts"
import type { Negentropies } from "./negentropies.ts"
import type { Requirements } from "./policies.ts"
import type { Sight } from "./sight.ts"
import type { ClientSocket } from "./socket.ts"
import type { Subscriptions, SubscriptionsParts } from "./subscriptions.ts"
import type { Writer } from "./writer.ts"

/** What all clients share. */
export interface SessionParts extends Omit<SubscriptionsParts, "sight"> {
  readonly writer: Writer
  readonly verifier: VerifierShape
  readonly parseFilter: ParseFilter
  readonly access: Access
  readonly requirements: Requirements
  readonly addresses: Addresses
  /** Whose kind 78 everybody sees. */
  readonly council: string | undefined
  /** Another one for each connection. */
  readonly newChallenge: () => string
  readonly newRate: () => () => boolean
  /** Events that negentropies may still hold, all clients together. */
  readonly negentropyRoom: { rows: number }
}

export interface Session extends SessionParts {
  readonly socket: ClientSocket
  readonly subscriptions: Subscriptions
  readonly negentropies: Negentropies
  readonly challenge: string
  /** Who the client has proved to be (NIP-42). */
  readonly keys: Set<string>
  readonly sight: () => Sight
  readonly isInRate: () => boolean
  /** Of this client's events that have no OK yet. */
  readonly unanswered: { bytes: number }
  /** Its socket is not read while there is a reason not to. */
  readonly pause: (reason: PauseReason) => void
  readonly resume: (reason: PauseReason) => void
  /** Holds back the client's next messages until then. */
  readonly holdUntil: (done: Promise<void>) => void
}

export type PauseReason = "unanswered" | "unread" | "authenticating"

/** `bytes` is about the whole message's length. */
export type Verb = (session: Session, args: readonly unknown[], bytes: number) => void

export const isSubscriptionId = (value: unknown): value is string =>
  typeof value === "string" && value.length >= 1 && value.length <= subscriptionIdCharsMax

/** NIP-01's own bound. */
export const subscriptionIdCharsMax = 64

export const badSubscriptionId = `invalid: a subscription id is text of 1 to ${subscriptionIdCharsMax} characters`

/** What is no event is answered under its id where it has one. */
export const refuseShapeless = (send: Subscriptions["send"], value: unknown): void => {
  const id = (value as { readonly id?: unknown } | null | undefined)?.id
  const reason = `invalid: ${eventFault(value)}`
  if (isHex64(id)) send("OK", id, false, reason)
  else send("NOTICE", reason)
}
