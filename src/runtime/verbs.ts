/**
 * What a wizard does by itself, without an executor: one handler a verb. Each answers in short plain text, and changes
 * nothing but settings (which take effect with the answer, in one transaction) and other commands (by inputs whose
 * cause is this command, so that doing it again changes nothing).
 */
import { Effect } from "effect"
import { ExecutorFailed } from "../executors/executor.ts"
import type { Limits } from "../limits.ts"
import type { Counts, CommandResult } from "../engine/commands.ts"
import type { EngineShape } from "../engine/engine.ts"
import type { CommandContext } from "../../machines/command.ts"
import type { Order, OrderName } from "../protocol/orders.ts"
import { isOperator, type Roster } from "../protocol/roster.ts"
import { parseVerb, verbs, type Verb, type VerbName } from "../protocol/verbs.ts"
import type { CommandRow, StoreShape } from "../store/store.ts"
import { OrderRefused } from "./desk.ts"
import { RosterRefused } from "./roster-keeper.ts"

export interface VerbContext {
  readonly wizard: string
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly counts: Counts
  readonly limits: Limits
  /** What does its work, for a person. */
  readonly executor: string
  readonly nowMs: () => number
  readonly startedMs: number
  /** Carries out an order about the roster, or answers a question. Rejects with OrderRefused, RosterRefused. */
  readonly carryOut: (order: Order) => Promise<{ readonly said: string }>
  /** The roster in force: operators may move everybody's commands, others only their own. */
  readonly roster: () => Roster | undefined
}

/** The members of the union whose name may be N. */
type Named<V extends Verb, N extends VerbName> = V extends Verb ? (N extends V["name"] ? V : never) : never

type Handler<N extends VerbName> = (
  verb: Named<Verb, N>,
  row: CommandRow,
  context: VerbContext,
) => Promise<CommandResult> | CommandResult

/** Fails with a sentence for the person. */
export const performVerb = (row: CommandRow, context: VerbContext): Effect.Effect<CommandResult, ExecutorFailed> =>
  Effect.tryPromise({
    try: async () => {
      const verb = parseVerb(row.body) as Verb
      return (handlers[verb.name] as Handler<VerbName>)(verb as never, row, context)
    },
    catch: (error) =>
      error instanceof Refused
        ? new ExecutorFailed({ kind: "final", reason: error.message })
        : new ExecutorFailed({ kind: "retryable", reason: (error as Error).message }),
  })

/** How often a wizard shows that it is alive, in seconds. */
export const heartbeatSeconds = (store: StoreShape, wizard: string, limits: Limits): number =>
  Number(store.setting.get(wizard, "heartbeatSeconds") ?? limits.heartbeatSeconds)

export const isPaused = (store: StoreShape, wizard: string): boolean => store.setting.get(wizard, "paused") === "yes"

class Refused extends Error {}

const order = async (verb: Order, _: CommandRow, context: VerbContext): Promise<CommandResult> => ({
  text: (
    await context.carryOut(verb).catch((error: unknown) => {
      throw error instanceof OrderRefused || error instanceof RosterRefused ? new Refused(error.message) : error
    })
  ).said,
})

const orderHandlers = {
  operators: order,
  admit: order,
  expel: order,
  invite: order,
  remove: order,
  join: order,
  leave: order,
  channels: order,
  roster: order,
} as const satisfies Record<OrderName, typeof order>

