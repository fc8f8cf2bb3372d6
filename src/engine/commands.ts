/**
 * What a step of a command means in rows and in events: the row that people ask about, the chain of receipts, the
 * artifact event, the attempt that is begun or ended. Runs inside the group's transaction and decides nothing that the
 * machine has not decided.
 *
 * D1  The queue's bounds are judged in the transaction: an attempt begins only where fewer than the bound are open, a
 *     task is taken up only where fewer than the bound wait.
 * D2  Authority at `begin` is judged in the transaction, by the roster in force.
 * D3  Receipts of one command at one wizard form one chain: n counts up, `prev` is the one before. Where a relay's copy
 *     of it goes further than ours, ours goes on from there, and never back.
 * D4  An outgoing event has its final id here; only the signature is added later.
 */
import { answerTemplate, commitTemplate } from "../protocol/artifact.ts"
import type { Lineage } from "../protocol/command.ts"
import { withId, type EventTemplate, type NostrEvent, type UnsignedEvent } from "../protocol/event.ts"
import { receiptTemplate } from "../protocol/receipt.ts"
import { isEnd, type Status } from "../protocol/status.ts"
import { machine, version, type CommandInput, type CommandIntent, type Result } from "../../machines/command.ts"
import type { CommandRow, StoreShape } from "../store/store.ts"
import type { Limits } from "../limits.ts"
import type { ActorEvent, ActorKind } from "./command-host.ts"
import type { Projection, Stepped } from "./engine.ts"

/** How a command came, which is how it is answered. */
export type Form = "command" | "note"

export const priorityRank = { low: 0, normal: 1, high: 2, urgent: 3 } as const

/** How far a chain of receipts goes: how many, and the id of the last. */
export interface Chain {
  readonly n: number
  readonly tip: string
}

/** What intake knows of a command that it takes up. */
export interface Received {
  readonly id: string
  readonly wizard: string
  readonly author: string
  readonly trace: string
  readonly parent: string | null
  readonly form: Form
  readonly work: "task" | "verb"
  readonly executor: string
  readonly body: string
  readonly priority: keyof typeof priorityRank
  readonly warnings: readonly string[]
  /** Of a wizard's child: whose command it descends from, as it was verified. */
  readonly child?: Lineage
  /** The receipts that an earlier life wrote and a relay gave back: how many, and the last one's id. */
  readonly chain: Chain | null
  /** The relay that brought it first; absent where none did, or an older version took it up. */
  readonly relay?: string
  /** Which of the wizard's questions it answers, as bits (`lane`). */
  readonly lanes?: number
  /** The whole signed event, so that the journal can prove who asked. */
  readonly event: NostrEvent
}

/** A commit, as the artifact event tells of it. */
export interface Commit {
  readonly commit: string
  readonly repo: string
  readonly branch: string
  readonly x: string
  readonly m: string
  readonly size: number
}

/** What a successful attempt gives. Settings take effect with the state, in one transaction. */
export interface CommandResult extends Result {
  readonly text: string
  readonly artifact?: Commit
  readonly settings?: readonly { readonly scope: string; readonly key: string; readonly value: string }[]
  readonly tookMs?: number
  /** What the executor says that it took: tokens, seconds, money, speeds. */
  readonly cost?: object
}

/** The payload of a `publish` effect: an event with its final id. Its signature is kept beside it. */
export type Outgoing = UnsignedEvent

export const commandActor = (id: string, wizard: string): string => `command/${id}/${wizard}`

export const commandKind: ActorKind = {
  machine,
  version,
  alarm: (timer) => (timer === "retry" ? { type: "requeue" } : { type: "expire", timer }),
}

export interface CommandsOptions {
  readonly store: StoreShape
  readonly limits: Pick<Limits, "queueRowsMax" | "concurrentAttemptsMax" | "actorsCachedMax">
  readonly pubkeyOf: (wizard: string) => string
  /** Whether that author may still have that of that wizard, by the roster in force. */
  readonly mayCommand: (author: string, wizard: string, received: () => Received) => boolean
  readonly rosterVersion: () => number
  readonly instance: string
  /** What a form adds to receipts: reactions and answers where the person is looking. */
  readonly answers: Readonly<Record<Form, (told: Told) => readonly EventTemplate[]>>
}

/** A state that was entered, for whoever tells of it. */
export interface Told {
  readonly row: CommandRow
  /** The event that the command came as; read from the journal. */
  readonly event: () => NostrEvent
  readonly status: Status
  readonly reason: string | null
  readonly result: CommandResult | undefined
  readonly atSeconds: number
}

/** The projection, and what it knows without asking the store. */
export interface Commands extends Projection {
  readonly counts: Counts
  /** A command that there is. */
  readonly row: (actor: string) => CommandRow
}

