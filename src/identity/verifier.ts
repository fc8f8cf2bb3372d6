/**
 * Checks signatures (BIP-340 Schnorr over the event id), in worker threads, with the fastest library that the machine
 * has: libsecp256k1 through koffi, else nostr-wasm, else nostr-tools.
 */
import { Context, Effect, Layer } from "effect"
import type { NostrEvent } from "../protocol/event.ts"
import type { BackendUnusable } from "./choose-backend.ts"
import { openSignatures, type SignatureOptions } from "./signature-pool.ts"

/** The libraries, fastest first. */
export type SignatureBackend = "libsecp256k1" | "nostr-wasm" | "nostr-tools"

export interface VerifierShape {
  /** Which library does the work; shown at start. */
  readonly backend: SignatureBackend
  /** One answer for each event, in order: its id is its hash and its signature is its author's. Never throws for bad input. */
  readonly verify: (events: readonly NostrEvent[]) => Promise<readonly boolean[]>
}

export class Verifier extends Context.Service<Verifier, VerifierShape>()("wizardly/identity/Verifier") {
  /** With threads of its own. Who signs as well opens `openSignatures` and gives its verifier instead. */
  static readonly layer = (options?: SignatureOptions): Layer.Layer<Verifier, BackendUnusable> =>
    Layer.effect(
      Verifier,
      Effect.map(
        Effect.acquireRelease(
          Effect.tryPromise({ try: () => openSignatures(options), catch: (error) => error as BackendUnusable }),
          (signatures) => Effect.promise(() => signatures.close()),
        ),
        (signatures) => signatures.verifier,
      ),
    )
}
