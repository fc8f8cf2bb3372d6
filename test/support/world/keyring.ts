/**
 * The keys of a world by name, and its signatures: real ones, or a stand-in that is as hard to forge for whoever in the
 * world does not hold the key, and a thousand times faster.
 */
import { hash } from "node:crypto"
import { openSignatures } from "../../../src/identity/signature-pool.ts"
import type { Signer } from "../../../src/identity/signer.ts"
import type { VerifierShape } from "../../../src/identity/verifier.ts"
import {
  eventId,
  withId,
  type EventTemplate,
  type NostrEvent,
  type UnsignedEvent,
} from "../../../src/protocol/event.ts"

export interface Keyring {
  readonly verifier: VerifierShape
  readonly signer: (name: string) => Signer
  readonly write: (name: string, template: EventTemplate) => Promise<NostrEvent>
}

export const openKeyring = async (signatures: "fast" | "real"): Promise<Keyring> => {
  const { verifier, signerFor } = signatures === "fast" ? standIn : await real()
  const signers = new Map<string, Signer>()
  const signer = (name: string): Signer => {
    const held = signers.get(name) ?? signerFor(name)
    signers.set(name, held)
    return held
  }
  return {
    verifier,
    signer,
    write: async (name, template) => {
      const one = signer(name)
      const [event] = await one.sign([withId(one.pubkey, template)])
      return event as NostrEvent
    },
  }
}

const sigOf = ({ id, pubkey }: UnsignedEvent): string => hash("sha512", `${pubkey} signs ${id}`)

const standIn = {
  verifier: {
    backend: "nostr-tools",
    verify: async (events) => events.map((event) => event.sig === sigOf(event) && eventId(event) === event.id),
  } satisfies VerifierShape,
  signerFor: (name: string): Signer => ({
    pubkey: hash("sha256", `public key of ${name}`),
    sign: async (events) => events.map((event) => ({ ...event, sig: sigOf(event) })),
  }),
}

/** In this thread, so that nothing depends on another one's pace. */
const real = async () => {
  const { verifier, signerFor } = await (opened ??= openSignatures({ workers: 0 }))
  return { verifier, signerFor: (name: string) => signerFor(hash("sha256", `secret key of ${name}`, "buffer")) }
}
let opened: ReturnType<typeof openSignatures> | undefined
