/**
 * The roster in force, as the store holds it and as relays bring it; and, where the council's secret is kept, the next
 * version.
 *
 * K1  A version counts only when it is stored.
 * K2  Whoever holds versions that a relay lacks gives them to it: a box that is not admitted yet must be able to see
 *     its admission there.
 * K3  Nothing is signed before the relays gave what they hold, so that a home that lost its store, or has an old one,
 *     does not fork the chain: all of them where no version is held here, else one. A council made by this very start
 *     has no past.
 * K4  The council's channels (kinds 40 and 41) are kept and given away as its versions are, `channelEventsMax` at the most.
 */
import { Schema } from "effect"
import {
  channelCreateTemplate,
  channelMetadataTemplate,
  readChannelAbout,
  type ChannelAbout,
} from "../protocol/channel.ts"
import { withId, type EventTemplate, type NostrEvent } from "../protocol/event.ts"
import { Kind } from "../protocol/kinds.ts"
import {
  amend,
  isRosterFault,
  looksLikeRoster,
  rosterTemplate,
  standing,
  wizardByName,
  type Roster,
  type RosterChange,
  type Standing,
} from "../protocol/roster.ts"
import { emptyChain, offer, rosterInForce, type RosterChain } from "../identity/roster.ts"
import type { Signer } from "../identity/signer.ts"
import { limits } from "../limits.ts"
import type { EngineShape } from "../engine/engine.ts"
import { nowSeconds, type ClockShape } from "../services/clock.ts"
import type { StoreShape } from "../store/store.ts"

