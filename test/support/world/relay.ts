/**
 * A simulated relay: what NIP-01, 11, 42, 67 and 77 ask of one, and its own faults, all by chance that is given.
 *
 * SR1 Without faults it is a good relay: stored events newest first, EOSE, then the live feed; OK for each event.
 * SR2 An honest one may be slow, silent, confused and rude, but what it holds it gives sooner or later, and what it
 *     said OK to it holds. The others lie: they leave out, forget, and refuse for good.
 */
import type { ChanceShape } from "../../../src/services/chance.ts"
import type { NostrEvent } from "../../../src/protocol/event.ts"
import { tagValue } from "../../../src/protocol/event.ts"
import { idSetOf, respond, type IdSet } from "../../../src/protocol/negentropy.ts"
import { Kind, keepingOf } from "../../../src/protocol/kinds.ts"
import { tagConditions, tagSetsOf, type Filter, type TagSets } from "../../../src/relay/filter.ts"
import { forge } from "./forge.ts"
import type { RelayFaults, RelaySpec } from "./plan.ts"

/** One socket, as the relay sees it. */
export interface Client {
  /** `lateMs` holds this frame alone back, so that others overtake it; a text goes as it is. */
  readonly send: (frame: readonly unknown[] | string, lateMs?: number) => void
  readonly drop: (code: number, reason: string) => void
}

export interface SimulatedRelay {
  readonly spec: RelaySpec
  readonly events: ReadonlyMap<string, NostrEvent>
  /** When each came, in the world's milliseconds. */
  readonly up: () => boolean
  readonly open: (client: Client) => void
  readonly message: (client: Client, text: string) => void
  readonly gone: (client: Client) => void
  /** As if somebody had published it. */
  readonly give: (event: NostrEvent) => void
  /** Sends a forged copy to whoever asks for such events, without holding it. */
  readonly whisper: (event: NostrEvent) => void
  readonly faults: (faults: RelayFaults) => void
  readonly cut: (code: number) => void
  readonly stop: (loseData: boolean) => void
  readonly start: () => void
}

interface Session {
  readonly subscriptions: Map<string, Matcher>
  readonly reconciliations: Map<string, IdSet>
  challenge: string | undefined
  authenticated: boolean
}

