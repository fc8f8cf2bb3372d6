/** The relays that are measured side by side, ours first. */
import { nostrRelay } from "./nostr-relay.ts"
import { nostrRelayCore } from "./nostr-relay-core.ts"
import { nostrRsRelay } from "./nostr-rs-relay.ts"
import { nullServer } from "./null.ts"
import { ours } from "./ours.ts"
import type { RelayUnderTest } from "./relay-under-test.ts"

/** Where the others are, where they are not on PATH. */
export interface Places {
  /** The program `nostr-relay`. */
  readonly nostrRelay: string | undefined
  /** A folder in which `@nostr-relay/core` is, or may be, installed. */
  readonly core: string | undefined
  /** The program `nostr-rs-relay`. */
  readonly nostrRsRelay: string | undefined
}

export const relaysAt = (places: Places): readonly RelayUnderTest[] => [
  ours("full"),
  nostrRelay(places.nostrRelay),
  nostrRelayCore(places.core),
  nostrRsRelay(places.nostrRsRelay),
  nullServer,
]
