/** NIP-17 and 59: gift wraps (kind 1059) are served to those whom they are for, and to nobody else. */
import type { NipChecks } from "./check.ts"
import { demand, optional, required, show } from "./check.ts"
import { gating } from "./gating.ts"
import { hex32, now, person } from "./person.ts"
import { settled } from "./relay.ts"

export const nip17: NipChecks = {
  nip: 17,
  title: "Private messages (kind 1059)",
  claimedBy: [17, 59],
  checks: [
    ...gating(1059, "required"),
    required("a gift wrap that is dated two days back is taken and found", async (relay) => {
      const recipient = person()
      const wrap = person().event({ kind: 1059, tags: [["p", recipient.pubkey]], created_at: now() - 2 * 86_400 })
      await (await relay.connect()).store(wrap)
      const client = await relay.connect()
      if (relay.claims(42)) await client.authenticate(recipient)
      const events = await client.query({ kinds: [1059], "#p": [recipient.pubkey], since: now() - 3 * 86_400 })
      demand(events.length === 1, "the wrap", show(events))
    }),
    optional("an ephemeral gift wrap (21059) reaches its recipient and is not stored", async (relay) => {
      const recipient = person()
      const [observer, publisher] = [await relay.connect(), await relay.connect()]
      if (relay.claims(42)) await observer.authenticate(recipient)
      await observer.open("s", { kinds: [21_059], "#p": [recipient.pubkey] })
      await publisher.store(person().event({ kind: 21_059, tags: [["p", recipient.pubkey]] }))
      await observer.until("the wrap, live", (m) => m[0] === "EVENT" && m[1] === "s")
      const later = await observer.ask({ kinds: [21_059], "#p": [recipient.pubkey] })
      demand(later.events.length === 0, "nothing stored", show(later.events))
    }),
    optional("who asks for nothing but gift wraps without having authenticated is told to", async (relay) => {
      const { closed, events } = await (await relay.connect()).ask({ kinds: [1059], "#p": [hex32()] })
      demand(
        closed?.startsWith("auth-required:") === true,
        "CLOSED auth-required:",
        closed ?? `EOSE and ${events.length} events`,
      )
    }),
    optional("a subscription that is opened before AUTH and asks for notes too goes on after it", async (relay) => {
      if (!relay.claims(42)) return
      const [alice, bob] = [person(), person()]
      const [observer, publisher] = [await relay.connect(), await relay.connect()]
      await observer.open("s", { kinds: [1], authors: [alice.pubkey] })
      await observer.authenticate(bob)
      await publisher.store(alice.event())
      await settled(observer, publisher)
      demand(observer.eventsOf("s").length === 1, "the note", String(observer.eventsOf("s").length))
    }),
  ],
}
