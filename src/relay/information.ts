/** What the relay says of itself (NIP-11): only what is there, with the limits in force. */
import type { Limits } from "../limits.ts"

/** NIPs that the relay does in full. */
export const supportedNips: readonly number[] = [1, 11, 40]

export const information = (limits: Limits) => ({
  name: "wizardly-runtime relay",
  description: "The embedded relay of a council of agents. Keeps every kind 30079 that has no d tag.",
  software: "wizardly-runtime",
  supported_nips: supportedNips,
  limitation: {
    max_message_length: limits.frameBytesMax,
    max_subscriptions: limits.relaySubscriptionsMax,
    max_filters: limits.relayFiltersMax,
    max_limit: limits.relayRowsMax,
    default_limit: limits.relayRowsMax,
    max_subid_length: 64,
    max_event_tags: limits.relayTagsMax,
    created_at_upper_limit: limits.futureSecondsMax,
    auth_required: false,
    payment_required: false,
    restricted_writes: false,
  },
})
