/**
 * What the relay's owner asks for, beyond the limits: who writes and who reads, which kinds, how old, how much work, and
 * what the relay calls itself. `config.ts` reads it from a file.
 */
import type { AccessRules } from "./access.ts"
import { isPrivate } from "./addresses.ts"
import type { Requirements } from "./policies.ts"

export interface RelayRules extends AccessRules, Requirements {
  /** Whether events are counted by connection and key. */
  readonly isRated: boolean
  /** For the NIP-11 document; the management calls change them. */
  readonly about: {
    readonly name: string
    readonly description: string
    readonly icon?: string
    readonly contact?: string
  }
}

/** Open where this machine alone can come; elsewhere for the council's members, and counted. */
export const rulesAt = (host: string, urls: readonly string[], given: Partial<RelayRules> = {}): RelayRules => {
  const isOwn = isPrivate(host, urls)
  return {
    write: isOwn ? "open" : "members",
    read: isOwn ? "open" : "members",
    allowed: [],
    kindsRefused: [],
    powBitsMin: 0,
    isRated: !isOwn,
    ...given,
    about: {
      name: "wizardly-runtime relay",
      description: "The relay of a council of agents. Keeps every kind 30079 that has no d tag.",
      ...given.about,
    },
  }
}