export const openRelay = (options: {
  readonly spec: RelaySpec
  readonly chance: ChanceShape
  /** Every event that it takes from a client, before it answers. */
  readonly taken: (event: NostrEvent, relay: string) => void
  readonly after: (ms: number, call: () => void) => void
}): SimulatedRelay => {
  const { spec, chance, after } = options
  const events = new Map<string, NostrEvent>()
  const sessions = new Map<Client, Session>()
  let faults: RelayFaults = {}
  let up = true
  const strikes = (rate: number | undefined): boolean => rate !== undefined && rate > 0 && chance.next() < rate

  const deliver = (client: Client, id: string, event: NostrEvent, stored: boolean): void => {
    if (!spec.honest && strikes(stored ? faults.dropStored : faults.dropLive)) return
    if (strikes(faults.forge)) client.send(["EVENT", id, forge(event, chance)])
    if (strikes(faults.garble)) client.send(garbage[Math.floor(chance.next() * garbage.length)] as string)
    if (strikes(faults.confuse)) client.send(["EVENT", `${id}x`, event])
    client.send(["EVENT", id, event], !spec.honest && strikes(faults.reorder) ? chance.next() * 2000 : 0)
    if (strikes(faults.duplicate)) client.send(["EVENT", id, event])
  }

  const store = (event: NostrEvent): boolean => {
    if (events.has(event.id)) return false
    const keeping = keepingOf(event.kind)
    if (keeping === "ephemeral") return true
    const d = tagValue(event, "d") ?? ""
    const replaces =
      keeping === "replaceable" || (keeping === "addressable" && (event.kind !== Kind.command || d !== ""))
    if (replaces) {
      for (const [id, held] of events) {
        if (held.kind !== event.kind || held.pubkey !== event.pubkey || (tagValue(held, "d") ?? "") !== d) continue
        if (held.created_at > event.created_at) return false
        events.delete(id)
      }
    }
    events.set(event.id, event)
    return true
  }

  const fanOut = (event: NostrEvent): void => {
    for (const [client, session] of sessions)
      for (const [id, isWanted] of session.subscriptions) if (isWanted(event)) deliver(client, id, event, false)
  }

  const challenge = (client: Client, session: Session): void => {
    session.challenge = chance.hex(8)
    client.send(["AUTH", session.challenge])
  }

  /** What a relay that demands AUTH says; false where it goes on. */
  const bars = (client: Client, session: Session): boolean => {
    if (!spec.auth || session.authenticated) return false
    if (session.challenge === undefined || strikes(faults.rotateAuth)) challenge(client, session)
    return true
  }

  const request = (client: Client, session: Session, id: string, filter: Filter): void => {
    if (bars(client, session)) return client.send(["CLOSED", id, "auth-required: who are you?"])
    if (strikes(faults.close))
      return client.send(["CLOSED", id, chance.next() < 0.5 ? "error: try again" : "rate-limited: slower"])
    const isWanted = matcher(filter)
    session.subscriptions.set(id, isWanted)
    const found = [...events.values()]
      .filter(isWanted)
      .sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1))
    const page = found.slice(0, Math.min(spec.cap, filter.limit ?? Number.POSITIVE_INFINITY))
    const shuffled = strikes(faults.shuffle) ? page.toReversed() : page
    for (const event of shuffled) deliver(client, id, event, true)
    if (strikes(faults.noEose)) return
    const finished = page.length === found.length || (!spec.honest && strikes(faults.lieFinish))
    const eose = ["EOSE", id, ...(spec.hints ? [[finished ? "finish" : "more"]] : [])]
    const lateMs = strikes(faults.lateEose) ? chance.next() * 20_000 : 0
    client.send(eose, lateMs)
    if (strikes(faults.duplicate)) client.send(eose, lateMs)
  }

  const compare = (client: Client, session: Session, id: string, filter: Filter): void => {
    if (!spec.reconciles) return client.send(["NOTICE", "error: no such message"])
    if (bars(client, session)) return client.send(["NEG-ERR", id, "auth-required: who are you?"])
    const found = [...events.values()].filter(matcher(filter))
    const shown = found.filter(() => spec.honest || !strikes(faults.dropStored))
    session.reconciliations.set(id, idSetOf(shown))
  }
  const reconcile = (client: Client, session: Session, id: string, message: string): void => {
    const set = session.reconciliations.get(id)
    if (set === undefined || strikes(faults.noEose)) return
    if (strikes(faults.close)) return client.send(["NEG-ERR", id, "closed: try again"])
    const answer = respond(set, Buffer.from(message, "hex"), 60_000).toString("hex")
    // Another version's word: cut short it could be a lie.
    client.send(["NEG-MSG", id, strikes(faults.confuse) ? `60${answer.slice(2)}` : answer])
  }

  const publish = (client: Client, session: Session, event: NostrEvent): void => {
    if (bars(client, session)) return client.send(["OK", event.id, false, "auth-required: who are you?"])
    if (strikes(faults.refuse)) {
      return client.send(["OK", event.id, false, chance.next() < 0.5 ? "error: busy" : "rate-limited: slower"])
    }
    if (!spec.honest && strikes(faults.refuseForGood))
      return client.send(["OK", event.id, false, "invalid: that date is not ours"])
    if (strikes(faults.loseIn)) return
    options.taken(event, spec.url)
    const isNew = store(event)
    if (isNew) fanOut(event)
    if (strikes(faults.loseOk)) return
    if (strikes(faults.doubt)) client.send(["OK", event.id, false, "error: not sure"])
    const duplicate = !isNew && chance.next() < 0.5
    client.send(["OK", event.id, !duplicate, isNew ? "" : "duplicate: have it"])
    if (strikes(faults.duplicate)) client.send(["OK", event.id, true, ""])
  }

  const admit = (client: Client, session: Session, event: NostrEvent): void => {
    const isRight = tagValue(event, "challenge") === session.challenge
    if (strikes(faults.rotateAuth)) return challenge(client, session)
    if (strikes(faults.loseOk)) return
    session.authenticated ||= isRight
    client.send(["OK", event.id, isRight, isRight ? "" : "error: another challenge"])
  }

  return {
    spec,
    events,
    up: () => up,
    open: (client) => {
      if (!up) return client.drop(1006, "refused")
      const session: Session = {
        subscriptions: new Map(),
        reconciliations: new Map(),
        challenge: undefined,
        authenticated: false,
      }
      sessions.set(client, session)
      if (spec.auth && chance.next() < 0.5) challenge(client, session)
    },
    message: (client, text) => {
      const session = sessions.get(client)
      if (session === undefined) return
      const frame = JSON.parse(text) as [string, unknown, unknown]
      const [type, first, second] = frame
      const last = frame.at(-1)
      if (type === "REQ") request(client, session, first as string, second as Filter)
      else if (type === "CLOSE") session.subscriptions.delete(first as string)
      else if (type === "EVENT") publish(client, session, first as NostrEvent)
      else if (type === "AUTH") admit(client, session, first as NostrEvent)
      else if (type === "NEG-OPEN") compare(client, session, first as string, second as Filter)
      else if (type === "NEG-CLOSE") session.reconciliations.delete(first as string)
      if (type === "NEG-OPEN" || type === "NEG-MSG") reconcile(client, session, first as string, last as string)
      if (spec.auth && strikes(faults.rotateAuth)) challenge(client, session)
    },
    gone: (client) => void sessions.delete(client),
    give: (event) => {
      if (!up) return after(10_000, () => up && store(event) && fanOut(event))
      if (store(event)) fanOut(event)
    },
    whisper: (event) => {
      for (const [client, session] of sessions)
        for (const [id, isWanted] of session.subscriptions) if (isWanted(event)) client.send(["EVENT", id, event])
    },
    faults: (given) => {
      faults = given
    },
    cut: (code) => {
      for (const client of sessions.keys()) client.drop(code, "cut")
      sessions.clear()
    },
    stop: (loseData) => {
      up = false
      for (const client of sessions.keys()) client.drop(1006, "the relay stopped")
      sessions.clear()
      if (loseData) events.clear()
    },
    start: () => {
      up = true
    },
  }
}

