/** What a signature library must give; one file in this folder for each. Held to one conformance suite. */
import type { SignatureBackend } from "../verifier.ts"

/** BIP-340 Schnorr over secp256k1. Lengths in bytes are in the names; arguments are never changed or kept. */
export interface SchnorrBackend {
  readonly name: SignatureBackend
  /** False for anything that is no valid signature, keys and numbers out of range included. Never throws. */
  readonly verify: (id32: Uint8Array, pubkey32: Uint8Array, sig64: Uint8Array) => boolean
  /**
   * `aux32` is fresh randomness. What is derived from a secret may be kept under the identity of its array, so a secret's
   * array is not to be changed while in use. Throws on a secret that is out of range.
   */
  readonly sign: (id32: Uint8Array, secret32: Uint8Array, aux32: Uint8Array) => Uint8Array
  /** The x-only public key. Throws on a secret that is out of range. */
  readonly publicKey: (secret32: Uint8Array) => Uint8Array
}

/** The text never holds the secret. */
export const secretOutOfRange = (): Error => new Error("the secret key is out of range")
