/**
 * From a relay's verified events to the engine: what is new, what is whose, what is meant. The judging is pure
 * (`judge.ts`); here it meets the store.
 *
 * N1  Nobody is judged before a roster is in force: nothing is `seen`, nothing is taken up.
 * N2  A stranger's event leaves an entry in `seen` and a count, nothing else.
 * N3  An event, its cursor and what is `seen` are one transaction; what is not committed is read again (P28).
 * N4  A command dated before the relay's floor is passed over for that relay only, unseen (P25); so is one dated before
 *     its author had a right to command: a new right is for what comes, not for what was written before.
 * N5  What our own receipts say has ended is never taken up again; what they say was begun becomes `interrupted`, also
 *     where it is dated before the floor (`left`).
 * N6  Where the queue has no room for a task, only that task is left for later: everything else of its batch is taken
 *     up (a full, paused wizard must still hear its `resume`), and the relay's cursor stays until it was read again (P28).
 * N7  Nothing is taken up while the wizard may not (`ready`): the batch is read again when it may.
 * N8  A member who may not is told so once in `refusalSeconds` by each wizard; the rest is counted, seen and unanswered.
 * N9  A wizard's child is judged when its parent and root are here (`lineage.ts`); its own are none (P23).
 * N10  The first relay that brings a command is written with it, the others once each, when they bring it.
 */
import type { Limits } from "../limits.ts"
import type { NostrEvent } from "../protocol/event.ts"
import { readHeartbeat, type Heartbeat } from "../protocol/heartbeat.ts"
import { readReceipt, type Receipt } from "../protocol/receipt.ts"
import { isEnd, type Status } from "../protocol/status.ts"
import type { Lineage } from "../protocol/command.ts"
import { isOperator, type Roster } from "../protocol/roster.ts"
import type { CommandBounds, Repeat } from "../../machines/command.ts"
import type { ClockShape } from "../services/clock.ts"
import type { StoreShape } from "../store/store.ts"
import type { EngineShape } from "../engine/engine.ts"
import type { Envelope } from "../engine/command-host.ts"
import { commandActor, originOf, type Received } from "../engine/commands.ts"
import { Schema } from "effect"
import { judge, type LineageFault, type Reject, type Take } from "./judge.ts"
import { openKin } from "./kin.ts"
import { kinshipOf, type Kinship } from "./lineage.ts"
import { lanesOf } from "./lanes.ts"
import { isMuted, moderate, muteScope } from "./moderation.ts"

/** What a relay connection hands over: verified, matching, in order of arrival. */
export interface Batch {
  readonly subscription: string
  readonly relay: string
  readonly events: readonly NostrEvent[]
  /** Everything of the subscription up to this local time (unix ms) is in this batch or before. */
  readonly cursorMs?: number
  /** `stored`: the relay held them before we asked. */
  readonly phase?: "stored" | "live"
}

export interface IntakeOptions {
  readonly wizard: string
  readonly pubkey: string
  readonly instance: string
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly clock: ClockShape
  readonly limits: Limits
  readonly roster: () => Roster | undefined
  /** Unix seconds from which on an author's commands count. */
  readonly authorFloor: (pubkey: string) => number
  /** A roster version that a relay brought; resolves when it is stored. */
  readonly offerRoster: (event: NostrEvent) => Promise<void>
  /** Which relays somebody says that they use; resolves when that is stored. */
  readonly offerRelayList: (event: NostrEvent) => Promise<void>
  /** The ids of `wanted` changed. */
  readonly kinWanted: () => void
  /** Whether commands may be taken up. */
  readonly ready: () => boolean
  /** A heartbeat of our key by another instance. */
  readonly heard: (heartbeat: Heartbeat, stored: boolean) => void
  readonly executor: { readonly name: string; readonly repeat: Repeat }
  /** Counts what leaves no row, by reason. */
  readonly count: (reason: string) => void
}

/** The wizard takes nothing up now (it listens for another instance, or drains). */
export class NotReady extends Schema.TaggedError<NotReady>()("NotReady", { wizard: Schema.String }) {
  override get message(): string {
    return `${this.wizard} takes no commands now`
  }
}

/** The names of the subscriptions, in the order in which they are read. */
export const subscriptionNames = ["roster", "own", "left", "commands", "kin", "lists"] as const
export type SubscriptionName = (typeof subscriptionNames)[number]

