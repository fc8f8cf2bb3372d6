/** The gate for the filters of a REQ, COUNT or NEG-OPEN: read, few enough, and such that this client may ask them. */
import { Result } from "effect"
import type { Filter } from "./filter.ts"
import type { Session } from "./client.ts"
import { sightFault } from "./sight.ts"

/** The filters, or why not, with a machine-readable prefix. */
export const filtersOf = (
  { parseFilter, limits, sight }: Pick<Session, "parseFilter" | "limits" | "sight">,
  values: readonly unknown[],
): Result.Result<readonly Filter[], string> => {
  if (values.length === 0 || values.length > limits.relayFiltersMax)
    return Result.fail(`invalid: ${values.length} filters, 1 to ${limits.relayFiltersMax} are taken`)
  const parsed = Result.all(values.map(parseFilter))
  if (Result.isFailure(parsed)) return Result.fail(`invalid: ${parsed.failure}`)
  const seen = sight()
  const fault = parsed.success.map((filter) => sightFault(seen, filter)).find((found) => found !== undefined)
  return fault === undefined ? Result.succeed(parsed.success) : Result.fail(fault)
}
