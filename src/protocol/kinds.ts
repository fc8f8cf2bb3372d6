/** The event kinds in use, by the name that the protocol page gives them, and the ranges of NIP-01. */
export const Kind = {
  profile: 0,
  note: 1,
  directMessage: 4,
  deletion: 5,
  reaction: 7,
  channelCreate: 40,
  channelMetadata: 41,
  channelMessage: 42,
  channelHide: 43,
  channelMute: 44,
  /** Application data that is no addressable event: dispatch receipts and roster versions. */
  record: 78,
  repost: 6,
  genericRepost: 16,
  giftWrap: 1059,
  relayList: 10002,
  auth: 22242,
  remoteSigning: 24133,
  httpAuth: 27235,
  artifact: 30078,
  command: 30079,
} as const

/** How a relay keeps an event of a kind (NIP-01). */
export type Keeping = "regular" | "replaceable" | "ephemeral" | "addressable"

/** NIP-01's ranges of kinds. */
export const keepingOf = (kind: number): Keeping => {
  if (kind === 0 || kind === 3 || (kind >= 10_000 && kind < 20_000)) return "replaceable"
  if (kind >= 20_000 && kind < 30_000) return "ephemeral"
  if (kind >= 30_000 && kind < 40_000) return "addressable"
  return "regular"
}
