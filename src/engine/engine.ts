/**
 * The embedded command host: a drain loop that is the only writer of the store.
 *
 *   mailbox ─► take what waits, up to a bound ─► step the pure machines ─► journal + snapshot + outbox + rows
 *                                                    in ONE transaction ─► disk ─► tell whoever asked or watches
 *
 * Keeps H1–H7 of `command-host.ts`, and these:
 *
 * E1  Workers, live actors and subscribers hear of a group only after it is on the disk.
 * E2  A group that fails is written again without what threw: a step leaves a dead letter and a faulted actor, the rows
 *     of a delivery reject the whole of that delivery. Where the disk fails, all of the group is `NotCommitted`.
 * E3  The mailbox is bounded: senders wait for room, in the order in which they came.
 * E4  Memory holds the actors last stepped, up to a bound; the rest are rows.
 */
import type { AnyMachineSnapshot } from "xstate"
import type { ClockShape } from "../services/clock.ts"
import type { Limits } from "../limits.ts"
import type { JournalRow, StoreShape } from "../store/store.ts"
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
  /** A step of this actor threw, and it takes nothing more. What it owes now is named as by a next step. */
  readonly faulted?: (actor: string, reason: string, atMs: number, owe: Stepped["owe"]) => void
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
  /** Absent where the actor is faulted: it may be what cannot be read. */
  readonly snapshot: AnyMachineSnapshot | undefined
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
  const waiting: Work[] = []
  let queued = 0
  let position = Math.max(store.journal.last(), store.outbox.last())
  let running = false
  let stopped = false
  const idle: (() => void)[] = []
  const failed = Promise.withResolvers<Error>()

  type Written = ReturnType<typeof writeGroup>

  const kindOf = (actor: string): ActorKind | undefined => kinds[actor.slice(0, actor.indexOf("/"))]

  const load = (actor: string, kind: ActorKind): Held | undefined => {
    const held = cache.get(actor)
    if (held !== undefined) return held
    const row = store.snapshot.get(actor)
    if (row === undefined) return undefined
    const { seq, fault } = row
    if (fault !== null) return { snapshot: undefined, seq, fault }
    return { snapshot: restore(kind.machine, row.state, JSON.parse(row.context)), seq, fault }
  }

  /** One group, inside its transaction. `poison` names what threw on the try before. */
  const writeGroup = (group: readonly Work[], poison: ReadonlyMap<Envelope | Work, Thrown>, nowMs: number) => {
    const fresh = new Map<string, Held>()
    const steps: Commit["steps"][number][] = []
    const effects: Effect[] = []
    const results: ({ outcomes: Outcome[]; rows: unknown } | Thrown)[] = []
    let last = position

    const oweBy =
      (actor: string, position: number, name: () => string, apart = false): Stepped["owe"] =>
      (kind, payload, about = {}) => {
        const row = { effect: name(), position, kind, actor, owner: about.owner ?? "" }
        store.outbox.add({ ...row, payload: JSON.stringify(payload), event_id: about.eventId ?? null }, apart)
        effects.push({ ...row, payload })
      }

    const apply = (envelope: Envelope): Outcome => {
      const { actor, cause, timer } = envelope
      if (timer !== undefined) {
        const armed = store.timer.get(actor, timer.name)
        if (armed?.effect !== timer.effect) return "duplicate"
        store.timer.remove(actor, timer.name)
      }
      const kind = kindOf(actor)
      if (kind === undefined) return "missing"
      if (store.journal.has(actor, cause) || store.deadLetter.has(actor, cause)) return "duplicate"
      const fault = poison.get(envelope)?.message
      if (fault !== undefined) {
        store.deadLetter.add(nowMs, actor, cause, printed(envelope.event), fault)
        store.snapshot.fault(actor, fault)
        const seq = store.snapshot.get(actor)?.seq
        if (seq === undefined) return "faulted"
        fresh.set(actor, { snapshot: undefined, seq, fault })
        const name = namesOf(actor, seq + 1)
        let own: number | undefined
        projections[kind.machine.id]?.faulted?.(actor, fault, nowMs, (...effect) => {
          own ??= last += 1
          oweBy(actor, own, name, true)(...effect)
        })
        return "faulted"
      }
      const isFirst = envelope.event.type === "receive"
      if (store.snapshot.has(actor) === isFirst) return isFirst ? "duplicate" : "missing"
      const held = isFirst ? undefined : (fresh.get(actor) ?? load(actor, kind))
      if (held !== undefined && held.fault !== null) {
        store.deadLetter.add(nowMs, actor, cause, printed(envelope.event), held.fault)
        return "faulted"
      }
      const projection = projections[kind.machine.id]
      const stamped = { ...envelope.event, atMs: envelope.event.atMs ?? nowMs }
      const event = projection?.prepare?.(actor, stamped, nowMs) ?? stamped
      if (event === "deferred") return "deferred"

      const from = held?.snapshot
      const next: Step = from === undefined ? begin(kind.machine, event) : step(kind.machine, from, event)
      const seq = (held?.seq ?? 0) + 1
      const after = stateOf(next.snapshot)
      const before = from === undefined ? undefined : stateOf(from)
      last += 1
      append(store, {
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

      const name = namesOf(actor, seq)
      const owe = oweBy(actor, last, name)
      for (const { type, params } of next.intents) {
        if (type === "wake")
          store.timer.put({
            actor,
            name: params["timer"] as string,
            due_ms: params["dueMs"] as number,
            effect: name(),
          })
        else if (type === "unwake") store.timer.remove(actor, params["timer"] as string)
      }
      const stepped = { actor, seq, position: last, atMs: nowMs, event, before, after, done, intents: next.intents }
      if (projection?.project === undefined) for (const intent of next.intents) owePlain(intent, owe)
      else projection.project({ ...stepped, snapshot: next.snapshot, owe })
      steps.push(stepped)
      return "applied"
    }

    database.transaction(() => {
      for (const work of group) {
        const fault = poison.get(work)
        if (fault !== undefined) {
          results.push(fault)
          continue
        }
        const outcomes = work.envelopes.map((envelope) => naming(envelope, () => apply(envelope)))
        results.push({ outcomes, rows: naming(work, () => work.rows?.(outcomes)) })
      }
    })
    return { fresh, steps, effects, results, last }
  }

  /** Writes the group, leaving out what throws (E2). */
  const writeAll = (group: readonly Work[], nowMs: number) => {
    const poison = new Map<Envelope | Work, Thrown>()
    for (;;) {
      try {
        return writeGroup(group, poison, nowMs)
      } catch (error) {
        for (const projection of Object.values(projections)) projection.forget?.()
        // What throws once more although it was left out is nobody's single fault.
        if (!(error instanceof Thrown) || poison.has(error.what)) throw error
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
      rows += rowsOf(work)
    }
    queued -= rows
    return group
  }

  /** Lets in who waits, as far as there is room (E3). */
  const admit = (): void => {
    let admitted = 0
    while (admitted < waiting.length && queued < limits.mailboxRowsMax) queued += rowsOf(waiting[admitted++] as Work)
    if (admitted > 0) mailbox.push(...waiting.splice(0, admitted))
  }

  /** Nothing more can be written. */
  const fail = (error: unknown): void => {
    stopped = true
    for (const work of [...mailbox.splice(0), ...waiting.splice(0)]) work.reject(new HostStopped())
    queued = 0
    failed.resolve(error instanceof Error ? error : new Error(String(error)))
  }

  /** One group after the other: written, on the disk, told (E1). What comes meanwhile makes the next one. */
  const drain = async (): Promise<void> => {
    while (mailbox.length > 0) {
      const group = takeGroup()
      admit()
      const written = writeOrRefuse(group)
      if (written === undefined) continue
      await database.sync().then(
        () => tell(group, written),
        (error: unknown) => refuse(group, error),
      )
    }
    running = false
    for (const call of idle.splice(0)) call()
  }

  const writeOrRefuse = (group: readonly Work[]): Written | undefined => {
    try {
      const written = writeAll(group, clock.nowMs())
      position = written.last
      remember(written.fresh)
      return written
    } catch (error) {
      refuse(group, error)
      return undefined
    }
  }

  /** Nothing of the group counts; its senders know it. */
  const refuse = (group: readonly Work[], error: unknown): void => {
    const reason = error instanceof Error ? error.message : String(error)
    for (const work of group) {
      for (const { actor } of work.envelopes) cache.delete(actor)
      work.reject(new NotCommitted({ reason }))
    }
    if (!isRoomless(error)) fail(error)
  }

  const tell = (group: readonly Work[], { results, steps, effects }: Written): void => {
    for (const [i, work] of group.entries()) {
      const result = results[i]
      if (result === undefined || result instanceof Thrown) work.reject(result?.thrown ?? new HostStopped())
      else work.resolve(result)
    }
    try {
      for (const hear of watchers) hear({ steps, effects })
    } catch (error) {
      fail(error)
    }
  }

  const remember = (fresh: ReadonlyMap<string, Held>): void => {
    for (const [actor, held] of fresh) {
      cache.delete(actor)
      if (held.snapshot?.status === "active") cache.set(actor, held)
    }
    for (const actor of cache.keys()) {
      if (cache.size <= limits.actorsCachedMax) break
      cache.delete(actor)
    }
  }

  const post = (envelopes: readonly Envelope[], rows: Work["rows"]) =>
    new Promise<{ outcomes: readonly Outcome[]; rows: unknown }>((resolve, reject) => {
      if (stopped) return reject(new HostStopped())
      waiting.push({ envelopes, rows, resolve, reject })
      admit()
      if (running) return
      // In a microtask, so that everything that is sent in this turn makes one group.
      running = true
      queueMicrotask(() => void drain())
    })

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
      for (const work of waiting.splice(0)) work.reject(new HostStopped())
      if (running) await new Promise<void>((resolve) => idle.push(resolve))
    },
    failed: failed.promise,
  }
}

