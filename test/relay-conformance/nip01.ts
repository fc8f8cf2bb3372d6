/** NIP-01: events, filters, subscriptions, and what they are answered. */
import type { NipChecks } from "./check.ts"
import { answers } from "./nip01/answers.ts"
import { dates } from "./nip01/dates.ts"
import { filters } from "./nip01/filters.ts"
import { garbage } from "./nip01/garbage.ts"
import { invalid } from "./nip01/invalid.ts"
import { kinds } from "./nip01/kinds.ts"
import { limits } from "./nip01/limits.ts"
import { live } from "./nip01/live.ts"
import { oddFilters } from "./nip01/odd-filters.ts"
import { replaceable } from "./nip01/replaceable.ts"
import { subscriptions } from "./nip01/subscriptions.ts"
import { text } from "./nip01/text.ts"

export const nip01: NipChecks = {
  nip: 1,
  title: "Basic protocol",
  claimedBy: [],
  checks: [
    ...answers,
    ...invalid,
    ...text,
    ...dates,
    ...filters,
    ...oddFilters,
    ...limits,
    ...subscriptions,
    ...live,
    ...kinds,
    ...replaceable,
    ...garbage,
  ],
}
