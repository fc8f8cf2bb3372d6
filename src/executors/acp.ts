/**
 * A coding agent that speaks the Agent Client Protocol on its stdin and stdout (Claude Code, Codex, Gemini, Goose, Kimi …).
 *
 *   "claude": { "executor": "acp", "settings": { "command": ["claude-code-acp"], "env": ["ANTHROPIC_API_KEY"], "network": true } }
 *
 * AC1: its session is in the command's clone, and it is confined, guarded and timed as any program is. Its HOME is kept
 *      between attempts (`<home>/executors/<wizard>/home`), because its sessions and its login are there.
 * AC2: each of its requests for permission is asked for alone; where nobody can be asked it is refused.
 * AC3: what it does by itself in its clone is judged by the commit alone; its last words are the result's words.
 * AC4: only `end_turn` is an end that counts.
 * AC5: a follow-up goes on in the session of the command that it follows, and a lost attempt in its own, where the agent
 *      can; it is told that its folder is a new one.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Readable, Writable } from "node:stream"
import { client, methods, ndJsonStream, type ClientContext } from "@agentclientprotocol/sdk"
import { Effect, Schema, type Scope } from "effect"
import { ExecutorFailed, type Action, type Cost, type Executor, type Progress, type Task } from "./executor.ts"
import { startGuarded, type Guarded } from "./guarded.ts"
import { progressCharsMax, timersOf } from "./http.ts"
import { kindOf, type ExecutorHost, type ExecutorRefused } from "./kind.ts"
import { confinementFields, openSandbox, type Sandbox } from "./sandbox.ts"
import { withTimers } from "./timers.ts"
import { toldOf } from "./told.ts"

const PositiveNumber = Schema.Finite.check(Schema.isGreaterThan(0))

const Settings = Schema.Struct({
  ...confinementFields,
  /** The agent and its arguments. */
  command: Schema.NonEmptyArray(Schema.String),
  /** What a request for permission gets: a person's word (refused where nobody can be asked), or always the same. */
  permissions: Schema.optionalKey(Schema.Literals(["ask", "allow", "deny"])),
  repeat: Schema.optionalKey(Schema.Literals(["resumable", "never"])),
  answers: Schema.optionalKey(Schema.Boolean),
  coldSeconds: Schema.optionalKey(PositiveNumber),
  quietSeconds: Schema.optionalKey(PositiveNumber),
  seconds: Schema.optionalKey(PositiveNumber),
})
type Settings = typeof Settings.Type

export const acp = kindOf("acp", Settings, (settings, host) => open(settings, host))

const open = Effect.fnUntraced(function* (
  settings: Settings,
  host: ExecutorHost,
): Effect.fn.Return<Executor, ExecutorRefused> {
  const sandbox = yield* openSandbox(settings, host)
  const [name] = settings.command
  const about = `acp; talks to ${name} (${sandbox.name}${settings.network === true ? ", with the network" : ""})`
  const perform =
    (isRecovery: boolean): Executor["run"] =>
    (task, report) =>
      Effect.suspend(() => {
        const begunMs = host.clock.nowMs()
        return withTimers(timersOf(settings, host), host.clock, name, (alive) =>
          turn({ settings, host, sandbox, task, isRecovery, report, alive }).pipe(Effect.scoped),
        ).pipe(
          Effect.map(({ text, cost }) => ({
            text,
            cost: { ...cost, seconds: (host.clock.nowMs() - begunMs) / 1000 },
            ...(settings.answers === true && { changed: false }),
          })),
        )
      })
  return {
    name: "acp",
    about,
    repeat: settings.repeat ?? "never",
    needsClone: true,
    probe: () => Effect.succeed({ ready: true, detail: about }),
    run: perform(false),
    ...(settings.repeat === "resumable" && { recover: perform(true) }),
  }
})

interface Turn {
  readonly settings: Settings
  readonly host: ExecutorHost
  readonly sandbox: Sandbox
  readonly task: Task
  readonly isRecovery: boolean
  readonly report: (progress: Progress) => void
  readonly alive: () => void
}

