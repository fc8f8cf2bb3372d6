/** NIP-04: the old direct messages. It asks for relays that restrict who reads them, and so does the suite, as optional. */
import type { NipChecks } from "./check.ts"
import { demand, optional, show } from "./check.ts"
import { gating } from "./gating.ts"
import { person } from "./person.ts"

export const nip04: NipChecks = {
  nip: 4,
  title: "Direct messages (kind 4)",
  claimedBy: [4],
  checks: [
    ...gating(4, "optional"),
    optional("kind 4 is served to its author", async (relay) => {
      const [author, recipient] = [person(), person()]
      const event = author.event({ kind: 4, tags: [["p", recipient.pubkey]] })
      await (await relay.connect()).store(event)
      const client = await relay.connect()
      if (relay.claims(42)) await client.authenticate(author)
      const events = await client.query({ kinds: [4], authors: [author.pubkey] })
      demand(events.length === 1, "the event", show(events))
    }),
  ],
}