export const commandProjection = (options: CommandsOptions): Commands => {
  const { store, limits } = options
  const counts = openCounts(store)
  const rows = openRows(store, limits.actorsCachedMax)

  const prepare = (actor: string, event: ActorEvent): ActorEvent | "deferred" => {
    if (event.type === "receive") {
      const { work, wizard } = event["command"] as Received
      const { refusal, stale, imported } = event["input"] as CommandInput
      const queues = work === "task" && refusal === null && !stale && imported === null
      return queues && counts.queued(wizard) >= limits.queueRowsMax ? "deferred" : event
    }
    if (event.type === "begin") {
      const row = rows.get(actor)
      const openMax = row.work === "verb" ? 1 : limits.concurrentAttemptsMax
      if (counts.open(row.wizard, row.work) >= openMax) return "deferred"
      return { ...event, authorised: options.mayCommand(row.author, row.wizard, () => receivedOf(store, actor)) }
    }
    if (event.type === "import") {
      const { receipts, tip } = rows.get(actor)
      const chain = event["chain"] as Chain
      return { ...event, further: chain.n > receipts || (chain.n === receipts && chain.tip !== tip) }
    }
    return event
  }

  const project = (stepped: Stepped): void => {
    const { actor, atMs, owe, event } = stepped
    const received = event.type === "receive" ? (event["command"] as Received) : undefined
    // Counted before this step writes, so that what it shifts is not counted twice.
    counts.queued(actor.slice(actor.lastIndexOf("/") + 1))
    const row =
      received === undefined ? rows.get(actor) : rowOf(actor, received, event["input"] as CommandInput, stepped)
    const atSeconds = Math.floor(atMs / 1000)
    const author = row.author
    let { receipts: n, tip } = row
    let result: CommandResult | undefined
    let reason = row.reason

    const publish = (template: EventTemplate): string => {
      const outgoing = withId(options.pubkeyOf(row.wizard), template)
      owe("publish", outgoing satisfies Outgoing, { owner: row.wizard, eventId: outgoing.id })
      return outgoing.id
    }

    const handle = (intent: CommandIntent): void => {
      switch (intent.type) {
        case "report": {
          const { status, attempt } = intent.params
          reason = intent.params.reason
          const prev = tip
          n += 1
          tip = publish(
            receiptTemplate({
              command: row.id,
              author,
              wizard: row.wizard,
              status,
              ...(prev !== null && { prev }),
              n,
              roster: options.rosterVersion(),
              instance: options.instance,
              createdAt: atSeconds,
              content: {
                ...(reason !== null && { reason }),
                ...(attempt > 0 && { attempt }),
                ...(status === "received" &&
                  received !== undefined &&
                  received.warnings.length > 0 && { warnings: received.warnings }),
              },
            }),
          )
          const event = (): NostrEvent => received?.event ?? originOf(store, actor)
          const told = { row, event, status, reason, result, atSeconds }
          for (const template of options.answers[row.form as Form](told)) publish(template)
          return
        }
        case "publish": {
          const given = intent.params.result as CommandResult
          result = given
          const origin = {
            command: row.id,
            author,
            wizard: row.wizard,
            n: intent.params.attempt,
            createdAt: atSeconds,
            text: given.text,
          }
          publish(
            given.artifact === undefined ? answerTemplate(origin) : commitTemplate({ ...origin, ...given.artifact }),
          )
          for (const { scope, key, value } of given.settings ?? []) store.setting.put(scope, key, value)
          return
        }
        case "execute":
          counts.shift(row.wizard, row.work, { open: 1 })
          store.attempt.add({
            actor,
            attempt: intent.params.attempt,
            wizard: row.wizard,
            work: row.work,
            executor: row.executor,
            begun_ms: atMs,
          })
          owe("execute", intent.params, { owner: row.wizard })
          return
        case "abort":
          counts.shift(row.wizard, row.work, { open: -1 })
          store.attempt.end(actor, intent.params.attempt, atMs, `aborted: ${intent.params.reason}`)
          owe("abort", intent.params, { owner: row.wizard })
          return
        case "request":
        case "grant":
          owe(intent.type, intent.params, { owner: row.wizard })
          return
        case "wake":
        case "unwake":
        case "refuse":
          return
      }
    }
    // The relay's copy of our chain is further on than ours: go on from there.
    const chain = event.type === "import" ? (event["chain"] as Chain) : undefined
    if (chain !== undefined && chain.n >= n) ({ n, tip } = chain)
    for (const intent of stepped.intents) handle(intent as CommandIntent)

    if (isAttemptEnd(event.type)) {
      counts.shift(row.wizard, row.work, { open: -1 })
      store.attempt.end(actor, event["attempt"] as number, atMs, event.type)
    }
    counts.shift(row.wizard, row.work, { queued: isQueued(stepped.after) - isQueued(stepped.before) })
    const ended = isEnd(stepped.after as Status)
    const moved = {
      state: stepped.after,
      ended: ended ? 1 : 0,
      since_ms: stepped.before === stepped.after ? row.since_ms : atMs,
      reason,
      result: result === undefined ? row.result : JSON.stringify(result),
      receipts: n,
      tip,
    }
    const next = { ...row, ...moved }
    if (received === undefined) store.command.move(actor, moved)
    else store.command.add(next)
    rows.put(next, ended)
  }

  /** Out of the queue, its attempt stopped, and to be seen; a person looks at its dead letters. */
  const faulted = (actor: string, reason: string, atMs: number, owe: Stepped["owe"]): void => {
    for (const { attempt, ended_ms, wizard } of store.attempt.of(actor)) {
      if (ended_ms !== null) continue
      store.attempt.end(actor, attempt, atMs, `faulted: ${reason}`)
      owe("abort", { attempt, reason }, { owner: wizard })
    }
    store.command.fault(actor, reason, atMs)
    forget()
  }
  const forget = (): void => {
    counts.forget()
    rows.forget()
  }

  return { prepare, project, faulted, forget, counts, row: rows.get }
}

