/**
 * The pure JavaScript that nostr-tools itself signs with (@noble/curves, in the version it asks for). Runs everywhere, and
 * is some thirty times slower than libsecp256k1.
 */
import { createRequire } from "node:module"
import { type SchnorrBackend, secretOutOfRange } from "./backend.ts"

export const load = (): SchnorrBackend => {
  const nostrTools = createRequire(import.meta.url).resolve("nostr-tools/pure")
  const { schnorr } = createRequire(nostrTools)("@noble/curves/secp256k1.js") as { readonly schnorr: Schnorr }
  return {
    name: "nostr-tools",
    verify: (id32, pubkey32, sig64) => schnorr.verify(sig64, id32, pubkey32),
    sign: (id32, secret32, aux32) => ranged(() => schnorr.sign(id32, secret32, aux32)),
    publicKey: (secret32) => ranged(() => schnorr.getPublicKey(secret32)),
  }
}

interface Schnorr {
  readonly verify: (sig: Uint8Array, message: Uint8Array, pubkey: Uint8Array) => boolean
  readonly sign: (message: Uint8Array, secret: Uint8Array, aux: Uint8Array) => Uint8Array
  readonly getPublicKey: (secret: Uint8Array) => Uint8Array
}

/** The library's own message may show the number. */
const ranged = (call: () => Uint8Array): Uint8Array => {
  try {
    return call()
  } catch {
    throw secretOutOfRange()
  }
}