/** P24. */
const garbage: readonly string[] = [
  "",
  "null",
  "[]",
  '["EVENT"',
  '["EVENT","commands/1",{"id":7}]',
  '["EOSE",{}]',
  '["OK",null,"yes"]',
  '["CLOSED"]',
  '["AUTH",5]',
  `["NOTICE",${"[".repeat(2000)}${"]".repeat(2000)}]`,
  '["EVENT","own/1",{"id":"\\ud800","kind":1e400,"tags":[[[]]],"content":"\\u0000"}]',
]

type Matcher = (event: NostrEvent) => boolean

/** A filter that is asked of every event of the relay. */
const matcher = (filter: Filter): Matcher => {
  const { ids, authors, kinds, since = 0, until = Infinity } = filter
  const conditions = tagConditions(filter)
  return (event) =>
    event.created_at >= since &&
    event.created_at <= until &&
    kinds?.includes(event.kind) !== false &&
    authors?.includes(event.pubkey) !== false &&
    ids?.includes(event.id) !== false &&
    conditions.every(([name, values]) => values.some((value) => tagsOf(event).get(name)?.has(value)))
}

const tagSets = new WeakMap<NostrEvent, TagSets>()
const tagsOf = (event: NostrEvent): TagSets => {
  const sets = tagSets.get(event) ?? tagSetsOf(event)
  tagSets.set(event, sets)
  return sets
}
