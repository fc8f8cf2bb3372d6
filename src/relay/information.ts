/** What the relay says of itself (NIP-11): only what is there, with every limit in force. */
import type { Limits } from "../limits.ts"
import { subscriptionIdCharsMax } from "./client.ts"
import type { Lists } from "./lists.ts"
import type { RelayRules } from "./rules.ts"

export interface Facts {
  readonly limits: Limits
  readonly rules: RelayRules
  readonly lists: Lists
  /** Management calls (NIP-86) are taken from somewhere. */
  readonly isManaged: boolean
}

/** NIPs that the relay does in full. */
const supportedNips = [1, 4, 9, 11, 17, 40, 42, 45, 59, 67, 70, 77]

export const information = ({ limits, rules, lists, isManaged }: Facts) => {
  const { write, read, about, powBitsMin, ageSecondsMax, kinds, kindsRefused, isRated } = rules
  const isKindListed = !lists.isEmpty("allowed-kind") || !lists.isEmpty("banned-kind")
  const isKindRefused = kinds !== undefined || kindsRefused.length > 0 || isKindListed
  const icon = lists.get("setting", "icon") ?? about.icon
  return {
    name: lists.get("setting", "name") ?? about.name,
    description: lists.get("setting", "description") ?? about.description,
    ...(icon !== undefined && { icon }),
    ...(about.contact !== undefined && { contact: about.contact }),
    version,
    supported_nips: [...supportedNips, ...(powBitsMin > 0 ? [13] : []), ...(isManaged ? [86, 98] : [])].sort(
      (a, b) => a - b,
    ),
    limitation: {
      max_message_length: limits.frameBytesMax,
      max_subscriptions: limits.relaySubscriptionsMax,
      max_filters: limits.relayFiltersMax,
      max_filter_values: limits.relayFilterValuesMax,
      max_filter_tags: limits.relayFilterTagsMax,
      max_open_values: limits.relayOpenValuesMax,
      max_limit: limits.relayRowsMax,
      default_limit: limits.relayRowsMax,
      max_subid_length: subscriptionIdCharsMax,
      max_event_tags: limits.relayTagsMax,
      max_event_bytes: limits.eventBytesMax,
      max_content_length: limits.eventBytesMax,
      max_connections: limits.relayClientsMax,
      max_auth_keys: limits.relayAuthKeysMax,
      max_negentropies: limits.relayNegentropiesMax,
      max_negentropy_events: limits.relayNegentropyRowsMax,
      ...(isRated && {
        max_events_per_minute: limits.relayConnectionEventsPerMinuteMax,
        max_events_per_minute_and_key: limits.relayKeyEventsPerMinuteMax,
      }),
      min_pow_difficulty: powBitsMin,
      ...(ageSecondsMax !== undefined && { created_at_lower_limit: ageSecondsMax }),
      created_at_upper_limit: limits.futureSecondsMax,
      auth_required: read !== "open",
      payment_required: false,
      restricted_writes: write !== "open" || isKindRefused || powBitsMin > 0,
    },
  }
}

/** As in package.json. */
const version = "0.1.0"