const handlers: { readonly [N in VerbName]: Handler<N> } = {
  "status check": (_, __, context) => {
    const { store, counts, wizard, limits } = context
    const working = store.command.unended(wizard).filter(({ state, work }) => state === "working" && work === "task")
    const waiting = store.command.unended(wizard).filter(({ state }) => state === "interrupted")
    return {
      text: [
        `${wizard}: ${isPaused(store, wizard) ? "paused" : working.length > 0 ? "busy" : "idle"}, ${counts.queued(wizard)} waiting`,
        ...working.map((busy) => `working on ${shortId(busy)}: ${title(busy)}`),
        ...waiting
          .slice(0, listedMax)
          .map(
            (held) =>
              `interrupted, waits for you: ${shortId(held)} ${title(held)} (retry ${shortId(held)} or cancel ${shortId(held)})`,
          ),
        ...more(waiting.length),
        `executor: ${context.executor}`,
        `up ${duration(context.nowMs() - context.startedMs)}, heartbeat every ${heartbeatSeconds(store, wizard, limits)} s`,
      ].join("\n"),
    }
  },

  heartbeat: (verb, _, { store, wizard, limits }) => {
    const now = heartbeatSeconds(store, wizard, limits)
    const wanted = { faster: now / 2, slower: now * 2, default: limits.heartbeatSeconds, every: 0 }[verb.to]
    const asked = verb.to === "every" ? verb.seconds : wanted
    const seconds = Math.round(Math.min(limits.heartbeatSecondsMax, Math.max(limits.heartbeatSecondsMin, asked)))
    const bound =
      seconds === Math.round(asked)
        ? ""
        : ` (it is kept between ${limits.heartbeatSecondsMin} s and ${limits.heartbeatSecondsMax} s)`
    return {
      text:
        seconds === now
          ? `heartbeat stays at every ${now} s${bound}`
          : `heartbeat every ${seconds} s, was ${now} s${bound}`,
      settings: [{ scope: wizard, key: "heartbeatSeconds", value: String(seconds) }],
    }
  },

  help: () => ({
    text:
      Object.values(verbs)
        .map(({ usage, help }) => `${usage}: ${help}`)
        .join("\n") + "\nAnything else is work.",
  }),

  queue: (_, __, { store, counts, wizard }) => {
    const next = store.command.next(wizard, "task", listedMax)
    const held = isPaused(store, wizard)
    if (next.length === 0) return { text: held ? "paused; nothing waits" : "nothing waits" }
    const lines = next.map((queued, i) => `${i + 1}. ${shortId(queued)} ${title(queued)}`)
    return { text: [...(held ? ["paused"] : []), ...lines, ...more(counts.queued(wizard))].join("\n") }
  },

  why: (verb, row, context) => {
    const about = target(verb.id, row, context)
    const since = duration(context.nowMs() - about.since_ms)
    const reason = about.reason === null ? "" : `: ${about.reason}`
    return {
      text: `${shortId(about)} ${title(about)}\n${about.state} for ${since}${reason}. ${nextMove(about, context)}`,
    }
  },

  show: (verb, row, context) => {
    const about = target(verb.id, row, context)
    if (about.result === null)
      return {
        text: `${shortId(about)} is ${about.state} and has no result${about.reason === null ? "" : `: ${about.reason}`}`,
      }
    const { text, artifact } = JSON.parse(about.result) as CommandResult
    if (verb.file !== undefined) throw new Refused(whereFiles(about, artifact))
    // By characters: a page never ends inside one.
    const characters = [...text]
    const page = verb.page ?? 1
    const size = context.limits.answerCharsMax
    const pages = Math.max(1, Math.ceil(characters.length / size))
    if (page > pages) throw new Refused(`${shortId(about)} has ${pages} ${pages === 1 ? "page" : "pages"}`)
    const shown = characters.slice((page - 1) * size, page * size).join("")
    return { text: `${shown}${pages > 1 ? `\n(${page} of ${pages})` : ""}` }
  },

  cancel: (verb, row, context) => move(verb.id, row, context, "cancel", { reason: "cancelled by its operator" }),
  retry: (verb, row, context) => move(verb.id, row, context, "retry"),
  approve: (verb, row, context) => move(verb.id, row, context, "approve"),
  deny: (verb, row, context) => move(verb.id, row, context, "deny", { reason: "denied" }),

  pause: (_, __, { wizard }) => ({
    text: "paused: nothing new is begun until resume",
    settings: [{ scope: wizard, key: "paused", value: "yes" }],
  }),
  resume: (_, __, { wizard, counts }) => ({
    text: `resumed, ${counts.queued(wizard)} waiting`,
    settings: [{ scope: wizard, key: "paused", value: "no" }],
  }),

  stop: async (_, row, { engine, store, wizard }) => {
    // Paused first, or the next one would begin in the room that this makes.
    await engine.write(() => store.setting.put(wizard, "paused", "yes"))
    const running = store.command.unended(wizard).filter(({ state, work }) => state === "working" && work === "task")
    await engine.deliver(
      running.map(({ actor }) => ({ actor, cause: `${row.id}/stop`, event: { type: "cancel", reason: "stopped" } })),
    )
    return {
      text: `stopped ${running.length} and paused; what waits stays (resume)`,
      settings: [{ scope: wizard, key: "paused", value: "yes" }],
    }
  },

  ...orderHandlers,
}