export class RosterRefused extends Schema.TaggedError<RosterRefused>()("RosterRefused", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

type RosterChanges = readonly RosterChange[] | Promise<readonly RosterChange[]>

/** What the council signs beside versions. */
export interface CouncilHand {
  /** Makes a channel, once for each name, and gives the id of its kind 40. */
  readonly makeChannel: (about: ChannelAbout) => Promise<string>
}

export interface RosterKeeper {
  readonly council: string
  readonly inForce: () => Roster | undefined
  /** A verified event that may be a version; resolves when what it changed is stored. */
  readonly offer: (event: NostrEvent) => Promise<void>
  /** When the version arrived here that gave this key the standing it has (unix milliseconds); 0 where it has none. */
  readonly standingSinceMs: (pubkey: string) => number
  /** Whether the council's secret is kept here. */
  readonly keeps: boolean
  /** All versions that are held, in order. Their events stay in the store until they are asked for. */
  readonly versions: () => readonly { readonly id: string; readonly event: () => NostrEvent }[]
  /** The same behind the council's channels (K4): everything that a relay is to hold of the council. */
  readonly signed: () => readonly { readonly id: string; readonly event: () => NostrEvent }[]
  /** Ids of what the council signed that a relay is known to hold, or is being given. */
  readonly given: (url: string) => Set<string>
  /**
   * Signs and stores the next version (version 1 where there is none) with what `changes` says of the one in force;
   * where that is nothing, the one in force stays. Rejects with RosterRefused (K3), and as `changes` does.
   */
  readonly amend: (
    changes: readonly RosterChange[] | ((inForce: Roster | undefined, council: CouncilHand) => RosterChanges),
  ) => Promise<Roster>
  /** Resolves when the relays have given what K3 asks for. */
  readonly read: Promise<void>
  /** A relay has given everything that it holds. */
  readonly heardRelay: (url: string) => void
  /** A relay more, whose versions count for K3; or one fewer. */
  readonly addRelay: (url: string) => void
  readonly removeRelay: (url: string) => void
  /** Hears of each version that comes into force. */
  readonly watch: (hear: (roster: Roster) => void) => () => void
}

export const openRosterKeeper = (options: {
  readonly council: string
  readonly signer: Signer | undefined
  /** The council's key was made by this very start. */
  readonly fresh: boolean
  readonly relays: readonly string[]
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly clock: ClockShape
  readonly warn: (message: string) => void
}): RosterKeeper => {
  const { council, signer, engine, store, clock, warn } = options
  const watchers = new Set<(roster: Roster) => void>()
  const given = new Map<string, Set<string>>()
  const unread = new Set(options.fresh ? [] : options.relays)
  const read = Promise.withResolvers<void>()
  /** Versions that wait for the one before; bounded as the chain's own list is. */
  const waiting = new Map<string, NostrEvent>()
  const stored = store.roster.all()
  let chain: RosterChain = stored.reduce(
    (held, { event }) => offer(held, JSON.parse(event) as NostrEvent).chain,
    emptyChain(council),
  )
  let tail: Promise<unknown> = Promise.resolve()
  let heard = false
  const isRead = (): boolean => unread.size === 0 || (heard && chain.held.length > 0)
  const arrived = new Map(stored.map(({ id, at_ms }) => [id, at_ms]))
  let since = chain.held.reduce(
    (before, roster) => standings(before, roster, arrived.get(roster.id) ?? 0),
    new Map() as ReadonlyMap<string, Since>,
  )
  const tellRead = (): void => void (isRead() && read.resolve())
  tellRead()

  const take = async (event: NostrEvent): Promise<void> => {
    if (event.pubkey !== council) return
    if (readChannelAbout(event) !== undefined) return keepChannel(event)
    if (!looksLikeRoster(event)) return
    const offered = offer(chain, event)
    if (offered.warning !== undefined) warn(offered.warning)
    waiting.set(event.id, event)
    const gained = offered.chain.held.slice(chain.held.length)
    const nowMs = clock.nowMs()
    if (gained.length > 0) {
      await engine.write(() => {
        for (const { id, version } of gained) store.roster.add(id, version, JSON.stringify(waiting.get(id)), nowMs)
      })
    }
    chain = offered.chain
    since = gained.reduce((before, roster) => standings(before, roster, nowMs), since)
    const pending = new Set(chain.pending.map(({ id }) => id))
    for (const id of waiting.keys()) if (!pending.has(id)) waiting.delete(id)
    tellRead()
    const now = rosterInForce(chain)
    if (gained.length > 0 && now !== undefined) for (const hear of watchers) hear(now)
  }

  /** K4. */
  const channels = new Set(store.setting.keys(channelScope))
  const keepChannel = async (event: NostrEvent): Promise<void> => {
    if (channels.has(event.id) || channels.size >= limits.channelEventsMax) return
    await engine.write(() => store.setting.put(channelScope, event.id, JSON.stringify(event)))
    channels.add(event.id)
  }
  const channelEvent = (id: string): NostrEvent =>
    JSON.parse(store.setting.get(channelScope, id) as string) as NostrEvent

  const sign = async (template: EventTemplate): Promise<NostrEvent> => {
    if (signer === undefined) {
      throw new RosterRefused({ reason: "the council's secret is not kept here: do it where it is" })
    }
    const [event] = await signer.sign([withId(council, template)])
    return event as NostrEvent
  }

  const makeChannel = async (about: ChannelAbout): Promise<string> => {
    const isIt = (event: NostrEvent): boolean =>
      event.kind === Kind.channelCreate && readChannelAbout(event)?.name === about.name
    const made =
      [...channels].map(channelEvent).find(isIt) ?? (await sign(channelCreateTemplate(about, nowSeconds(clock))))
    // The metadata first: what holds the 40 holds it whole.
    await keepChannel(await sign(channelMetadataTemplate(made.id, about, nowSeconds(clock))))
    await keepChannel(made)
    return made.id
  }

  const versions: RosterKeeper["versions"] = () =>
    chain.held.map(({ id }) => ({ id, event: () => JSON.parse(store.roster.event(id) as string) as NostrEvent }))

  /** One after the other: each is judged by the chain that the one before left. */
  const inTurn = <A>(body: () => Promise<A>): Promise<A> => {
    const turn = tail.then(body)
    tail = turn.catch(() => {})
    return turn
  }

  return {
    council,
    inForce: () => rosterInForce(chain),
    offer: (event) => inTurn(() => take(event)),
    standingSinceMs: (pubkey) => since.get(pubkey)?.ms ?? 0,
    keeps: signer !== undefined,
    versions,
    signed: () => [...[...channels].map((id) => ({ id, event: () => channelEvent(id) })), ...versions()],
    given: (url) => given.get(url) ?? (given.set(url, new Set()).get(url) as Set<string>),
    amend: (changes) =>
      inTurn(async () => {
        if (signer === undefined)
          throw new RosterRefused({ reason: `the council's secret is not kept here: ${whoKeeps(chain)}` })
        if (!isRead()) {
          const waits = [...unread].join(", ")
          throw new RosterRefused({
            reason: `the roster is not read back from ${waits} yet, and a version signed now could fork it: try again when that relay can be reached`,
          })
        }
        const held = rosterInForce(chain)
        const wanted = typeof changes === "function" ? await changes(held, { makeChannel }) : changes
        if (wanted.length === 0 && held !== undefined) return held
        const next = amend(held, ...wanted)
        if (isRosterFault(next)) throw new RosterRefused({ reason: next.reason })
        const event = await sign(rosterTemplate(next, nowSeconds(clock)))
        await take(event)
        const now = rosterInForce(chain)
        if (now?.id !== event.id) throw new RosterRefused({ reason: "the next version does not fit the chain" })
        return now as Roster
      }),
    read: read.promise,
    heardRelay: (url) => {
      if (unread.delete(url)) heard = true
      tellRead()
    },
    addRelay: (url) => {
      if (!options.fresh) unread.add(url)
    },
    removeRelay: (url) => {
      unread.delete(url)
      given.delete(url)
      tellRead()
    },
    watch: (hear) => {
      watchers.add(hear)
      return () => void watchers.delete(hear)
    },
  }
}

/** Kinds 40 and 41 of the council, by id. */
const channelScope = "channel"

/** Whoever founded the council has its secret; version 1 names the wizards of that home. */
const whoKeeps = (chain: RosterChain): string => {
  const now = rosterInForce(chain)
  const founders = chain.held[0]?.wizards.filter(({ name }) => now !== undefined && wizardByName(now, name)) ?? []
  const names = founders.map(({ name }) => `@${name}`).join(" or ")
  return names === "" ? "do it where it is" : `do it where it is, or tell ${names}`
}

interface Since {
  readonly is: Standing
  /** Unix milliseconds. */
  readonly ms: number
}

/** Of each key of a version, from which arrival on it has its standing without a gap. */
const standings = (
  before: ReadonlyMap<string, Since>,
  roster: Roster,
  arrivedMs: number,
): ReadonlyMap<string, Since> => {
  const keys = new Set([...roster.operators, ...roster.wizards, ...roster.members].map(({ pubkey }) => pubkey))
  return new Map(
    [...keys].map((pubkey) => {
      const is = standing(roster, pubkey)
      const held = before.get(pubkey)
      return [pubkey, held?.is === is ? held : { is, ms: arrivedMs }]
    }),
  )
}
