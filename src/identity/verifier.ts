/**
 * Checks signatures (BIP-340 Schnorr over the event id), in worker threads, with the fastest library that the machine
 * has: libsecp256k1 through koffi, else nostr-wasm, else nostr-tools.
 */
import { Context } from "effect"
import type { NostrEvent } from "../protocol/event.ts"

/** The libraries, fastest first. */
export type SignatureBackend = "libsecp256k1" | "nostr-wasm" | "nostr-tools"

export interface VerifierShape {
  /** Which library does the work; shown at start. */
  readonly backend: SignatureBackend
  /** One answer for each event, in order: its id is its hash and its signature is its author's. Never throws for bad input. */
  readonly verify: (events: readonly NostrEvent[]) => Promise<readonly boolean[]>
}

export class Verifier extends Context.Service<Verifier, VerifierShape>()("wizardly/identity/Verifier") {}
