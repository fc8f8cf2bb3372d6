/**
 * The members of the council, as the relay itself has read them: the chain of roster versions (kind 78 by the council
 * key) in its own database, and each new one in the turn in which it is stored.
 */
import { emptyChain, offer, rosterInForce } from "../identity/roster.ts"
import type { NostrEvent } from "../protocol/event.ts"
import { Kind } from "../protocol/kinds.ts"
import { rosterTopic } from "../protocol/roster.ts"
import type { LiveFeed } from "./live.ts"
import { openSight } from "./sight.ts"
import type { Storage } from "./storage.ts"

/** Whether a key stands in the roster in force: operator, wizard, or member of a channel or room. */
export type IsMember = (pubkey: string) => boolean

export const followMembers = (
  council: string | undefined,
  storage: Storage,
  live: LiveFeed,
  nowSeconds: number,
): IsMember => {
  if (council === undefined) return () => false
  let chain = emptyChain(council)
  let members: ReadonlySet<string> = new Set([council])
  const take = (event: NostrEvent): void => {
    const { chain: next, outcome } = offer(chain, event)
    chain = next
    const roster = rosterInForce(chain)
    if (outcome !== "accepted" || roster === undefined) return
    const revoked = new Set(roster.revoked)
    const named = [...roster.operators, ...roster.wizards, ...roster.members].map(({ pubkey }) => pubkey)
    const all = [council, ...named, ...roster.rooms.flatMap((room) => room.members)]
    members = new Set(all.filter((pubkey) => !revoked.has(pubkey)))
  }

  const filter = { kinds: [Kind.record], authors: [council], "#t": [rosterTopic] }
  const answer = storage.answer([filter], openSight, nowSeconds, Infinity)
  const versions: NostrEvent[] = []
  for (let row = answer.next(); row !== undefined; row = answer.next()) {
    if (row === "later") continue
    const json = storage.read(row.seq, nowSeconds)
    if (json !== undefined) versions.push(JSON.parse(json) as NostrEvent)
  }
  // Oldest first: then hardly any waits for its parent.
  for (const event of versions.toReversed()) take(event)
  live.subscribe({ filters: [filter], deliver: ({ event }) => take(event) })
  return (pubkey) => members.has(pubkey)
}
