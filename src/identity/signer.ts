/**
 * Signs events with one key. A local key now; a NIP-46 bunker has the same shape. The secret never leaves the signer.
 */
import { Schema } from "effect"
import type { NostrEvent, UnsignedEvent } from "../protocol/event.ts"

export interface Signer {
  /** x-only public key, lower-case hex. */
  readonly pubkey: string
  /** Signs in order. Rejects with SignerRefused if it cannot; an event of another author is a defect. */
  readonly sign: (events: readonly UnsignedEvent[]) => Promise<readonly NostrEvent[]>
}

export class SignerRefused extends Schema.TaggedError<SignerRefused>()("SignerRefused", {
  pubkey: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `the signer of ${this.pubkey} refused: ${this.reason}`
  }
}
