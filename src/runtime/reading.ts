/** What a wizard asks of a relay: the subscriptions in the order in which they are read, and from when on. */
import type { Filter, Subscription } from "../../actors/subscription.ts"
import type { EngineShape } from "../engine/engine.ts"
import type { SubscriptionName } from "../intake/intake.ts"
import { lane } from "../intake/lanes.ts"
import type { Limits } from "../limits.ts"
import { Kind } from "../protocol/kinds.ts"
import { standing } from "../protocol/roster.ts"
import { nowSeconds, type ClockShape } from "../services/clock.ts"
import type { StoreShape } from "../store/store.ts"
import { listedKeys } from "./relay-lists.ts"
import type { RosterKeeper } from "./roster-keeper.ts"

/** The first reading of commands looks back only so far, for good: history is not a queue. */
export const fixFloors = (options: {
  readonly pubkey: string
  readonly relays: readonly string[]
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly clock: ClockShape
  readonly limits: Pick<Limits, "firstReadSecondsMax">
}): Promise<void> =>
  options.engine.write(() => {
    const floor = nowSeconds(options.clock) - options.limits.firstReadSecondsMax
    for (const url of options.relays) options.store.cursor.setFloor(options.pubkey, url, floor)
  })

/** What the council signs: the roster's versions, and its channels. */
export const rosterFilter = (council: string): Filter => ({
  kinds: [Kind.record, Kind.channelCreate, Kind.channelMetadata],
  authors: [council],
})

/** What is asked of a relay, in the order in which it is read. */
export const subscriptionsOf = (options: {
  readonly url: string
  readonly wizard: string
  readonly pubkey: string
  readonly store: StoreShape
  readonly clock: ClockShape
  readonly limits: Limits
  readonly rosters: RosterKeeper
  /** Whether it is this wizard that reads the roster there for all of this home. */
  readonly readsRoster: boolean
  /** Whether commands may be asked for there by now. */
  readonly asksCommands: boolean
  /** Parents and roots of wizards' children that are not here yet. */
  readonly kin: readonly string[]
  /** Whether this reading looks back the whole way: at start and hourly, as senders backdate and phones queue. */
  readonly isDeep: () => boolean
}): readonly Subscription[] => {
  const { url, wizard, pubkey, store, clock, limits, rosters } = options
  const since = (subscription: SubscriptionName, firstMs: () => number) => (): number => {
    const cursor = store.cursor.get(pubkey, url, subscription)
    if (cursor === undefined) return firstMs()
    const isLong = clock.nowMs() - cursor > limits.lookBackSecondsQuick * 1000
    const lookBack = isLong || options.isDeep() ? limits.lookBackSecondsMax : limits.lookBackSecondsQuick
    return Math.min(cursor, clock.nowMs()) - lookBack * 1000
  }
  const ownMs = (): number => clock.nowMs() - (limits.commandAgeSecondsMax + 2 * 24 * 3600) * 1000
  const roster: Subscription = {
    name: "roster",
    filters: [rosterFilter(rosters.council)],
    sinceMs: () => undefined,
    rank: 2,
  }
  const read: Subscription[] = [
    ...(options.readsRoster ? [roster] : []),
    {
      name: "own",
      filters: [{ kinds: [Kind.note, Kind.record, Kind.artifact], authors: [pubkey] }],
      sinceMs: since("own", ownMs),
      rank: 1,
    },
  ]
  const inForce = rosters.inForce()
  if (inForce === undefined || !options.asksCommands) return read
  const authors = inForce.operators
    .map((operator) => operator.pubkey)
    .filter((key) => standing(inForce, key) === "operator")
  const floorMs = (): number => (store.cursor.floor(pubkey, url) ?? nowSeconds(clock)) * 1000
  const lists: Subscription = {
    name: "lists",
    filters: [{ kinds: [Kind.relayList], authors: listedKeys(inForce) }],
    sinceMs: () => undefined,
  }
  const laneOf = (filter: Filter): number => ("authors" in filter ? lane.byOperators : lane.toUs)
  const most = limits.reconcileRowsMax
  const left = store.ownReceipt.open(wizard, limits.requestIdsMax)
  return [
    ...read,
    // What an earlier life had begun and this one knows nothing of (P25): by id, since it may be older than the floor.
    ...(left.length > 0 ? [{ name: "left", filters: [{ ids: left }], sinceMs: () => undefined }] : []),
    {
      name: "commands",
      filters: [
        { kinds: [Kind.command, Kind.note, Kind.channelHide, Kind.channelMute], authors },
        { kinds: [Kind.command, Kind.note], "#p": [pubkey] },
      ],
      sinceMs: since("commands", floorMs),
      held: (filter, sinceSeconds) => {
        const held = store.seen.held(wizard, laneOf(filter), sinceSeconds, most + 1)
        return held.length > most ? undefined : held
      },
      rank: 3,
    },
    ...(options.kin.length > 0 ? [{ name: "kin", filters: [{ ids: options.kin }], sinceMs: () => undefined }] : []),
    // Last, so that nothing waits for it, and read for all of this home by one.
    ...(options.readsRoster ? [lists] : []),
  ]
}