export interface Intake {
  /** Resolves when the batch is durable; rejects where it is to be read again. */
  readonly take: (batch: Batch) => Promise<void>
  /**
   * An event of our own key is valid. A sign of life does not wait for the disk as the batches do: an elder's answer
   * that came in time would be heard too late (P26).
   */
  readonly hear: (event: NostrEvent, stored: boolean) => void
  /** Ids of events to ask relays for: parents and roots of children. */
  readonly wanted: () => readonly string[]
  /** Whether some relay holds commands for which there was no room. */
  readonly isHolding: () => boolean
  /** There is room: these relays are to be read again. */
  readonly resume: () => readonly string[]
  /** Our own receipts of a relay are read: goes on from what they tell. */
  readonly importOwn: () => Promise<void>
}

export const openIntake = (options: IntakeOptions): Intake => {
  const { wizard, pubkey, engine, store, clock, limits } = options

  /** Relays with commands that are left for later, and those that are being read again for them. */
  const held = new Set<string>()
  const rereading = new Set<string>()

  const kin = openKin({ clock, limits, changed: options.kinWanted, lost: () => options.count("kin-missing") })
  const rate = openRate(clock, limits.authorCommandsPerMinuteMax)

  /** A verified event that was fetched, or that was taken up by a wizard of this home. */
  const find = (id: string): NostrEvent | undefined => {
    const [row] = store.command.byId(id)
    return row === undefined ? kin.find(id) : originOf(store, row.actor)
  }

  const takeKin = async (batch: Batch): Promise<void> => {
    for (const event of batch.events) kin.know(event)
    const ready = kin.release()
    if (ready.length > 0) options.kinWanted()
    for (const { child, relay } of ready) await takeCommands({ subscription: "commands", relay, events: [child] })
  }

  const moveCursor = (batch: Batch): void => {
    // What an earlier life left is asked for by id, whenever there is some.
    if (batch.cursorMs === undefined || batch.subscription === "left") return
    if (batch.subscription === "commands") {
      if (held.has(batch.relay)) return
      // Only a whole reading brings back what was left.
      if (rereading.has(batch.relay) && batch.phase !== "stored") return
      rereading.delete(batch.relay)
    }
    // A clock that ran ahead and came back leaves no cursor in the future (P6).
    store.cursor.move(pubkey, batch.relay, batch.subscription, batch.cursorMs, clock.nowMs())
  }

  const takeRosters = async (batch: Batch): Promise<void> => {
    for (const event of batch.events) await options.offerRoster(event)
    await engine.write(() => moveCursor(batch))
  }

  /** Read whole each time, as there is one for each key: no cursor. */
  const takeLists = async (batch: Batch): Promise<void> => {
    for (const event of batch.events) await options.offerRelayList(event)
  }

  const takeOwn = async (batch: Batch): Promise<void> => {
    const receipts: Receipt[] = []
    for (const event of batch.events) {
      if (event.pubkey !== pubkey) continue
      const receipt = readReceipt(event)
      if (
        receipt !== undefined &&
        receipt.wizard === wizard &&
        // Its own echo: nothing is said before it is in the journal.
        receipt.instance !== options.instance &&
        !store.outbox.holds(commandActor(receipt.command, wizard), event.id)
      )
        receipts.push(receipt)
    }
    await engine.write(() => {
      for (const { id, command, n, status } of receipts) store.ownReceipt.add(id, command, wizard, n, status)
      moveCursor(batch)
    })
  }

  /** N5, for commands that the journal knows: a relay may know them further. Once our own history is read whole. */
  const importOwn = async (): Promise<void> => {
    const envelopes = store.command.unended(wizard).flatMap((row): readonly Envelope[] => {
      const read = store.ownReceipt.of(row.id, wizard)
      const last = read.find(({ status }) => isEnd(status as Status)) ?? read.at(-1)
      if (last === undefined || (last.n < row.receipts && !isEnd(last.status as Status))) return []
      const event = { type: "import", status: last.status, chain: { n: last.n, tip: last.id } }
      return [{ actor: row.actor, cause: `import/${last.id}`, event }]
    })
    if (envelopes.length > 0) await engine.deliver(envelopes)
  }

  const takeCommands = async (batch: Batch): Promise<void> => {
    const { fresh = [], known = [] } = Object.groupBy(
      new Map(batch.events.map((event) => [event.id, event])).values(),
      (event) => (isNew(event) ? "fresh" : "known"),
    )
    // Read while something was left for later: only a reading that began after there was room moves the cursor.
    const isOld = held.has(batch.relay)
    const roster = options.roster()
    if (roster === undefined || !options.ready()) throw new NotReady({ wizard })
    const relayFloor = store.cursor.floor(pubkey, batch.relay) ?? Number.NEGATIVE_INFINITY
    const envelopes: Envelope[] = []
    const judged: NostrEvent[] = []
    const refused = new Set<string>()
    const lanes = (event: NostrEvent): number => lanesOf(event, roster, pubkey)
    const mutes = new Set<string>()
    for (const event of fresh) {
      const moderated = moderate(event, roster, wizard, store)
      if (moderated !== undefined) {
        envelopes.push(...moderated.envelopes)
        for (const mute of moderated.mutes) mutes.add(mute)
        judged.push(event)
        continue
      }
      const isBelow =
        event.created_at < Math.max(relayFloor, options.authorFloor(event.pubkey)) && !hasOpenChain(event.id)
      const kinship = kinshipOf(event, roster, limits, find)
      if (!isBelow && kinship.is === "unknown") {
        // Not seen: where its kin does not come, it is judged when it is read again.
        kin.wait(event, batch.relay, kinship.missing)
        continue
      }
      const from = { kinship, relay: batch.relay, lanes: lanes(event) }
      const envelope = isBelow ? "before the floor" : envelopeOf(event, roster, refused, from)
      if (typeof envelope !== "string") {
        envelopes.push(envelope)
        continue
      }
      options.count(envelope)
      if (!isBelow) judged.push(event)
    }
    await engine.deliverWith(envelopes, (outcomes) => {
      const nowMs = clock.nowMs()
      for (const event of judged) store.seen.add(event, wizard, lanes(event), nowMs)
      for (const mute of mutes) store.setting.put(muteScope, mute, String(nowMs))
      for (const author of refused) store.setting.put(refusedScope, author, String(nowMs))
      for (const { id } of known) seenOn(commandActor(id, wizard), batch.relay, nowMs)
      for (const [at, { actor, event }] of envelopes.entries())
        if (outcomes[at] === "duplicate" && event.type === "receive") seenOn(actor, batch.relay, nowMs)
      if (outcomes.includes("deferred")) held.add(batch.relay)
      if (!isOld) moveCursor(batch)
    })
  }

  /** N5: the one exception from the floor, since it was no history when it was begun. */
  const hasOpenChain = (id: string): boolean => {
    const own = store.ownReceipt.of(id, wizard)
    return own.length > 0 && !own.some(({ status }) => isEnd(status as Status))
  }

  /** N10 */
  const seenOn = (actor: string, relay: string, atMs: number): void => {
    if (store.snapshot.has(actor)) store.seenOn.add(actor, relay, atMs, limits.seenOnRelaysMax)
  }

  const isNew = ({ id }: NostrEvent): boolean =>
    !store.seen.has(id, wizard) && !store.snapshot.has(commandActor(id, wizard))

  /** When this wizard last told an author that they may not, unix milliseconds. */
  const refusedScope = `refused/${wizard}`
  const wasRefused = (author: string, nowMs: number): boolean => {
    const agoMs = nowMs - Number(store.setting.get(refusedScope, author) ?? Number.NEGATIVE_INFINITY)
    // A clock that ran ahead and came back silences nobody.
    return agoMs >= 0 && agoMs < limits.refusalSeconds * 1000
  }

  /** The `receive` of a command for this wizard, or why there is none. Adds whom it refuses to `refused`. */
  const envelopeOf = (event: NostrEvent, roster: Roster, refused: Set<string>, from: From): Envelope | string => {
    if (isMuted(event, roster, store)) return "muted"
    const { kinship } = from
    const nowMs = clock.nowMs()
    const child = event.pubkey === pubkey ? undefined : childOf(kinship)
    const verdict = judge({
      event,
      roster,
      wizards: [wizard],
      nowMs,
      limits,
      ...(child !== undefined && { child }),
      ...(!isOperator(roster, event.pubkey) && rate.isOver(event.pubkey) && { tooMany: tooMany(limits) }),
    })[0]
    if (verdict === undefined) return "not-for-us"
    if (verdict.outcome === "ignore") return verdict.reason
    if (verdict.outcome === "reject" && verdict.forbidden) {
      if (refused.has(event.pubkey) || wasRefused(event.pubkey, nowMs)) return "forbidden"
      refused.add(event.pubkey)
    }
    if (!isOperator(roster, event.pubkey)) rate.count(event.pubkey)
    const own = store.ownReceipt.of(event.id, wizard)
    const tip = own.at(-1)
    if (own.some(({ status }) => isEnd(status as Status))) return "ended in an earlier life"
    const imported = (tip?.status ?? null) as Status | null
    const chain = tip === undefined ? null : { n: tip.n, tip: tip.id }
    return {
      actor: commandActor(event.id, wizard),
      cause: event.id,
      event: receiveOf(event, verdict, { ...from, imported, chain }, nowMs),
    }
  }

  const receiveOf = (
    event: NostrEvent,
    verdict: Take | Reject,
    from: From & Pick<Received, "chain"> & { readonly imported: Status | null },
    nowMs: number,
  ): Envelope["event"] => {
    const { kinship } = from
    const taken = verdict.outcome === "take" ? verdict : undefined
    const isVerb = taken?.work.type === "verb"
    const input = {
      atMs: nowMs,
      repeat: isVerb ? "safe" : options.executor.repeat,
      deadlineMs: taken?.deadlineMs ?? null,
      refusal: verdict.outcome === "reject" ? verdict.reason : null,
      stale: nowMs / 1000 - event.created_at > limits.commandAgeSecondsMax,
      approval: null,
      imported: from.imported,
      bounds: boundsOf(limits),
    }
    const command: Received = {
      id: event.id,
      wizard,
      author: event.pubkey,
      trace: kinship.is === "child" ? kinship.root : traceOf(event.id, taken?.parent),
      parent: taken?.parent ?? null,
      form: verdict.form,
      work: isVerb ? "verb" : "task",
      executor: isVerb ? "verb" : options.executor.name,
      body: taken?.body ?? event.content.slice(0, limits.answerCharsMax),
      priority: taken?.priority ?? "normal",
      warnings: taken?.warnings ?? [],
      ...(kinship.is === "child" && { child: kinship.lineage }),
      chain: from.chain,
      relay: from.relay,
      lanes: from.lanes,
      event,
    }
    return { type: "receive", input, command }
  }

  const traceOf = (id: string, parent: string | undefined): string =>
    parent === undefined ? id : (store.command.get(commandActor(parent, wizard))?.trace ?? parent)

  const hear = (event: NostrEvent, stored: boolean): void => {
    const heartbeat = event.pubkey === pubkey ? readHeartbeat(event) : undefined
    if (heartbeat !== undefined && heartbeat.instance !== options.instance) options.heard(heartbeat, stored)
  }

  return {
    hear,
    wanted: kin.wanted,
    take: async (batch) => {
      if (batch.subscription === "kin") return takeKin(batch)
      if (batch.subscription === "roster") return takeRosters(batch)
      if (batch.subscription === "lists") return takeLists(batch)
      if (batch.subscription === "own") return takeOwn(batch)
      return takeCommands(batch)
    },
    importOwn,
    isHolding: () => held.size > 0,
    resume: () => {
      const relays = [...held]
      held.clear()
      for (const relay of relays) rereading.add(relay)
      return relays
    },
  }
}

