/**
 * The questions by which a wizard asks for commands: each is one filter (`src/runtime/reading.ts`), and what it took is
 * remembered by the questions that it answers, so that a relay need not give it again (NIP-77).
 */
import { tagValues, type NostrEvent } from "../protocol/event.ts"
import { isOperator, type Roster } from "../protocol/roster.ts"

/** Bits. */
export const lane = { byOperators: 1, toUs: 2 } as const

export const lanesOf = (event: NostrEvent, roster: Roster, pubkey: string): number =>
  (isOperator(roster, event.pubkey) ? lane.byOperators : 0) | (tagValues(event, "p").includes(pubkey) ? lane.toUs : 0)