interface Said {
  readonly text: string
  readonly cost: Cost
}

/** One prompt to one agent, from its start to the end of its turn; the scope ends the agent. */
const turn = Effect.fnUntraced(function* (the: Turn): Effect.fn.Return<Said, ExecutorFailed, Scope.Scope> {
  const { settings, host, sandbox, task } = the
  const { folder } = task
  if (folder === undefined) return yield* new ExecutorFailed({ kind: "final", reason: "acp: no folder to work in" })
  const confined = yield* sandbox.confine(settings.command, folder, join(host.state, "home"))
  const guarded = yield* startGuarded(confined, host)
  let words = ""
  guarded.stderr.on("data", (chunk: Buffer) => void (words = (words + chunk.toString("utf8")).slice(-wordsCharsMax)))
  const [name] = settings.command
  // An end before the end of its turn; what it wrote on stdout before that is read first.
  const early = guarded.ended.pipe(
    Effect.delay(earlyMs),
    Effect.flatMap(({ exitCode, signal }) => {
      const last = words.trim() === "" ? "" : `: ${words.trim()}`
      return new ExecutorFailed({
        kind: "final",
        reason: `${name} ended (${signal ?? exitCode}) before it was done${last}`,
      })
    }),
  )
  const talk = Effect.tryPromise({
    try: (signal) => converse(the, guarded, folder, signal),
    catch: (error) =>
      error instanceof ExecutorFailed
        ? error
        : new ExecutorFailed({ kind: "final", reason: `${name}: ${toldOf(error)}` }),
  })
  return yield* Effect.raceFirst(
    talk.pipe(
      // A connection that broke because the agent ended is told by how it ended.
      Effect.catchTag("ExecutorFailed", (error) =>
        error.reason.includes("connection closed") ? Effect.never : Effect.fail(error),
      ),
    ),
    early,
  )
})

const wordsCharsMax = 500
const earlyMs = 50

const converse = (the: Turn, guarded: Guarded, folder: string, signal: AbortSignal): Promise<Said> => {
  const { settings, host, task } = the
  const heard = listener(the)
  const app = client({ name: "wizardly-runtime" })
    .onNotification(methods.client.session.update, ({ params }) => heard.update(params.update))
    .onRequest(methods.client.session.requestPermission, async ({ params: { toolCall, options } }) => {
      the.alive()
      const action = { title: toolCall.title ?? "an action", detail: detailOf(toolCall) }
      // AC2: once, not for ever.
      const granted = await mayDo(settings, task, action)
      const option = options.find(({ kind }) => kind === (granted ? "allow_once" : "reject_once"))
      the.alive()
      return {
        outcome: option === undefined ? { outcome: "cancelled" } : { outcome: "selected", optionId: option.optionId },
      }
    })
  const input = Readable.toWeb(guarded.stdout) as ReadableStream<Uint8Array>
  const stream = ndJsonStream(Writable.toWeb(guarded.stdin) as WritableStream<Uint8Array>, input)
  return app.connectWith(stream, async (agent) => {
    const { agentCapabilities } = await agent.request(methods.agent.initialize, {
      protocolVersion: 1,
      clientCapabilities: { fs: { readTextFile: false, writeTextFile: false }, terminal: false },
    })
    the.alive()
    const earlier = await sessionToResume(host, the)
    const canResume = agentCapabilities?.sessionCapabilities?.resume
    const canLoad = agentCapabilities?.loadSession === true
    const resumed =
      earlier !== undefined &&
      (await resume(agent, earlier, folder, canResume ? "resume" : canLoad ? "load" : "neither"))
    const sessionId = resumed
      ? earlier
      : (await agent.request(methods.agent.session.new, { cwd: folder, mcpServers: [] })).sessionId
    await keepSession(host, task.command, sessionId)
    // What was told again of the past is no word of this turn.
    heard.begin()
    signal.addEventListener(
      "abort",
      () => void agent.notify(methods.agent.session.cancel, { sessionId }).catch(() => {}),
    )
    const { stopReason } = await agent.request(methods.agent.session.prompt, {
      sessionId,
      prompt: [{ type: "text", text: promptOf(the, resumed) }],
    })
    if (stopReason !== "end_turn")
      throw new ExecutorFailed({ kind: "final", reason: `${settings.command[0]} stopped: ${stopReason}` })
    return heard.said()
  })
}