/** Where an event comes from. */
interface From extends Pick<Required<Received>, "relay" | "lanes"> {
  readonly kinship: Kinship
}

const childOf = (kinship: Kinship): Lineage | LineageFault | undefined => {
  if (kinship.is === "child") return kinship.lineage
  return kinship.is === "false" ? { fault: kinship.fault } : undefined
}

const tooMany = ({ authorCommandsPerMinuteMax }: Limits): string =>
  `these are more than ${authorCommandsPerMinuteMax} commands in a minute: send it again later`

/** How many commands came from each author in this minute. */
const openRate = (clock: ClockShape, most: number) => {
  let minute = 0
  let counts = new Map<string, number>()
  const now = (): Map<string, number> => {
    const at = Math.floor(clock.nowMs() / 60_000)
    if (at !== minute) [minute, counts] = [at, new Map()]
    return counts
  }
  return {
    isOver: (author: string): boolean => (now().get(author) ?? 0) >= most,
    count: (author: string): void => void now().set(author, (now().get(author) ?? 0) + 1),
  }
}

export const boundsOf = (limits: Limits): CommandBounds => ({
  attemptsMax: limits.attemptsMax,
  lossesMax: limits.lossesMax,
  retryMsMin: limits.retryMsMin,
  retryMsMax: limits.retryMsMax,
  approvalSecondsMax: limits.approvalSecondsMax,
  interruptedSecondsMax: limits.interruptedSecondsMax,
})
