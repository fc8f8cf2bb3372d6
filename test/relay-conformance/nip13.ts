/** NIP-13: proof of work, where the relay asks for it. */
import { getPow } from "nostr-tools/nip13"
import type { NostrEvent } from "../../src/protocol/event.ts"
import { demand, type NipChecks, required, show, skip } from "./check.ts"
import { now, person } from "./person.ts"
import type { Relay } from "./relay.ts"

export const nip13: NipChecks = {
  nip: 13,
  title: "Proof of work",
  claimedBy: [13],
  checks: [
    required("an event without the work that is asked for is refused, with pow:", async (relay) => {
      const bits = asked(relay)
      const { ok, message, frame } = await (await relay.connect()).publish(mined((id) => getPow(id) < bits))
      demand(ok === false && String(message).startsWith("pow:"), "OK false, pow: …", show(frame))
    }),
    required("an event with the work that is asked for is taken", async (relay) => {
      const bits = asked(relay)
      await (await relay.connect()).store(mined((id) => getPow(id) >= bits, bits))
    }),
  ],
}

const asked = (relay: Relay): number => {
  const bits = relay.limitation("min_pow_difficulty") ?? 0
  if (bits === 0) skip("the relay asks for no work")
  if (bits > 10) skip(`${bits} bits are too much work for a test`)
  return bits
}

const mined = (fits: (id: string) => boolean, bits = 0): NostrEvent => {
  const alice = person()
  for (let nonce = 0; ; nonce++) {
    const event = alice.event({ created_at: now(), tags: [["nonce", String(nonce), String(bits)]] })
    if (fits(event.id)) return event
  }
}
