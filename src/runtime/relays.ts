/**
 * Which relays this home uses: those that the start names, and what a person changed since, which outlives a restart.
 *
 * RS1 A change is written first, with the floor of every wizard at a new relay (P25), then taken up live, one after the
 *     other. What a process that ended in the middle did not take up, the next start does.
 * RS2 A relay that was removed stays so where the next start names it again, and it says so; only where nothing else is
 *     left it counts.
 * RS3 The last relay cannot be removed, nor the embedded one, which the start decides about.
 */
import { Effect } from "effect"
import { relayUrlOf } from "../protocol/relay-list.ts"
import type { EngineShape } from "../engine/engine.ts"
import type { Limits } from "../limits.ts"
import type { Publisher } from "../publish/publisher.ts"
import type { ClockShape } from "../services/clock.ts"
import type { StoreShape } from "../store/store.ts"
import { childName } from "./connections.ts"
import { NotThere, StartRefused } from "./options.ts"
import { fixFloors } from "./reading.ts"
import type { RosterKeeper } from "./roster-keeper.ts"
import type { SupervisorHandle } from "./supervisor.ts"
import type { WizardHost } from "./wizard.ts"

export interface Relays {
  readonly list: () => readonly string[]
  /** Rejects with StartRefused. */
  readonly add: (given: string) => Promise<string>
  /** Rejects with StartRefused, NotThere. */
  readonly remove: (given: string) => Promise<string>
}

/** What a person changed of the relays that a start names. */
interface Changes {
  readonly added: readonly string[]
  readonly removed: readonly string[]
}

const changesOf = (store: StoreShape): Changes =>
  JSON.parse(store.setting.get("runtime", "relayChanges") ?? '{"added":[],"removed":[]}') as Changes

/** RS2. `first`: the embedded relay, where it is one. */
export const relaysAtStart = (
  store: StoreShape,
  named: readonly string[],
  first: string | undefined,
  warn: (message: string) => void,
): readonly string[] => {
  const { added, removed } = changesOf(store)
  const given = first === undefined ? named : [first]
  const left = given.filter((url) => url === first || !removed.includes(url))
  const relays = [...new Set([...left, ...added])]
  if (relays.length === 0) return given
  for (const url of given.filter((each) => !relays.includes(each)))
    warn(`${url} is not used: it was removed from this home (runtime relays add ${url} brings it back)`)
  return relays
}

export const openRelays = (options: {
  readonly relays: readonly string[]
  readonly embedded: string | undefined
  readonly wizards: readonly WizardHost[]
  readonly supervisorOf: (wizard: string) => SupervisorHandle
  readonly publisher: Publisher
  readonly rosters: RosterKeeper
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly clock: ClockShape
  readonly limits: Pick<Limits, "firstReadSecondsMax">
}): Relays => {
  const { embedded, wizards, supervisorOf, publisher, rosters, engine, store } = options
  let relays = options.relays
  let tail: Promise<unknown> = Promise.resolve()
  const inTurn = <A>(body: () => Promise<A>): Promise<A> => {
    const turn = tail.then(body)
    tail = turn.catch(() => {})
    return turn
  }

  const write = (next: readonly string[], changes: Changes): Promise<void> =>
    engine.write(() => {
      store.setting.put("runtime", "relays", JSON.stringify(next))
      store.setting.put("runtime", "relayChanges", JSON.stringify(changes))
    })

  const add = async (url: string): Promise<string> => {
    if (relays.includes(url)) throw new StartRefused({ reason: `${url} is one of the relays already` })
    const { added, removed } = changesOf(store)
    for (const { pubkey } of wizards) await fixFloors({ ...options, pubkey, relays: [url] })
    await write([...relays, url], { added: [...added, url], removed: removed.filter((each) => each !== url) })
    relays = [...relays, url]
    rosters.addRelay(url)
    for (const { name, connections } of wizards) {
      await publisher.know(name, url)
      connections.add(url)
      await Effect.runPromise(supervisorOf(name).add(connections.childOf(url)))
      connections.announce()
    }
    return url
  }

  const remove = async (url: string): Promise<string> => {
    if (!relays.includes(url)) throw new NotThere({ reason: `${url} is none of the relays (${relays.join(", ")})` })
    if (url === embedded)
      throw new StartRefused({ reason: `${url} is the embedded relay: a start with --relay … does without it` })
    if (relays.length === 1)
      throw new StartRefused({ reason: `${url} is the last relay: add another one first (runtime relays add URL)` })
    const { added, removed } = changesOf(store)
    const next = relays.filter((each) => each !== url)
    await write(next, { added: added.filter((each) => each !== url), removed: [...new Set([...removed, url])] })
    relays = next
    for (const { name, connections } of wizards) {
      await Effect.runPromise(supervisorOf(name).remove(childName(url)))
      connections.remove(url)
      await publisher.forget(name, url)
      connections.announce()
    }
    rosters.removeRelay(url)
    return url
  }

  return {
    list: () => relays,
    add: (given) => inTurn(() => add(parsed(given))),
    remove: (given) => inTurn(() => remove(parsed(given))),
  }
}

const parsed = (given: string): string => {
  const url = relayUrlOf(given)
  if (url === undefined)
    throw new StartRefused({ reason: `"${given}" is no relay's address: it begins with ws:// or wss://` })
  return url
}
