/**
 * The chain of roster versions that the council key signed, and which one is in force. Pure; signatures were checked.
 *
 * C1 In force is the highest version that chains unbroken to version 1; it only ever goes forward, each to a child of it.
 * C2 The order in which a chain's versions arrive, and how often, makes no difference.
 * C3 Of two versions with one `prev` the held one stays, with a warning. Where neither is held yet and both wait, the one
 *    that leads further is taken, then the one that came first.
 * C4 What is not by the council, no roster, or not its prev's number + 1, is refused.
 * C5 What waits for its `prev` is bounded; the oldest goes, is named, and is to be read again.
 */
import { limits } from "../limits.ts"
import type { NostrEvent } from "../protocol/event.ts"
import { isRosterFault, parseRoster, type Roster } from "../protocol/roster.ts"

export interface RosterChain {
  /** The pinned council key, lower-case hex. */
  readonly council: string
  /** Version n is at index n − 1; the last one is in force. */
  readonly held: readonly Roster[]
  /** Versions whose `prev` is not here yet, in order of arrival. */
  readonly pending: readonly Roster[]
  readonly pendingMax: number
}

export interface RosterOffer {
  readonly chain: RosterChain
  /** `accepted` and `held` (known before) are good; `waiting` wants `missing`; `refused` changes nothing. */
  readonly outcome: "accepted" | "waiting" | "held" | "refused"
  /** The id to ask relays for. */
  readonly missing?: string
  /** The id that had to make room and is to be asked for again. */
  readonly dropped?: string
  /** For a person: a fork, or why it was refused. */
  readonly warning?: string
}

export const emptyChain = (council: string, pendingMax: number = limits.rosterPendingMax): RosterChain => ({
  council,
  held: [],
  pending: [],
  pendingMax,
})

/** Nothing before version 1 is here: until then nobody is obeyed. */
export const rosterInForce = (chain: RosterChain): Roster | undefined => chain.held.at(-1)

/** A version of the chain, by its number. */
export const rosterVersion = (chain: RosterChain, version: number): Roster | undefined => chain.held[version - 1]

/** Takes an event whose signature was checked. */
export const offer = (chain: RosterChain, event: NostrEvent): RosterOffer => {
  if (event.pubkey !== chain.council) return refuse(chain, `roster ${event.id} is not by the council`)
  const roster = parseRoster(event)
  if (isRosterFault(roster)) return refuse(chain, `roster ${event.id}: ${roster.reason}`)
  if (rosterVersion(chain, roster.version)?.id === roster.id) return { chain, outcome: "held" }
  if (chain.pending.some(({ id }) => id === roster.id)) return wait(chain, roster)
  const fault = placeFault(chain, roster)
  if (fault !== undefined) return refuse(chain, fault)
  return isNext(chain, roster) ? accept(chain, roster) : wait({ ...chain, pending: [...chain.pending, roster] }, roster)
}

const refuse = (chain: RosterChain, warning: string): RosterOffer => ({ chain, outcome: "refused", warning })

const isNext = (chain: RosterChain, roster: Roster): boolean =>
  roster.version === chain.held.length + 1 && roster.prev === rosterInForce(chain)?.id

/** Why a version can never come into force, given what is held. */
const placeFault = (chain: RosterChain, roster: Roster): string | undefined => {
  const parent = [...chain.held, ...chain.pending].find(({ id }) => id === roster.prev)
  if (parent !== undefined && parent.version + 1 !== roster.version) {
    return `roster ${roster.id} calls itself version ${roster.version}, but follows version ${parent.version}`
  }
  if (roster.version > chain.held.length + 1 || isNext(chain, roster)) return undefined
  const stays = rosterVersion(chain, roster.version) ?? rosterInForce(chain)
  return `the council's roster forks: ${roster.id} (version ${roster.version}) stands beside ${stays?.id}, which stays`
}

/** Takes the next version and then all that waited for it; what can no longer come into force leaves with a warning. */
const accept = (chain: RosterChain, roster: Roster): RosterOffer => {
  const held = [...chain.held, roster, ...longestFrom(chain.pending, roster)]
  const rest = chain.pending.filter((pending) => !held.includes(pending))
  const extended = { ...chain, held, pending: [] as readonly Roster[] }
  const faults: string[] = []
  for (const pending of rest) {
    const fault = placeFault({ ...extended, pending: rest }, pending)
    if (fault === undefined) extended.pending = [...extended.pending, pending]
    else faults.push(fault)
  }
  return { chain: extended, outcome: "accepted", ...(faults.length === 0 ? {} : { warning: faults.join("; ") }) }
}

/** The longest unbroken line of waiting versions after `roster`; among equals the one whose first came first. */
const longestFrom = (pending: readonly Roster[], roster: Roster): readonly Roster[] =>
  pending
    .filter(({ prev, version }) => prev === roster.id && version === roster.version + 1)
    .map((child) => [child, ...longestFrom(pending, child)])
    .reduce<readonly Roster[]>((longest, line) => (line.length > longest.length ? line : longest), [])

/** `chain` has the version in its pending list already. */
const wait = (chain: RosterChain, roster: Roster): RosterOffer => {
  const [oldest] = chain.pending
  const tooMany = chain.pending.length > chain.pendingMax && oldest !== undefined
  const kept = tooMany ? { ...chain, pending: chain.pending.slice(1) } : chain
  let first = roster
  for (;;) {
    const { prev, version } = first
    const parent = kept.pending.find((other) => other.id === prev && other.version + 1 === version)
    if (parent === undefined) break
    first = parent
  }
  return {
    chain: kept,
    outcome: "waiting",
    ...(first.prev === undefined ? {} : { missing: first.prev }),
    ...(tooMany ? { dropped: oldest.id } : {}),
  }
}
