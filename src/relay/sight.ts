/**
 * What a client may see. Kinds 4 and 1059 are for their parties alone: those who authenticated (NIP-42) and are the
 * recipient, or for a kind 4 the author. Where reading is not open, who is not admitted sees beyond that only what the
 * council says (kind 78): a box that is not admitted yet must see its admission.
 *
 * V1  `sees` and `sightSql` agree on every event, so REQ, COUNT, NEG and the live feed show the same.
 * V2  A filter that asks only for what this client cannot see is refused, and a wider one leaves it out.
 */
import { type NostrEvent, tagValues } from "../protocol/event.ts"
import { Kind } from "../protocol/kinds.ts"
import type { Filter } from "./filter.ts"

export interface Sight {
  /** Who the client has proved to be. */
  readonly keys: readonly string[]
  /** Sees what is not private. */
  readonly isAdmitted: boolean
  /** Whose kind 78 everybody sees. */
  readonly council: string | undefined
}

/** Sees what anybody sees where reading is open. */
export const openSight: Sight = { keys: [], isAdmitted: true, council: undefined }

/** Kinds that only their parties see. */
export const privateKinds: readonly number[] = [Kind.directMessage, Kind.giftWrap]

export const sees = (sight: Sight, event: NostrEvent): boolean => {
  if (privateKinds.includes(event.kind)) return isParty(sight.keys, event)
  if (sight.isAdmitted || (event.kind === Kind.record && event.pubkey === sight.council)) return true
  // Ephemeral, so it has no counterpart in SQL: the two ends of a remote signer, one of them with a throw-away key.
  return event.kind === Kind.remoteSigning && isParty(sight.keys, event)
}

const isParty = (keys: readonly string[], event: NostrEvent): boolean =>
  keys.length > 0 &&
  ((event.kind !== Kind.giftWrap && keys.includes(event.pubkey)) ||
    tagValues(event, "p").some((pubkey) => keys.includes(pubkey)))

/** The same as a condition on a row `i` of events, with its parameters `@readers` and `@council`; none: no condition. */
export const sightSql = (filter: Filter, { keys, isAdmitted, council }: Sight): string | undefined => {
  const isAnyPrivate = filter.kinds === undefined || filter.kinds.some((kind) => privateKinds.includes(kind))
  if (isAdmitted && !isAnyPrivate) return undefined
  const clear = isAdmitted
    ? [`i.kind NOT IN (${privateKinds.join()})`]
    : council === undefined
      ? []
      : [`(i.kind = ${Kind.record} AND i.pubkey = @council)`]
  const mine = isAnyPrivate && keys.length > 0 ? [party] : []
  const ways = [...clear, ...mine]
  return ways.length === 0 ? "FALSE" : `(${ways.join(" OR ")})`
}

const readers = "(SELECT value FROM json_each(@readers))"
const party = `(i.kind IN (${privateKinds.join()}) AND ((i.kind = ${Kind.directMessage} AND i.pubkey IN ${readers})
  OR EXISTS (SELECT 1 FROM tags x WHERE x.seq = i.seq AND x.name = 'p' AND x.value IN ${readers})))`

/** Why a filter is not answered at all, with NIP-42's prefix. */
export const sightFault = (sight: Sight, filter: Filter): string | undefined => {
  const { kinds = [], ids, authors } = filter
  const isForParties = kinds.length > 0 && kinds.every((kind) => partyKinds.includes(kind))
  const isPrivate = kinds.length > 0 && kinds.every((kind) => privateKinds.includes(kind))
  if (isPrivate || (!sight.isAdmitted && isForParties)) {
    if (sight.keys.length === 0) return "auth-required: these events are for their parties alone; authenticate as one"
    return isReachable(sight.keys, filter) ? undefined : "restricted: none of your keys is a party to these events"
  }
  if (sight.isAdmitted || ids !== undefined) return undefined
  const isOfCouncil =
    sight.council !== undefined && kinds.includes(Kind.record) && (authors?.includes(sight.council) ?? true)
  if (isOfCouncil) return undefined
  return sight.keys.length === 0
    ? "auth-required: this relay is read by those it knows; authenticate"
    : "restricted: none of your keys may read here; ask the council to admit one"
}

const partyKinds: readonly number[] = [...privateKinds, Kind.remoteSigning]

/** Whether the filter leaves room for an event to which one of the keys is a party. */
const isReachable = (keys: readonly string[], { kinds = [], authors, "#p": recipients }: Filter): boolean =>
  (recipients?.some((key) => keys.includes(key)) ?? true) ||
  (kinds.some((kind) => kind !== Kind.giftWrap) && (authors?.some((key) => keys.includes(key)) ?? true))