/** The rows of commands under way, so that a step does not read what the step before wrote. Bounded; ended ones go. */
const openRows = (store: StoreShape, most: number) => {
  const known = new Map<string, CommandRow>()
  const put = (row: CommandRow, ended: boolean): CommandRow => {
    known.delete(row.actor)
    if (ended) return row
    known.set(row.actor, row)
    for (const actor of known.keys()) {
      if (known.size <= most) break
      known.delete(actor)
    }
    return row
  }
  return {
    get: (actor: string): CommandRow => known.get(actor) ?? put(store.command.get(actor) as CommandRow, false),
    put,
    forget: (): void => known.clear(),
  }
}

/** How many tasks wait and how many attempts are open, of one wizard. Counted once, then kept up step by step. */
export interface Counts {
  readonly queued: (wizard: string) => number
  readonly open: (wizard: string, work: string) => number
}

const openCounts = (store: StoreShape) => {
  const known = new Map<string, { queued: number; task: number; verb: number }>()
  const of = (wizard: string) => {
    let counted = known.get(wizard)
    if (counted === undefined) {
      const open = (work: string): number => store.attempt.open(wizard, work)
      counted = { queued: store.command.queued(wizard), task: open("task"), verb: open("verb") }
      known.set(wizard, counted)
    }
    return counted
  }
  return {
    queued: (wizard: string): number => of(wizard).queued,
    open: (wizard: string, work: string): number => of(wizard)[work === "verb" ? "verb" : "task"],
    shift: (wizard: string, work: string, by: { readonly queued?: number; readonly open?: number }): void => {
      const counted = of(wizard)
      if (work === "task") counted.queued += by.queued ?? 0
      counted[work === "verb" ? "verb" : "task"] += by.open ?? 0
    },
    forget: (): void => known.clear(),
  }
}

const isQueued = (state: string | undefined): number => (state === "acknowledged" ? 1 : 0)

const isAttemptEnd = (type: string): boolean => type === "succeed" || type === "fail" || type === "lose"

/** The row of a command that just came, before it is told what became of it. */
const rowOf = (actor: string, received: Received, input: CommandInput, stepped: Stepped): CommandRow => ({
  actor,
  id: received.id,
  wizard: received.wizard,
  author: received.author,
  trace: received.trace,
  parent: received.parent,
  form: received.form,
  work: received.work,
  executor: received.executor,
  body: received.body,
  priority: priorityRank[received.priority],
  deadline_ms: input.deadlineMs,
  created_at: received.event.created_at,
  arrived: stepped.position,
  arrived_ms: stepped.atMs,
  state: stepped.after,
  ended: 0,
  since_ms: stepped.atMs,
  reason: null,
  result: null,
  receipts: received.chain?.n ?? 0,
  tip: received.chain?.tip ?? null,
  relay: received.relay ?? null,
  lanes: received.lanes ?? 0,
})

/** What intake knew of a command when it took it up, from the journal. */
export const receivedOf = (store: StoreShape, actor: string): Received =>
  (JSON.parse(store.journal.first(actor)?.event ?? "{}") as { command: Received }).command

/** The event that a command came as, from the journal. */
export const originOf = (store: StoreShape, actor: string): NostrEvent => receivedOf(store, actor).event
