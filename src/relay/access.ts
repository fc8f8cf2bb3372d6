/**
 * Who may write, and apart from it who may read: `open` to anybody, `members` of the council's roster, or those on the
 * `allow-list`. Whom the management list allows is admitted under both of the latter. It is never asked who may command.
 *
 * K1  A gift wrap or a remote signer's message is judged by its `p` tags or by who authenticated: its author is a
 *     throw-away key.
 * K2  The council's own kind 78 is always taken and always shown.
 */
import { type NostrEvent, tagValues } from "../protocol/event.ts"
import { Kind } from "../protocol/kinds.ts"
import type { Lists } from "./lists.ts"
import type { IsMember } from "./members.ts"
import type { Refusal } from "./policies.ts"

export const accessModes = ["open", "members", "allow-list"] as const
export type AccessMode = (typeof accessModes)[number]

export interface AccessRules {
  readonly write: AccessMode
  readonly read: AccessMode
  /** Public keys in hex. */
  readonly allowed: readonly string[]
}

export interface Access {
  readonly writeFault: (event: NostrEvent, keys: ReadonlySet<string>) => Refusal | undefined
  readonly mayRead: (keys: ReadonlySet<string>) => boolean
  /** Whether the relay knows the key; then it asks no proof of work of it. */
  readonly isKnown: (pubkey: string) => boolean
  /** K2 */
  readonly isOfCouncil: (event: NostrEvent) => boolean
}

export const accessBy = (
  { write, read, allowed }: AccessRules,
  council: string | undefined,
  isMember: IsMember,
  lists: Lists,
): Access => {
  const listed = new Set(allowed)
  const isAllowed = (pubkey: string): boolean =>
    pubkey === council || listed.has(pubkey) || lists.has("allowed-pubkey", pubkey)
  const isAdmitted = (mode: AccessMode, pubkey: string): boolean =>
    mode === "open" || isAllowed(pubkey) || (mode === "members" && isMember(pubkey))
  const isOfCouncil = (event: NostrEvent): boolean => event.kind === Kind.record && event.pubkey === council

  return {
    writeFault: (event, keys) => {
      if (write === "open" || isAdmitted(write, event.pubkey)) return undefined
      if (!throwAwayKinds.includes(event.kind)) return notAdmitted[write]
      const isKnown = [...tagValues(event, "p"), ...keys].some((pubkey) => isAdmitted(write, pubkey))
      if (isKnown) return undefined
      return keys.size === 0
        ? "auth-required: nobody here is meant by this event; authenticate as somebody who may write here"
        : notAdmitted[write]
    },
    mayRead: (keys) => read === "open" || [...keys].some((pubkey) => isAdmitted(read, pubkey)),
    isKnown: (pubkey) => isAllowed(pubkey) || isMember(pubkey),
    isOfCouncil,
  }
}

const throwAwayKinds: readonly number[] = [Kind.giftWrap, Kind.remoteSigning]

const notAdmitted = {
  members: "restricted: only members of the council's roster write here; ask the council to admit this key",
  "allow-list": "restricted: only keys on this relay's list write here",
} as const
