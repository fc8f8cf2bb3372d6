/**
 * The runtime's store: typed rows over SQLite, all SQL of the engine in one room. It decides nothing.
 *
 * Everything that writes must run inside the engine's group transaction (`Engine.write`, or a projection).
 */
import { Context } from "effect"
import { Kind } from "../protocol/kinds.ts"
import type { Dated } from "../protocol/negentropy.ts"
import { endStatuses } from "../protocol/status.ts"
import { migrations } from "./migrations.ts"
import { openDatabase, type Database } from "./sqlite.ts"

export interface SnapshotRow {
  readonly actor: string
  readonly machine: string
  readonly version: number
  readonly seq: number
  readonly state: string
  /** JSON */
  readonly context: string
  readonly done: number
  readonly fault: string | null
}

export interface JournalRow {
  readonly position: number
  readonly actor: string
  readonly seq: number
  readonly machine: string
  readonly version: number
  readonly cause: string
  readonly at_ms: number
  /** JSON */
  readonly event: string
  /** The state after it. */
  readonly state: string
  readonly refused: number
}

export interface OutboxRow {
  readonly effect: string
  readonly position: number
  readonly kind: string
  readonly actor: string
  readonly owner: string
  /** JSON */
  readonly payload: string
  readonly event_id: string | null
  readonly state: "pending" | "done" | "dead"
  readonly error: string | null
  /** Of the event that it publishes; null where that is not signed yet, or where it publishes none. */
  readonly sig: string | null
}

/** A place in the outbox's order. */
export type OutboxPlace = Pick<OutboxRow, "position" | "effect">

export const outboxStart: OutboxPlace = { position: 0, effect: "" }

export interface TimerRow {
  readonly actor: string
  readonly name: string
  readonly due_ms: number
  readonly effect: string
}

export interface CommandRow {
  readonly actor: string
  readonly id: string
  readonly wizard: string
  readonly author: string
  readonly trace: string
  readonly parent: string | null
  readonly form: string
  readonly work: string
  readonly executor: string
  readonly body: string
  readonly priority: number
  readonly deadline_ms: number | null
  readonly created_at: number
  readonly arrived: number
  readonly arrived_ms: number
  readonly state: string
  readonly ended: number
  readonly since_ms: number
  readonly reason: string | null
  /** JSON */
  readonly result: string | null
  readonly receipts: number
  readonly tip: string | null
  /** The relay that brought it first; null where none did. */
  readonly relay: string | null
  /** Which of the wizard's questions it answers, as bits. */
  readonly lanes: number
}

export interface AttemptRow {
  readonly actor: string
  readonly attempt: number
  readonly wizard: string
  readonly work: string
  readonly executor: string
  readonly begun_ms: number
  readonly ended_ms: number | null
  readonly outcome: string | null
}

export interface DeliveryRow extends OutboxPlace {
  readonly relay: string
  /** `dropped`: it was of no use any more. `passed`: the relay came after it, and another one has it. */
  readonly state: "accepted" | "refused" | "dropped" | "passed"
  readonly tries: number
  readonly error: string | null
}

/** Columns of a row with its actor's name for its number. A sub-select, which is several times faster than a join here. */
const nameOf = "(SELECT name FROM actor WHERE key = t.actor)"
const named = (table: string, columns: string): string => `SELECT ${nameOf} AS actor, ${columns} FROM ${table} t`

const journalRow = named("journal", "position, seq, machine, version, cause, at_ms, event, state, refused")
const snapshotRow = named("snapshot", "machine, version, seq, state, context, done, fault")
/** A place in the outbox is its step's position and its index there, in one number. */
const placesEach = 1024
const outboxRow = `SELECT ${nameOf} AS actor, ${nameOf} || '/' || t.seq || '/' || (t.place % ${placesEach}) AS effect, t.place / ${placesEach} AS position, kind, owner, payload, event_id, state, error, (SELECT sig FROM signature s WHERE s.place = t.place) AS sig`
/** Effects of a kind that an owner still owes, in their order. */
const owedRow = `${outboxRow} FROM outbox t INDEXED BY outbox_pending WHERE kind = ? AND owner = ? AND state = 'pending' AND place > ?`
/** What every relay refused, or one of them did. */
const isDeadLetter =
  "t.place IN (SELECT place FROM outbox WHERE state = 'dead' UNION SELECT place FROM delivery WHERE state = 'refused') AND t.kind = 'publish'"
