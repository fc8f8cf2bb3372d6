/** NIP-70: a protected event is published by its author, or not at all. */
import { demand, type NipChecks, optional, required, show, skip } from "./check.ts"
import { hex32, person } from "./person.ts"

export const nip70: NipChecks = {
  nip: 70,
  title: "Protected events",
  claimedBy: [70],
  checks: [
    required("a protected event is refused from one who has not authenticated", async (relay) => {
      const client = await relay.connect()
      const event = person().event({ tags: [["-"]] })
      const { ok, frame } = await client.publish(event)
      demand(ok === false, "OK false", show(frame))
      demand((await client.query({ ids: [event.id] })).length === 0, "nothing stored", "the event")
    }),
    optional("the refusal says auth-required:", async (relay) => {
      const { message, frame } = await (await relay.connect()).publish(person().event({ tags: [["-"]] }))
      demand(String(message).startsWith("auth-required:"), "auth-required: …", show(frame))
    }),
    required("a protected event is refused from one who authenticated as somebody else", async (relay) => {
      if (!relay.claims(42)) skip("the relay does not claim NIP-42")
      const client = await relay.connect()
      await client.authenticate(person())
      const { ok, frame } = await client.publish(person().event({ tags: [["-"]] }))
      demand(ok === false, "OK false", show(frame))
    }),
    optional("a protected event is taken from its author and served to others", async (relay) => {
      if (!relay.claims(42)) skip("the relay does not claim NIP-42")
      const alice = person()
      const client = await relay.connect()
      await client.authenticate(alice)
      const event = alice.event({ tags: [["-"]] })
      await client.store(event)
      demand((await (await relay.connect()).query({ ids: [event.id] })).length === 1, "the event", "none")
    }),
    required("the dash counts wherever it stands among the tags, and with more in its tag", async (relay) => {
      const client = await relay.connect()
      for (const tags of [[["t", "x"], ["-"]], [["-", "x"]]]) {
        const { ok, frame } = await client.publish(person().event({ tags }))
        demand(ok === false, `OK false for ${show(tags)}`, show(frame))
      }
    }),
    required("a dash that is not a tag's name protects nothing", async (relay) => {
      await (await relay.connect()).store(person().event({ tags: [["t", "-"]], content: "-" }))
    }),
    optional("a repost that holds a protected event is refused", async (relay) => {
      const client = await relay.connect()
      const secret = person().event({ tags: [["-"]] })
      for (const kind of [6, 16]) {
        const tags = [
          ["e", secret.id],
          ["p", secret.pubkey],
          ["k", "1"],
        ]
        const { ok, frame } = await client.publish(person().event({ kind, tags, content: JSON.stringify(secret) }))
        demand(ok === false, `OK false for kind ${kind}`, show(frame))
      }
    }),
    required("a repost that only names a protected event is taken", async (relay) => {
      await (await relay.connect()).store(person().event({ kind: 6, tags: [["e", hex32()]], content: "" }))
    }),
  ],
}