/** The command that a verb is about: the one whose id begins so, or the only task that the verb could be meant for. */
const target = (
  id: string | undefined,
  row: CommandRow,
  { store, wizard }: VerbContext,
  about = isTask,
): CommandRow => {
  const others = (rows: readonly CommandRow[]) =>
    rows.filter((other) => other.wizard === wizard && other.actor !== row.actor)
  const found = id === undefined ? others(store.command.unended(wizard)).filter(about) : others(store.command.byId(id))
  const [only] = found
  if (only !== undefined && found.length === 1) return only
  if (only === undefined)
    throw new Refused(id === undefined ? "there is nothing that it could be about" : `no command begins with ${id}`)
  throw new Refused(
    `which one?\n${found
      .slice(0, listedMax)
      .map((other) => `${shortId(other)} ${title(other)}`)
      .concat(more(found.length))
      .join("\n")}`,
  )
}

const isTask = ({ work }: CommandRow): boolean => work === "task"

/** Which commands a verb without an id can be meant for. */
const movable: Readonly<Record<"cancel" | "retry" | "approve" | "deny", (row: CommandRow) => boolean>> = {
  cancel: isTask,
  retry: ({ state }) => state === "interrupted" || state === "retrying",
  approve: ({ state }) => state === "awaiting-approval",
  deny: ({ state }) => state === "awaiting-approval",
}

const move = async (
  id: string | undefined,
  row: CommandRow,
  context: VerbContext,
  type: keyof typeof movable,
  rest: Readonly<Record<string, unknown>> = {},
): Promise<CommandResult> => {
  const { engine, store } = context
  const cause = `${row.id}/${type}`
  // Done before, and nobody knew: it is about the same one, whatever has come meanwhile.
  const before = store.journal.caused(cause, row.arrived)?.actor
  const roster = context.roster()
  const isBoss = roster !== undefined && isOperator(roster, row.author)
  const isTheirs = ({ author }: CommandRow): boolean => author === row.author || isBoss
  const about =
    (before === undefined ? undefined : store.command.get(before)) ??
    target(id, row, context, (other) => movable[type](other) && isTheirs(other))
  if (!isTheirs(about)) throw new Refused(`${shortId(about)} is not yours: its author or an operator may ${type} it`)
  const view = await engine.read(about.actor)
  const hash = (view?.context as CommandContext | undefined)?.approval ?? ""
  await engine.deliver([{ actor: about.actor, cause, event: { type, hash, ...rest } }])
  // By the journal, which says the same when this is done again.
  const taken = store.journal.caused(cause, row.arrived)
  const now = store.command.get(about.actor) ?? about
  if (taken?.refused !== 0) throw new Refused(`${shortId(now)} is ${now.state}: there is nothing to ${type}`)
  return { text: `${shortId(now)} ${title(now)}: ${now.state}` }
}

const nextMove = (row: CommandRow, { store, wizard }: VerbContext): string => {
  if (row.state === "acknowledged")
    return isPaused(store, wizard) ? "I am paused: resume" : "It waits for its turn: queue shows the order"
  if (row.state === "working") return "It is being worked on: cancel would end it"
  if (row.state === "interrupted") return `You decide: retry ${shortId(row)} or cancel ${shortId(row)}`
  if (row.state === "awaiting-approval") return `You decide: approve ${shortId(row)} or deny ${shortId(row)}`
  if (row.state === "retrying") return "It is tried again after a wait: retry would begin at once"
  return "It has ended: nothing moves it any more"
}

const shortId = (row: CommandRow): string => row.id.slice(0, 8)

/** The first line, short enough for a phone, and never cut inside a character. */
const title = (row: CommandRow): string => {
  const line = [...(row.body.split("\n")[0] ?? "")]
  return line.length > 60 ? `${line.slice(0, 59).join("")}…` : line.join("")
}

/** How many lines a list has at the most. */
const listedMax = 10

const more = (count: number): readonly string[] => (count > listedMax ? [`and ${count - listedMax} more`] : [])

const whereFiles = (row: CommandRow, artifact: CommandResult["artifact"]): string =>
  artifact === undefined
    ? `${shortId(row)} has no files, its text is all`
    : `files are not sent from here: git show ${artifact.commit.slice(0, 12)} in ${artifact.repo}`

const duration = (ms: number): string => {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return `${Math.round(seconds / 3600)} h`
}