/** Without a projection every intent is an effect of its name. */
const owePlain = (intent: Intent, owe: Stepped["owe"]): void => {
  if (intent.type !== "wake" && intent.type !== "unwake") owe(intent.type, intent.params)
}

const rowsOf = (work: Work): number => Math.max(1, work.envelopes.length)

/** actor/sequence/index, counting up. */
const namesOf = (actor: string, seq: number): (() => string) => {
  let index = 0
  return () => `${actor}/${seq}/${index++}`
}

/** An input for the dead letters, even where it is none that can be written as JSON. */
const printed = (event: ActorEvent): string => {
  try {
    return JSON.stringify(event)
  } catch (error) {
    return JSON.stringify({ type: event.type, unprintable: String(error) })
  }
}

/** What threw inside the transaction: the step of an envelope, or the rows of a work. */
class Thrown extends Error {
  readonly what: Envelope | Work
  readonly thrown: Error
  constructor(what: Envelope | Work, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.what = what
    this.thrown = cause instanceof Error ? cause : this
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

/** Somebody else wrote the journal: two writers fail here instead of forking it. */
class Forked extends Error {}

const append = (store: StoreShape, row: JournalRow): void => {
  try {
    store.journal.append(row)
  } catch (error) {
    throw /^SQLITE_CONSTRAINT_(PRIMARYKEY|UNIQUE|ROWID)/.test(codeOf(error))
      ? new Forked(`another process wrote the journal of ${row.actor}; stopping`, { cause: error })
      : error
  }
}

const codeOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "string" ? error.code : ""

/** A row that cannot be, or a value too long, is the fault of who wrote it; anything else that SQLite says is the disk's. */
const isDisk = (error: unknown): boolean =>
  error instanceof Forked || /^SQLITE_(?!CONSTRAINT|TOOBIG|MISMATCH|RANGE)/.test(codeOf(error))

/** A disk without room may have room again; every other fault of the disk ends the engine. */
const isRoomless = (error: unknown): boolean =>
  ["SQLITE_FULL", "SQLITE_BUSY", "SQLITE_IOERR_WRITE"].includes(codeOf(error))
