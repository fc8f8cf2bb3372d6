/**
 * The embedded command host: a drain loop that is the only writer of the store.
 *
 *   mailbox ─► take what waits, up to a bound ─► step the pure machines ─► journal + snapshot + outbox + rows
 *                                                    in ONE transaction ─► disk ─► tell whoever asked or watches
 *
 * Keeps H1–H7 of `command-host.ts`, and these:
 *
 * E1  Workers, live actors and subscribers hear of a group only after it is on the disk.
 * E2  A group that fails is written again without the step that threw; where the disk fails, all of it is `NotCommitted`.
 * E3  The mailbox is bounded: senders wait for room.
 * E4  Memory holds the actors last stepped, up to a bound; the rest are rows.
 */
import type { AnyMachineSnapshot } from "xstate"
import type { ClockShape } from "../services/clock.ts"
import type { Limits } from "../limits.ts"
import type { StoreShape } from "../store/store.ts"
import {
  HostStopped,
  NotCommitted,
  type ActorEvent,
  type ActorKind,
  type ActorView,
  type CommandHostShape,
  type Effect,
  type Envelope,
  type Outcome,
} from "./command-host.ts"
import { begin, restore, stateOf, step, type Intent, type Step } from "./step.ts"

/** What one applied step is, for whoever turns it into rows. */
export interface Stepped {
  readonly actor: string
  readonly seq: number
  readonly position: number
  readonly atMs: number
  readonly event: ActorEvent
  readonly before: string | undefined
  readonly after: string
  readonly done: boolean
  readonly intents: readonly Intent[]
  readonly snapshot: AnyMachineSnapshot
  /** Adds an effect to the outbox; it gets the step's next index. */
  readonly owe: (kind: string, payload: unknown, about?: { readonly owner?: string; readonly eventId?: string }) => void
}

/** What the embedded host knows of an actor kind beyond its machine. Both run inside the group's transaction. */
export interface Projection {
  /** Completes an event with what only the transaction knows, or puts it off. */
  readonly prepare?: (actor: string, event: ActorEvent, atMs: number) => ActorEvent | "deferred"
  /** Turns a step into rows and effects. */
  readonly project?: (stepped: Stepped) => void
  /** A step of this actor threw, and it takes nothing more. */
  readonly faulted?: (actor: string, reason: string, atMs: number) => void
  /** The transaction was rolled back: what was counted along the way is not so. */
  readonly forget?: () => void
}

/** What became durable. */
export interface Commit {
  readonly steps: readonly Omit<Stepped, "owe" | "snapshot">[]
  readonly effects: readonly Effect[]
}

export interface EngineShape extends CommandHostShape {
  /** Runs `body` inside the next group's transaction; resolves with what it gave when that is durable. */
  readonly write: <A>(body: () => A) => Promise<A>
  /** An all-or-nothing delivery with rows of its own, as a cursor that the batch covers. */
  readonly deliverWith: (
    envelopes: readonly Envelope[],
    rows: (outcomes: readonly Outcome[]) => void,
  ) => Promise<readonly Outcome[]>
  /** Hears of each group once it is durable, in order. Returns what ends it. */
  readonly watch: (hear: (commit: Commit) => void) => () => void
  /** Takes nothing more and resolves when what was taken is written. */
  readonly stop: () => Promise<void>
  /** Resolves with the fault that ended the engine, if one does. */
  readonly failed: Promise<Error>
}

export interface EngineOptions {
  readonly store: StoreShape
  readonly clock: ClockShape
  readonly limits: Pick<Limits, "mailboxRowsMax" | "groupRowsMax" | "actorsCachedMax">
  readonly kinds: Readonly<Record<string, ActorKind>>
  readonly projections?: Readonly<Record<string, Projection>>
}

interface Work {
  readonly envelopes: readonly Envelope[]
  readonly rows: ((outcomes: readonly Outcome[]) => unknown) | undefined
  readonly resolve: (value: { outcomes: readonly Outcome[]; rows: unknown }) => void
  readonly reject: (error: Error) => void
}

interface Held {
  readonly snapshot: AnyMachineSnapshot
  readonly seq: number
  readonly fault: string | null
}

