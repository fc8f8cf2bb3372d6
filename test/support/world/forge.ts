/** What a relay can make of an event without its author's key: nothing of it may ever count. */
import type { ChanceShape } from "../../../src/services/chance.ts"
import type { NostrEvent } from "../../../src/protocol/event.ts"

export const forge = (event: NostrEvent, chance: ChanceShape): NostrEvent => {
  const lie = Math.floor(chance.next() * 4)
  const other = `${event.sig.startsWith("0") ? "1" : "0"}${event.sig.slice(1)}`
  if (lie === 0) return { ...event, sig: other }
  // The true id and signature over other words, or another date.
  if (lie === 1) return { ...event, content: `${event.content} and more` }
  if (lie === 2) return { ...event, created_at: event.created_at + 86_400 * 365 * 100 }
  return { ...event, id: chance.hex(32), sig: other }
}
