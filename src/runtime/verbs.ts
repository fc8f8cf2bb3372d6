/**
 * What a wizard does by itself, without an executor: one handler a verb. Each answers in short plain text, and changes
 * nothing but settings (which take effect with the answer, in one transaction) and other commands (by inputs whose
 * cause is this command, so that doing it again changes nothing).
 */
import { Effect } from "effect"
import { ExecutorFailed } from "../executors/executor.ts"
import type { Limits } from "../limits.ts"
import type { Counts, CommandResult } from "../engine/commands.ts"
import type { ActorEvent } from "../engine/command-host.ts"
import type { EngineShape } from "../engine/engine.ts"
import type { CommandContext } from "../../machines/command.ts"
import { parseVerb, verbs, type Verb, type VerbName } from "../protocol/verbs.ts"
import type { CommandRow, StoreShape } from "../store/store.ts"

export interface VerbContext {
  readonly wizard: string
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly counts: Counts
  readonly limits: Limits
  /** The wizard's state, and what does its work. */
  readonly state: () => string
  readonly executor: string
  readonly nowMs: () => number
  readonly startedMs: number
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

const handlers: { readonly [N in VerbName]: Handler<N> } = {
  "status check": (_, __, context) => {
    const { store, counts, wizard, limits } = context
    const working = store.command.unended(wizard).filter(({ state, work }) => state === "working" && work === "task")
    const waiting = store.command.unended(wizard).filter(({ state }) => state === "interrupted")
    return {
      text: [
        `${wizard}: ${isPaused(store, wizard) ? "paused" : working.length > 0 ? "busy" : "idle"}, ${counts.queued(wizard)} waiting`,
        ...working.map((busy) => `working on ${shortId(busy)}: ${title(busy)}`),
        ...waiting.map(
          (held) =>
            `interrupted, waits for you: ${shortId(held)} ${title(held)} (retry ${shortId(held)} or cancel ${shortId(held)})`,
        ),
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

  queue: (_, __, { store, wizard }) => {
    const next = store.command.next(wizard, "task", 10)
    const held = isPaused(store, wizard) ? "paused; " : ""
    if (next.length === 0) return { text: `${held}nothing waits` }
    return { text: `${held}${next.map((queued, i) => `${i + 1}. ${shortId(queued)} ${title(queued)}`).join("\n")}` }
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
    const { text } = JSON.parse(about.result) as CommandResult
    const page = verb.page ?? 1
    const size = context.limits.answerCharsMax
    const pages = Math.max(1, Math.ceil(text.length / size))
    if (page > pages) throw new Refused(`${shortId(about)} has ${pages} ${pages === 1 ? "page" : "pages"}`)
    return { text: `${text.slice((page - 1) * size, page * size)}${pages > 1 ? `\n(${page} of ${pages})` : ""}` }
  },

  cancel: (verb, row, context) =>
    move(verb.id, row, context, () => ({ type: "cancel", reason: "cancelled by its operator" })),
  retry: (verb, row, context) => move(verb.id, row, context, () => ({ type: "retry" })),
  approve: (verb, row, context) => move(verb.id, row, context, (hash) => ({ type: "approve", hash })),
  deny: (verb, row, context) => move(verb.id, row, context, (hash) => ({ type: "deny", hash, reason: "denied" })),

  pause: (_, __, { wizard }) => ({
    text: "paused: nothing new is begun until resume",
    settings: [{ scope: wizard, key: "paused", value: "yes" }],
  }),
  resume: (_, __, { wizard, counts }) => ({
    text: `resumed, ${counts.queued(wizard)} waiting`,
    settings: [{ scope: wizard, key: "paused", value: "no" }],
  }),

  stop: async (_, row, { engine, store, wizard }) => {
    const running = store.command.unended(wizard).filter(({ state, work }) => state === "working" && work === "task")
    await engine.deliver(
      running.map(({ actor }) => ({ actor, cause: `${row.id}/stop`, event: { type: "cancel", reason: "stopped" } })),
    )
    return {
      text: `stopped ${running.length} and paused; what waits stays (resume)`,
      settings: [{ scope: wizard, key: "paused", value: "yes" }],
    }
  },
}

/** The command that a verb is about: the one whose id begins so, or the only one that has not ended. */
const target = (id: string | undefined, row: CommandRow, { store, wizard }: VerbContext): CommandRow => {
  const others = (rows: readonly CommandRow[]) =>
    rows.filter((other) => other.wizard === wizard && other.actor !== row.actor)
  const found = id === undefined ? others(store.command.unended(wizard)) : others(store.command.byId(id))
  const [only] = found
  if (only !== undefined && found.length === 1) return only
  if (only === undefined)
    throw new Refused(id === undefined ? "there is nothing under way" : `no command begins with ${id}`)
  throw new Refused(
    `which one? ${found
      .slice(0, 5)
      .map((other) => `${shortId(other)} ${title(other)}`)
      .join(", ")}`,
  )
}

const move = async (
  id: string | undefined,
  row: CommandRow,
  context: VerbContext,
  event: (hash: string) => ActorEvent,
): Promise<CommandResult> => {
  const about = target(id, row, context)
  const view = await context.engine.read(about.actor)
  const hash = (view?.context as CommandContext | undefined)?.approval ?? ""
  const { type, ...rest } = event(hash)
  const [outcome] = await context.engine.deliver([
    { actor: about.actor, cause: `${row.id}/${type}`, event: { type, ...rest } },
  ])
  if (outcome === "refused") throw new Refused(`${shortId(about)} is ${about.state}: there is nothing to ${type}`)
  const now = context.store.command.get(about.actor)
  return { text: `${shortId(about)} ${title(about)}: ${now?.state ?? about.state}` }
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

const title = (row: CommandRow): string => {
  const line = row.body.split("\n")[0] ?? ""
  return line.length > 60 ? `${line.slice(0, 59)}…` : line
}

const duration = (ms: number): string => {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return `${Math.round(seconds / 3600)} h`
}