/** AC3: the words after its last action; all of them where there are none after it. */
const listener = ({ host, report, alive }: Turn) => {
  let all = ""
  let last = ""
  let cost: Cost = {}
  const { executorOutputBytesMax } = host.limits
  return {
    begin: (): void => {
      all = ""
      last = ""
    },
    update: (update: { readonly sessionUpdate: string } & Readonly<Record<string, unknown>>): void => {
      alive()
      const {
        content,
        title,
        cost: spent,
      } = update as {
        readonly content?: { readonly type?: string; readonly text?: string }
        readonly title?: string
        readonly cost?: { readonly amount?: number; readonly currency?: string } | null
      }
      if (update.sessionUpdate === "agent_message_chunk" && content?.type === "text") {
        all += content.text ?? ""
        last += content.text ?? ""
        if (all.length > executorOutputBytesMax) throw new Error(`it wrote more than ${executorOutputBytesMax} bytes`)
        report({ text: last.slice(-progressCharsMax) })
      }
      if (update.sessionUpdate === "tool_call") {
        last = ""
        report({ text: (title ?? "it works").slice(0, progressCharsMax) })
      }
      if (update.sessionUpdate === "usage_update" && spent?.amount !== undefined && spent.currency === "USD")
        cost = { ...cost, money: spent.amount }
    },
    said: (): Said => {
      const text = (last.trim() === "" ? all : last).trim()
      return { text: text === "" ? "It ended its turn and said nothing." : text, cost }
    },
  }
}

const mayDo = async ({ permissions = "ask" }: Settings, task: Task, action: Action): Promise<boolean> =>
  permissions === "allow" || (permissions === "ask" && task.permit !== undefined && (await task.permit(action)))

/** Exactly what would be done, as the agent says it. */
const detailOf = (toolCall: object): string => JSON.stringify(toolCall)

const promptOf = ({ task, isRecovery }: Turn, resumed: boolean): string => {
  const asked = task.body.toWellFormed()
  if (!resumed) return asked
  const fresh = "The working folder is a new clone; what you had changed and was not taken over is not in it."
  return isRecovery
    ? `You were interrupted in the middle of this. ${fresh} Begin it again:\n\n${asked}`
    : `${fresh}\n\n${asked}`
}

/** AC5. */
const sessionToResume = async (host: ExecutorHost, { task, isRecovery }: Turn): Promise<string | undefined> => {
  const command = isRecovery ? task.command : task.parent
  if (command === undefined) return undefined
  return readFile(fileOf(host, command), "utf8").catch(() => undefined)
}

const keepSession = async (host: ExecutorHost, command: string, session: string): Promise<void> => {
  await mkdir(join(host.state, "sessions"), { recursive: true, mode: 0o700 })
  await writeFile(fileOf(host, command), session, { mode: 0o600 })
}

const fileOf = ({ state }: ExecutorHost, command: string): string => join(state, "sessions", command)

/** Whether the agent took it up; one that forgot it begins a new session. */
const resume = (
  agent: ClientContext,
  sessionId: string,
  cwd: string,
  how: "resume" | "load" | "neither",
): Promise<boolean> => {
  if (how === "neither") return Promise.resolve(false)
  const method = how === "resume" ? methods.agent.session.resume : methods.agent.session.load
  return agent.request(method, { sessionId, cwd, mcpServers: [] }).then(
    () => true,
    () => false,
  )
}
