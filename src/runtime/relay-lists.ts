/**
 * Which relays the people and wizards of the roster say that they use (kind 10002), as relays bring it. Kept for who
 * asks; nothing is connected to because of it.
 *
 * LI1 Only keys of the roster are heard, and of each only the newest list (NIP-01); one from the future is passed over.
 * LI2 Kept are addresses with TLS that are not private, `relayListUrlsMax` of each list at the most.
 */
import { Schema } from "effect"
import type { EngineShape } from "../engine/engine.ts"
import type { Limits } from "../limits.ts"
import type { NostrEvent } from "../protocol/event.ts"
import { readRelayList } from "../protocol/relay-list.ts"
import type { Roster } from "../protocol/roster.ts"
import { nowSeconds, type ClockShape } from "../services/clock.ts"
import type { StoreShape } from "../store/store.ts"

const Kept = Schema.Struct({
  id: Schema.String,
  createdAt: Schema.Number,
  read: Schema.Array(Schema.String),
  write: Schema.Array(Schema.String),
})
export type KeptList = typeof Kept.Type

export interface RelayLists {
  /** A verified event; resolves when what it changed is stored. */
  readonly offer: (event: NostrEvent) => Promise<void>
  readonly of: (pubkey: string) => KeptList | undefined
}

/** Whose lists are asked for. */
export const listedKeys = ({ operators, wizards, members, revoked }: Roster): readonly string[] =>
  [...new Set([...operators, ...wizards, ...members].map(({ pubkey }) => pubkey))]
    .filter((pubkey) => !revoked.includes(pubkey))
    .sort()

const scope = "relayList"

export const openRelayLists = (options: {
  readonly roster: () => Roster | undefined
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly clock: ClockShape
  readonly limits: Pick<Limits, "futureSecondsMax" | "relayListUrlsMax">
}): RelayLists => {
  const { engine, store, clock, limits } = options
  const of = (pubkey: string): KeptList | undefined => {
    const held = store.setting.get(scope, pubkey)
    return held === undefined ? undefined : Schema.decodeUnknownSync(Kept)(JSON.parse(held))
  }
  return {
    of,
    offer: async ({ id, pubkey, created_at: createdAt, ...event }) => {
      const list = readRelayList({ id, pubkey, created_at: createdAt, ...event })
      const roster = options.roster()
      if (list === undefined || roster === undefined || !listedKeys(roster).includes(pubkey)) return
      if (createdAt > nowSeconds(clock) + limits.futureSecondsMax) return
      const [read, write] = [list.read.slice(0, limits.relayListUrlsMax), list.write.slice(0, limits.relayListUrlsMax)]
      await engine.write(() => {
        const held = of(pubkey)
        const isNewer =
          held === undefined || createdAt > held.createdAt || (createdAt === held.createdAt && id < held.id)
        if (isNewer) store.setting.put(scope, pubkey, JSON.stringify({ id, createdAt, read, write } satisfies KeptList))
      })
    },
  }
}