export const openEngine = (options: EngineOptions): EngineShape => {
  const { store, clock, limits, kinds } = options
  const { database } = store
  const projections = options.projections ?? {}
  const cache = new Map<string, Held>()
  const watchers = new Set<(commit: Commit) => void>()
  const mailbox: Work[] = []
  const waiting: (() => void)[] = []
  let queued = 0
  let position = store.journal.last()
  let running = false
  let stopped = false
  const idle: (() => void)[] = []
  const failed = Promise.withResolvers<Error>()

  const kindOf = (actor: string): ActorKind | undefined => kinds[actor.slice(0, actor.indexOf("/"))]

  const load = (actor: string, kind: ActorKind): Held | undefined => {
    const held = cache.get(actor)
    if (held !== undefined) return held
    const row = store.snapshot.get(actor)
    if (row === undefined) return undefined
    return { snapshot: restore(kind.machine, row.state, JSON.parse(row.context)), seq: row.seq, fault: row.fault }
  }

  /** One group, inside its transaction. `poison` names what threw on the try before. */
  const writeGroup = (group: readonly Work[], poison: ReadonlyMap<Envelope | Work, Error>, nowMs: number) => {
    const fresh = new Map<string, Held>()
    const steps: Commit["steps"][number][] = []
    const effects: Effect[] = []
    const results: ({ outcomes: Outcome[]; rows: unknown } | Error)[] = []
    let last = position

    const apply = (envelope: Envelope): Outcome => {
      const { actor, cause, timer } = envelope
      const kind = kindOf(actor)
      if (kind === undefined) return "missing"
      if (timer !== undefined) {
        const armed = store.timer.get(actor, timer.name)
        if (armed?.effect !== timer.effect) return "duplicate"
        store.timer.remove(actor, timer.name)
      }
      if (store.journal.has(actor, cause) || store.deadLetter.has(actor, cause)) return "duplicate"
      const fault = poison.get(envelope)?.message
      if (fault !== undefined) {
        store.deadLetter.add(nowMs, actor, cause, JSON.stringify(envelope.event), fault)
        store.snapshot.fault(actor, fault)
        projections[kind.machine.id]?.faulted?.(actor, fault, nowMs)
        return "faulted"
      }
      const held = fresh.get(actor) ?? load(actor, kind)
      if (held === undefined ? envelope.event.type !== "receive" : envelope.event.type === "receive")
        return held === undefined ? "missing" : "duplicate"
      if (held !== undefined && held.fault !== null) {
        store.deadLetter.add(nowMs, actor, cause, JSON.stringify(envelope.event), held.fault)
        return "faulted"
      }
      const projection = projections[kind.machine.id]
      const stamped = { ...envelope.event, atMs: envelope.event.atMs ?? nowMs }
      const event = projection?.prepare?.(actor, stamped, nowMs) ?? stamped
      if (event === "deferred") return "deferred"

      const next: Step = held === undefined ? begin(kind.machine, event) : step(kind.machine, held.snapshot, event)
      const seq = (held?.seq ?? 0) + 1
      const after = stateOf(next.snapshot)
      const before = held === undefined ? undefined : stateOf(held.snapshot)
      last += 1
      store.journal.append({
        position: last,
        actor,
        seq,
        machine: kind.machine.id,
        version: kind.version,
        cause,
        at_ms: nowMs,
        event: JSON.stringify(event),
        state: after,
        refused: next.refused ? 1 : 0,
      })
      const done = next.snapshot.status !== "active"
      store.snapshot.put({
        actor,
        machine: kind.machine.id,
        version: kind.version,
        seq,
        state: after,
        context: JSON.stringify(next.snapshot.context),
        done: done ? 1 : 0,
        fault: null,
      })
      fresh.set(actor, { snapshot: next.snapshot, seq, fault: null })
      if (next.refused) return "refused"

      const at = last
      const owe: Stepped["owe"] = (name, payload, about = {}) => {
        const row = { effect: `${actor}/${seq}/${index++}`, position: at, kind: name, actor, owner: about.owner ?? "" }
        store.outbox.add({ ...row, payload: JSON.stringify(payload), event_id: about.eventId ?? null })
        effects.push({ ...row, payload })
      }
      let index = 0
      for (const { type, params } of next.intents) {
        if (type === "wake")
          store.timer.put({
            actor,
            name: params["timer"] as string,
            due_ms: params["dueMs"] as number,
            effect: `${actor}/${seq}/${index++}`,
          })
        else if (type === "unwake") store.timer.remove(actor, params["timer"] as string)
      }
      const stepped = { actor, seq, position: at, atMs: nowMs, event, before, after, done, intents: next.intents }
      if (projection?.project === undefined) for (const intent of next.intents) owePlain(intent, owe)
      else projection.project({ ...stepped, snapshot: next.snapshot, owe })
      steps.push(stepped)
      return "applied"
    }

    database.transaction(() => {
      for (const work of group) {
        const outcomes = work.envelopes.map((envelope) => naming(envelope, () => apply(envelope)))
        const fault = poison.get(work)
        results.push(fault ?? { outcomes, rows: naming(work, () => work.rows?.(outcomes)) })
      }
    })
    return { fresh, steps, effects, results, last }
  }

  /** Writes the group, leaving out what throws (E2). */
  const writeAll = (group: readonly Work[], nowMs: number) => {
    const poison = new Map<Envelope | Work, Error>()
    for (;;) {
      try {
        return writeGroup(group, poison, nowMs)
      } catch (error) {
        for (const projection of Object.values(projections)) projection.forget?.()
        if (!(error instanceof Thrown)) throw error
        poison.set(error.what, error)
      }
    }
  }

  const takeGroup = (): Work[] => {
    const group: Work[] = []
    let rows = 0
    while (mailbox.length > 0 && (group.length === 0 || rows < limits.groupRowsMax)) {
      const work = mailbox.shift() as Work
      group.push(work)
      rows += Math.max(1, work.envelopes.length)
    }
    return group
  }

  const drain = async (): Promise<void> => {
    running = true
    while (mailbox.length > 0) {
      const group = takeGroup()
      for (const work of group) queued -= Math.max(1, work.envelopes.length)
      for (const wake of waiting.splice(0)) wake()
      try {
        const written = writeAll(group, clock.nowMs())
        await database.sync()
        position = written.last
        remember(written.fresh)
        for (const hear of watchers) hear({ steps: written.steps, effects: written.effects })
        for (const [i, work] of group.entries()) {
          const result = written.results[i]
          if (result === undefined || result instanceof Error) work.reject(result ?? new HostStopped())
          else work.resolve(result)
        }
      } catch (error) {
        for (const work of group) for (const { actor } of work.envelopes) cache.delete(actor)
        const reason = error instanceof Error ? error.message : String(error)
        for (const work of group) work.reject(new NotCommitted({ reason }))
        if (!isRoomless(error)) {
          stopped = true
          for (const work of mailbox.splice(0)) work.reject(new HostStopped())
          queued = 0
          failed.resolve(error instanceof Error ? error : new Error(reason))
        }
      }
    }
    running = false
    for (const call of idle.splice(0)) call()
  }

  const remember = (fresh: ReadonlyMap<string, Held>): void => {
    for (const [actor, held] of fresh) {
      cache.delete(actor)
      if (held.snapshot.status === "active") cache.set(actor, held)
    }
    for (const actor of cache.keys()) {
      if (cache.size <= limits.actorsCachedMax) break
      cache.delete(actor)
    }
  }

  const post = async (envelopes: readonly Envelope[], rows: Work["rows"]) => {
    for (;;) {
      if (stopped) throw new HostStopped()
      if (queued < limits.mailboxRowsMax) break
      await new Promise<void>((resolve) => waiting.push(resolve))
    }
    return new Promise<{ outcomes: readonly Outcome[]; rows: unknown }>((resolve, reject) => {
      mailbox.push({ envelopes, rows, resolve, reject })
      queued += Math.max(1, envelopes.length)
      // In a microtask, so that everything that is sent in this turn makes one group.
      if (!running) {
        running = true
        queueMicrotask(() => void drain())
      }
    })
  }

  return {
    deliver: async (envelopes) => (await post(envelopes, undefined)).outcomes,
    deliverWith: async (envelopes, rows) => (await post(envelopes, rows)).outcomes,
    write: async <A>(body: () => A) => (await post([], body)).rows as A,
    read: async (actor): Promise<ActorView | undefined> => {
      const row = store.snapshot.get(actor)
      return row === undefined
        ? undefined
        : { ...row, context: JSON.parse(row.context) as unknown, done: row.done === 1 }
    },
    watch: (hear) => {
      watchers.add(hear)
      return () => void watchers.delete(hear)
    },
    stop: async () => {
      stopped = true
      for (const wake of waiting.splice(0)) wake()
      if (running) await new Promise<void>((resolve) => idle.push(resolve))
    },
    failed: failed.promise,
  }
}

/** Without a projection every intent is an effect of its name. */
const owePlain = (intent: Intent, owe: Stepped["owe"]): void => {
  if (intent.type !== "wake" && intent.type !== "unwake") owe(intent.type, intent.params)
}

/** What threw inside the transaction: the step of an envelope, or the rows of a work. */
class Thrown extends Error {
  readonly what: Envelope | Work
  constructor(what: Envelope | Work, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.what = what
  }
}

/** Names what threw; a fault of the disk is nobody's. */
const naming = <A>(what: Envelope | Work, body: () => A): A => {
  try {
    return body()
  } catch (error) {
    throw isDisk(error) ? error : new Thrown(what, error)
  }
}

const codeOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "string" ? error.code : ""

const isDisk = (error: unknown): boolean => codeOf(error).startsWith("SQLITE_")

/** A disk without room may have room again; every other fault of the disk ends the engine. */
const isRoomless = (error: unknown): boolean =>
  ["SQLITE_FULL", "SQLITE_BUSY", "SQLITE_IOERR_WRITE"].includes(codeOf(error))