/** All effects of an actor: the journal knows the positions of its steps. */
const outboxOf = `FROM (SELECT position FROM journal WHERE actor = @actor UNION SELECT place / ${placesEach} FROM outbox WHERE actor = @actor AND apart = 1) p CROSS JOIN outbox t ON t.place BETWEEN p.position * ${placesEach} AND p.position * ${placesEach} + ${placesEach - 1}`
const timerRow = named("timer", "t.name AS name, due_ms, effect")
const commandRow = named(
  "command",
  "id, wizard, author, trace, parent, form, work, executor, body, priority, deadline_ms, created_at, arrived, arrived_ms, state, ended, since_ms, reason, result, receipts, tip, relay, lanes",
)
const attemptRow = named("attempt", "attempt, wizard, work, executor, begun_ms, ended_ms, outcome")

/** Names whose number is remembered; more are looked up again. */
const keysMax = 16_384

const make = (opened: Database, writes: boolean) => {
  const sql = opened.statement
  const get = <Row>(text: string, ...values: unknown[]): Row | undefined => sql(text).get(...values) as Row | undefined
  const all = <Row>(text: string, ...values: unknown[]): Row[] => sql(text).all(...values) as Row[]
  const run = (text: string, ...values: unknown[]): number => sql(text).run(...values).changes

  /** Tables that are nearly always empty are not asked; who reads only asks. */
  const isEmpty = (table: "dead_letter" | "own_receipt"): boolean =>
    writes && get(`SELECT 1 FROM ${table} LIMIT 1`) === undefined
  let noDeadLetters = isEmpty("dead_letter")
  let noOwnReceipts = isEmpty("own_receipt")

  const keys = new Map<string, number>()
  const remember = (actor: string, key: number): number => {
    if (keys.size >= keysMax) keys.clear()
    keys.set(actor, key)
    return key
  }
  /** The number of an actor; 0, which no actor has, where there is none. Who reads only may be told of new ones later. */
  const keyOf = (actor: string): number => {
    const held = keys.get(actor)
    if (held !== undefined) return held
    const found = get<{ key: number }>("SELECT key FROM actor WHERE name = ?", actor)?.key ?? 0
    return writes || found > 0 ? remember(actor, found) : found
  }
  const makeKey = (actor: string): number => {
    const found = keyOf(actor)
    return found > 0
      ? found
      : remember(actor, Number(sql("INSERT INTO actor (name) VALUES (?)").run(actor).lastInsertRowid))
  }
  const database: Database = {
    ...opened,
    transaction: (body) => {
      try {
        return opened.transaction(body)
      } catch (error) {
        // Numbers that were given inside it were never given.
        keys.clear()
        throw error
      }
    },
  }

  return {
    database,

    journal: {
      last: (): number => get<{ n: number | null }>("SELECT max(position) AS n FROM journal")?.n ?? 0,
      has: (actor: string, cause: string): boolean =>
        keyOf(actor) > 0 &&
        get("SELECT 1 FROM journal WHERE actor = ? AND cause = ?", keyOf(actor), cause) !== undefined,
      append: (row: JournalRow): void =>
        void run(
          "INSERT INTO journal (position, actor, seq, machine, version, cause, at_ms, event, state, refused) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
          row.position,
          makeKey(row.actor),
          row.seq,
          row.machine,
          row.version,
          row.cause,
          row.at_ms,
          row.event,
          row.state,
          row.refused,
        ),
      of: (actor: string): JournalRow[] => all(`${journalRow} WHERE t.actor = ? ORDER BY seq`, keyOf(actor)),
      first: (actor: string): JournalRow | undefined =>
        get(`${journalRow} WHERE t.actor = ? AND seq = 1`, keyOf(actor)),
      /** The state after the step at a position. */
      stateAt: (position: number): string | undefined =>
        get<{ state: string }>("SELECT state FROM journal WHERE position = ?", position)?.state,
      /** The first input of that cause after a position, whichever actor took it. */
      caused: (cause: string, after: number): JournalRow | undefined =>
        get(`${journalRow} WHERE position > ? AND cause = ? ORDER BY position LIMIT 1`, after, cause),
    },

    snapshot: {
      has: (actor: string): boolean => keyOf(actor) > 0,
      get: (actor: string): SnapshotRow | undefined => get(`${snapshotRow} WHERE t.actor = ?`, keyOf(actor)),
      put: (row: SnapshotRow): void =>
        void run(
          "INSERT INTO snapshot (actor, machine, version, seq, state, context, done, fault) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (actor) DO UPDATE SET version = excluded.version, seq = excluded.seq, state = excluded.state, context = excluded.context, done = excluded.done, fault = excluded.fault",
          makeKey(row.actor),
          row.machine,
          row.version,
          row.seq,
          row.state,
          row.context,
          row.done,
          row.fault,
        ),
      fault: (actor: string, fault: string): void =>
        void run("UPDATE snapshot SET fault = ? WHERE actor = ?", fault, keyOf(actor)),
      unended: (): SnapshotRow[] => all(`${snapshotRow} WHERE done = 0`),
    },

    outbox: {
      /** The highest position at which something came to be owed. */
      last: (): number =>
        Math.floor((get<{ n: number | null }>("SELECT max(place) AS n FROM outbox")?.n ?? 0) / placesEach),
      /** Adds it and owes it. `apart` where no journal row has its position. */
      add: (row: Omit<OutboxRow, "state" | "error" | "sig">, apart = false): void =>
        void run(
          "INSERT INTO outbox (place, actor, seq, kind, owner, payload, event_id, apart) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
          placeOf(row),
          makeKey(row.actor),
          seqOf(row.effect),
          row.kind,
          row.owner,
          row.payload,
          row.event_id,
          apart ? 1 : null,
        ),
      /** The next ones in order. */
      pending: (kind: string, owner: string, after: OutboxPlace, most: number): OutboxRow[] =>
        all(`${owedRow} ORDER BY t.place LIMIT ?`, kind, owner, placeOf(after), most),
      /** The same without those that this relay has answered. */
      unanswered: (kind: string, owner: string, relay: string, after: OutboxPlace, most: number): OutboxRow[] =>
        all(
          `${owedRow} AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.place = t.place AND d.relay = ?) ORDER BY t.place LIMIT ?`,
          kind,
          owner,
          placeOf(after),
          relay,
          most,
        ),
      /** Those that each of these relays has answered; whoever else they waited for. */
      answered: (
        kind: string,
        owner: string,
        relays: readonly string[],
        after: OutboxPlace,
        most: number,
      ): OutboxRow[] =>
        all(
          `${owedRow} AND NOT EXISTS (SELECT 1 FROM json_each(?) r WHERE NOT EXISTS (SELECT 1 FROM delivery d WHERE d.place = t.place AND d.relay = r.value)) ORDER BY t.place LIMIT ?`,
          kind,
          owner,
          placeOf(after),
          JSON.stringify(relays),
          most,
        ),
      countPending: (kind: string, owner: string): number =>
        get<{ n: number }>(
          "SELECT count(*) AS n FROM outbox WHERE kind = ? AND owner = ? AND state = 'pending'",
          kind,
          owner,
        )?.n ?? 0,
      /** Who owes effects of a kind. */
      owners: (kind: string): string[] =>
        all<{ owner: string }>(
          "SELECT DISTINCT owner FROM outbox INDEXED BY outbox_pending WHERE kind = ? AND state = 'pending'",
          kind,
        ).map(({ owner }) => owner),
      /** Those of an owner that this relay has not answered. */
      countUnanswered: (kind: string, owner: string, relay: string): number =>
        get<{ n: number }>(
          "SELECT count(*) AS n FROM outbox t INDEXED BY outbox_pending WHERE kind = ? AND owner = ? AND state = 'pending' AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.place = t.place AND d.relay = ?)",
          kind,
          owner,
          relay,
        )?.n ?? 0,
      /** Signed receipts and artifacts of commands that have not ended, which this relay has not answered. */
      ofUnended: (owner: string, relay: string): OutboxPlace[] =>
        all<OutboxPlace>(
          `SELECT ${nameOf} || '/' || t.seq || '/' || (t.place % ${placesEach}) AS effect, t.place / ${placesEach} AS position
             FROM command c JOIN journal j ON j.actor = c.actor
             JOIN outbox t ON t.place BETWEEN j.position * ${placesEach} AND j.position * ${placesEach} + ${placesEach - 1}
            WHERE c.wizard = @owner AND c.ended = 0 AND t.kind = 'publish' AND t.state IN ('done', 'dead')
              AND t.payload ->> '$.kind' IN (${Kind.record}, ${Kind.artifact})
              AND EXISTS (SELECT 1 FROM signature s WHERE s.place = t.place)
              AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.place = t.place AND d.relay = @relay)
            ORDER BY t.place`,
          { owner, relay },
        ),
      /** What is owed of ended commands is not owed to this relay where another one has it. */
      passEnded: (owner: string, relay: string): void =>
        void run(
          `INSERT OR IGNORE INTO delivery (place, relay, state, tries)
             SELECT t.place, @relay, 'passed', 0 FROM outbox t INDEXED BY outbox_pending JOIN command c ON c.actor = t.actor
              WHERE t.kind = 'publish' AND t.owner = @owner AND t.state = 'pending' AND c.ended = 1
                AND EXISTS (SELECT 1 FROM delivery d WHERE d.place = t.place AND d.state = 'accepted')`,
          { owner, relay },
        ),
      /** Owes it once more. */
      owe: (at: OutboxPlace): void =>
        void run("UPDATE outbox SET state = 'pending', error = NULL WHERE place = ?", placeOf(at)),
      /** The same for a dead letter, to the relays that refused it. */
      revive: (at: OutboxPlace): void => {
        run("UPDATE outbox SET state = 'pending', error = NULL WHERE place = ?", placeOf(at))
        run("DELETE FROM delivery WHERE place = ? AND state = 'refused'", placeOf(at))
      },
      /** A dead letter is one no more, whole or at the relays that refused it. */
      drop: (at: OutboxPlace): void => {
        run("UPDATE outbox SET state = 'done' WHERE place = ? AND state = 'dead'", placeOf(at))
        run("UPDATE delivery SET state = 'dropped' WHERE place = ? AND state = 'refused'", placeOf(at))
      },
      /** Keeps the signature of an outgoing event; the first one stays. */
      sign: (at: OutboxPlace, sig: string): void =>
        void run("INSERT OR IGNORE INTO signature (place, sig) VALUES (?, ?)", placeOf(at), sig),
      done: (at: OutboxPlace): void => void run("UPDATE outbox SET state = 'done' WHERE place = ?", placeOf(at)),
      dead: (at: OutboxPlace, error: string): void =>
        void run("UPDATE outbox SET state = 'dead', error = ? WHERE place = ?", error, placeOf(at)),
      /** Whether an actor's effects publish the event of that id. */
      holds: (actor: string, eventId: string): boolean => {
        const key = keyOf(actor)
        // Nearly always so where a relay brings them, and the question itself takes 80 µs.
        if (key === 0) return false
        return (
          get(
            `SELECT 1 FROM journal j CROSS JOIN outbox t ON t.place BETWEEN j.position * ${placesEach} AND j.position * ${placesEach} + ${placesEach - 1} WHERE j.actor = @actor AND t.event_id = @eventId
            UNION ALL SELECT 1 FROM outbox WHERE actor = @actor AND apart = 1 AND event_id = @eventId LIMIT 1`,
            { actor: key, eventId },
          ) !== undefined
        )
      },
      of: (actor: string): OutboxRow[] => all(`${outboxRow} ${outboxOf} ORDER BY t.place`, { actor: keyOf(actor) }),
      /** What every relay refused, or one of them. */
      deadLetters: (most: number): OutboxRow[] =>
        all(`${outboxRow} FROM outbox t WHERE ${isDeadLetter} ORDER BY t.place LIMIT ?`, most),
      /** The same of all of them, in short. */
      deadPlaces: (): Pick<OutboxRow, "effect" | "position" | "owner" | "event_id">[] =>
        all(
          `SELECT ${nameOf} || '/' || t.seq || '/' || (t.place % ${placesEach}) AS effect, t.place / ${placesEach} AS position, owner, event_id FROM outbox t WHERE ${isDeadLetter} ORDER BY t.place`,
        ),
      allDead: (): OutboxRow[] => all(`${outboxRow} FROM outbox t WHERE state = 'dead' ORDER BY t.place`),
    },

    delivery: {
      put: (row: DeliveryRow): void =>
        void run(
          "INSERT INTO delivery (place, relay, state, tries, error) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state, tries = excluded.tries, error = excluded.error",
          placeOf(row),
          row.relay,
          row.state,
          row.tries,
          row.error,
        ),
      of: ({ position, effect }: OutboxPlace): DeliveryRow[] =>
        all<Omit<DeliveryRow, "effect" | "position">>(
          "SELECT relay, state, tries, error FROM delivery WHERE place = ?",
          placeOf({ position, effect }),
        ).map((row) => ({ position, effect, ...row })),
      /** Nobody minds any more what that relay refused. */
      dropRefused: (owner: string, relay: string): void =>
        void run(
          "UPDATE delivery SET state = 'dropped' WHERE state = 'refused' AND relay = ? AND (SELECT state = 'done' AND owner = ? FROM outbox o WHERE o.place = delivery.place)",
          relay,
          owner,
        ),
    },

    timer: {
      get: (actor: string, name: string): TimerRow | undefined =>
        get(`${timerRow} WHERE t.actor = ? AND t.name = ?`, keyOf(actor), name),
      put: (row: TimerRow): void =>
        void run(
          "INSERT INTO timer (actor, name, due_ms, effect) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET due_ms = excluded.due_ms, effect = excluded.effect",
          makeKey(row.actor),
          row.name,
          row.due_ms,
          row.effect,
        ),
      remove: (actor: string, name: string): void =>
        void run("DELETE FROM timer WHERE actor = ? AND name = ?", keyOf(actor), name),
      next: (): number | undefined =>
        get<{ due: number | null }>("SELECT min(due_ms) AS due FROM timer")?.due ?? undefined,
      due: (nowMs: number, most: number): TimerRow[] =>
        all(`${timerRow} WHERE due_ms <= ? ORDER BY due_ms LIMIT ?`, nowMs, most),
    },

    command: {
      add: (row: CommandRow): void =>
        void run(
          "INSERT INTO command (actor, id, wizard, author, trace, parent, form, work, executor, body, priority, deadline_ms, created_at, arrived, arrived_ms, state, ended, since_ms, reason, result, receipts, tip, relay, lanes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
          makeKey(row.actor),
          row.id,
          row.wizard,
          row.author,
          row.trace,
          row.parent,
          row.form,
          row.work,
          row.executor,
          row.body,
          row.priority,
          row.deadline_ms,
          row.created_at,
          row.arrived,
          row.arrived_ms,
          row.state,
          row.ended,
          row.since_ms,
          row.reason,
          row.result,
          row.receipts,
          row.tip,
          row.relay,
          row.lanes,
        ),
      get: (actor: string): CommandRow | undefined => get(`${commandRow} WHERE t.actor = ?`, keyOf(actor)),
      move: (
        actor: string,
        row: Pick<CommandRow, "state" | "ended" | "since_ms" | "reason" | "result" | "receipts" | "tip">,
      ): void =>
        void run(
          "UPDATE command SET state = ?, ended = ?, since_ms = ?, reason = ?, result = ?, receipts = ?, tip = ? WHERE actor = ?",
          row.state,
          row.ended,
          row.since_ms,
          row.reason,
          row.result,
          row.receipts,
          row.tip,
          keyOf(actor),
        ),
      fault: (actor: string, reason: string, atMs: number): void =>
        void run(
          "UPDATE command SET state = 'faulted', reason = ?, since_ms = ? WHERE actor = ?",
          reason,
          atMs,
          keyOf(actor),
        ),
      /** The same, as far as it takes to begin them. */
      nextUp: (wizard: string, work: string, most: number): Pick<CommandRow, "actor" | "receipts">[] =>
        all(
          `${named("command", "receipts")} WHERE wizard = ? AND work = ? AND state = 'acknowledged' ORDER BY priority DESC, ifnull(deadline_ms, 9007199254740991), arrived LIMIT ?`,
          wizard,
          work,
          most,
        ),
      /** The next to begin: by priority, then deadline, then arrival. */
      next: (wizard: string, work: string, most: number): CommandRow[] =>
        all(
          `${commandRow} WHERE wizard = ? AND work = ? AND state = 'acknowledged' ORDER BY priority DESC, ifnull(deadline_ms, 9007199254740991), arrived LIMIT ?`,
          wizard,
          work,
          most,
        ),
      queued: (wizard: string): number =>
        get<{ n: number }>(
          "SELECT count(*) AS n FROM command WHERE wizard = ? AND state = 'acknowledged' AND work = 'task'",
          wizard,
        )?.n ?? 0,
      unended: (wizard?: string): CommandRow[] =>
        wizard === undefined
          ? all(`${commandRow} WHERE ended = 0 ORDER BY arrived`)
          : all(`${commandRow} WHERE ended = 0 AND wizard = ? ORDER BY arrived`, wizard),
      /** The newest first; of one state, or of all. */
      list: (most: number, state = ""): CommandRow[] =>
        all(`${commandRow} WHERE ? IN ('', state) ORDER BY t.actor DESC LIMIT ?`, state, most),
      /** By the id of the event, or the beginning of one, at every wizard that it is for. */
      byId: (prefix: string): CommandRow[] =>
        all(
          `${commandRow} WHERE t.actor IN (SELECT key FROM actor WHERE name >= 'command/' || @prefix AND name < 'command/' || @prefix || 'g') ORDER BY arrived`,
          { prefix },
        ),
      /** The root command and what descends from it. */
      byTrace: (trace: string): CommandRow[] =>
        all(
          `${commandRow} WHERE t.actor IN (SELECT key FROM actor WHERE name >= 'command/' || @trace || '/' AND name < 'command/' || @trace || '0') OR (trace = @trace AND trace <> id) ORDER BY arrived`,
          { trace },
        ),
      countByState: (): { state: string; n: number }[] =>
        all("SELECT state, count(*) AS n FROM command GROUP BY state"),
    },

    attempt: {
      add: (row: Omit<AttemptRow, "ended_ms" | "outcome">): void =>
        void run(
          "INSERT INTO attempt (actor, attempt, wizard, work, executor, begun_ms) VALUES (?, ?, ?, ?, ?, ?)",
          makeKey(row.actor),
          row.attempt,
          row.wizard,
          row.work,
          row.executor,
          row.begun_ms,
        ),
      end: (actor: string, attempt: number, atMs: number, outcome: string): void =>
        void run(
          "UPDATE attempt SET ended_ms = ?, outcome = ? WHERE actor = ? AND attempt = ? AND ended_ms IS NULL",
          atMs,
          outcome,
          keyOf(actor),
          attempt,
        ),
      open: (wizard: string, work: string): number =>
        get<{ n: number }>(
          "SELECT count(*) AS n FROM attempt WHERE wizard = ? AND work = ? AND ended_ms IS NULL",
          wizard,
          work,
        )?.n ?? 0,
      allOpen: (): AttemptRow[] => all(`${attemptRow} WHERE ended_ms IS NULL`),
      of: (actor: string): AttemptRow[] => all(`${attemptRow} WHERE t.actor = ? ORDER BY attempt`, keyOf(actor)),
    },

    cursor: {
      get: (identity: string, relay: string, subscription: string): number | undefined =>
        get<{ at_ms: number }>(
          "SELECT at_ms FROM cursor WHERE identity = ? AND relay = ? AND subscription = ?",
          identity,
          relay,
          subscription,
        )?.at_ms,
      /** A low-water mark: only ever forward, but for one that is ahead of now, where a clock had run ahead (P6). */
      move: (identity: string, relay: string, subscription: string, atMs: number, nowMs: number): void =>
        void run(
          "INSERT INTO cursor (identity, relay, subscription, at_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms WHERE excluded.at_ms > at_ms OR at_ms > ?",
          identity,
          relay,
          subscription,
          Math.min(atMs, nowMs),
          nowMs,
        ),
      /** Those that are ahead of now. */
      ahead: (identity: string, nowMs: number): { relay: string; subscription: string }[] =>
        all("SELECT relay, subscription FROM cursor WHERE identity = ? AND at_ms > ?", identity, nowMs),
      floor: (identity: string, relay: string): number | undefined =>
        get<{ at: number }>("SELECT at FROM floor WHERE identity = ? AND relay = ?", identity, relay)?.at,
      setFloor: (identity: string, relay: string, at: number): void =>
        void run("INSERT OR IGNORE INTO floor (identity, relay, at) VALUES (?, ?, ?)", identity, relay, at),
    },

    seen: {
      has: (id: string, wizard: string): boolean =>
        get("SELECT 1 FROM seen WHERE id = ? AND wizard = ?", id, wizard) !== undefined,
      add: ({ id, created_at }: Dated, wizard: string, lanes: number, atMs: number): void =>
        void run(
          "INSERT OR IGNORE INTO seen (id, wizard, at_ms, created_at, lanes) VALUES (?, ?, ?, ?, ?)",
          id,
          wizard,
          atMs,
          created_at,
          lanes,
        ),
      /** What was judged or taken up of one lane, dated from that second on: at most so many, in no order. */
      held: (wizard: string, lane: number, sinceSeconds: number, most: number): Dated[] =>
        all(
          `SELECT id, created_at FROM command WHERE wizard = @wizard AND created_at >= @since AND lanes & @lane
           UNION ALL SELECT id, created_at FROM seen WHERE wizard = @wizard AND created_at >= @since AND lanes & @lane
           LIMIT @most`,
          { wizard, lane, since: sinceSeconds, most },
        ),
      sweep: (beforeMs: number): number =>
        run("DELETE FROM seen WHERE at_ms < ?", beforeMs) + run("DELETE FROM seen_on WHERE at_ms < ?", beforeMs),
    },

    seenOn: {
      /** Another relay brought a command that there is: kept once, and of so many relays at most. */
      add: (actor: string, relay: string, atMs: number, most: number): void =>
        void run(
          `INSERT OR IGNORE INTO seen_on (actor, relay, at_ms) SELECT @actor, @relay, @at
            WHERE (SELECT relay FROM command WHERE actor = @actor) IS NOT @relay
              AND (SELECT count(*) FROM seen_on WHERE actor = @actor) < @most`,
          { actor: keyOf(actor), relay, at: atMs, most },
        ),
      /** In the order in which they brought it, the first one apart. */
      of: (actor: string): { relay: string; at_ms: number }[] =>
        all("SELECT relay, at_ms FROM seen_on WHERE actor = ? ORDER BY at_ms, relay", keyOf(actor)),
    },

    deadLetter: {
      add: (atMs: number, actor: string, cause: string, input: string, error: string): void => {
        noDeadLetters = false
        run(
          "INSERT INTO dead_letter (at_ms, actor, cause, input, error) VALUES (?, ?, ?, ?, ?)",
          atMs,
          actor,
          cause,
          input,
          error,
        )
      },
      has: (actor: string, cause: string): boolean =>
        !noDeadLetters && get("SELECT 1 FROM dead_letter WHERE actor = ? AND cause = ?", actor, cause) !== undefined,
      all: (): { at_ms: number; actor: string; cause: string; input: string; error: string }[] =>
        all("SELECT * FROM dead_letter ORDER BY position"),
    },

    setting: {
      get: (scope: string, key: string): string | undefined =>
        get<{ value: string }>("SELECT value FROM setting WHERE scope = ? AND key = ?", scope, key)?.value,
      /** In the order of their names. */
      keys: (scope: string): string[] =>
        all<{ key: string }>("SELECT key FROM setting WHERE scope = ? ORDER BY key", scope).map(({ key }) => key),
      put: (scope: string, key: string, value: string): void =>
        void run(
          "INSERT INTO setting (scope, key, value) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
          scope,
          key,
          value,
        ),
      remove: (scope: string, key: string): void =>
        void run("DELETE FROM setting WHERE scope = ? AND key = ?", scope, key),
    },

    roster: {
      add: (id: string, version: number, event: string, atMs: number): void =>
        void run(
          "INSERT OR IGNORE INTO roster (id, version, event, at_ms) VALUES (?, ?, ?, ?)",
          id,
          version,
          event,
          atMs,
        ),
      event: (id: string): string | undefined =>
        get<{ event: string }>("SELECT event FROM roster WHERE id = ?", id)?.event,
      all: (): { id: string; version: number; event: string; at_ms: number }[] =>
        all("SELECT * FROM roster ORDER BY version, at_ms"),
    },

    ownReceipt: {
      add: (id: string, command: string, wizard: string, n: number, status: string): void => {
        noOwnReceipts = false
        run(
          "INSERT OR IGNORE INTO own_receipt (id, command, wizard, n, status) VALUES (?, ?, ?, ?, ?)",
          id,
          command,
          wizard,
          n,
          status,
        )
      },
      /** Commands whose chain has no end and which are not here. */
      open: (wizard: string, most: number): string[] =>
        noOwnReceipts
          ? []
          : all<{ command: string }>(
              `SELECT DISTINCT command FROM own_receipt o WHERE wizard = @wizard
                 AND NOT EXISTS (SELECT 1 FROM own_receipt e WHERE e.command = o.command AND e.wizard = o.wizard
                   AND e.status IN (SELECT value FROM json_each(@ends)))
                 AND NOT EXISTS (SELECT 1 FROM actor WHERE name = 'command/' || o.command || '/' || o.wizard)
               ORDER BY command LIMIT @most`,
              { wizard, ends: JSON.stringify(endStatuses), most },
            ).map(({ command }) => command),
      /** All that came of one command, in the chain's order. */
      of: (command: string, wizard: string): { id: string; n: number; status: string }[] =>
        noOwnReceipts
          ? []
          : all("SELECT id, n, status FROM own_receipt WHERE command = ? AND wizard = ? ORDER BY n", command, wizard),
    },

    restart: {
      add: (atMs: number, path: string, reason: string): void =>
        void run("INSERT INTO restart (at_ms, path, reason) VALUES (?, ?, ?)", atMs, path, reason),
      recent: (most: number): { at_ms: number; path: string; reason: string }[] =>
        all("SELECT at_ms, path, reason FROM restart ORDER BY position DESC LIMIT ?", most),
    },
  }
}

export type StoreShape = ReturnType<typeof make>

export class Store extends Context.Service<Store, StoreShape>()("wizardly/store/Store") {}

const seqOf = (effect: string): number => {
  const end = effect.lastIndexOf("/")
  return Number(effect.slice(effect.lastIndexOf("/", end - 1) + 1, end))
}

const placeOf = ({ position, effect }: OutboxPlace): number => {
  if (effect === "") return position * placesEach - 1
  const index = Number(effect.slice(effect.lastIndexOf("/") + 1))
  if (index >= placesEach) throw new Error(`${effect}: one step owes ${placesEach} effects at most`)
  return position * placesEach + index
}

/** Over a database that is open already. */
export const storeOver = (database: Database): StoreShape => make(database, true)

/** Opens (and brings up to date) the runtime's database. Throws DatabaseTooNew, DatabaseBroken. */
export const openStore = (file: string, options: { readonly readonly?: boolean } = {}): StoreShape =>
  make(openDatabase({ file, migrations, ...options }), options.readonly !== true)
