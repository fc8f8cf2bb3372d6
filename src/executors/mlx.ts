/**
 * A model on this machine by MLX (`pip install mlx-lm`; on Linux `mlx-lm[cpu]`), in one of two ways:
 *
 *   server     one `mlx_lm.server` that keeps the model in memory, supervised; the default
 *   generate   one `mlx_lm.generate` for each command; slower to begin, nothing stays in memory
 *
 *   "timmy": { "executor": "mlx", "settings": { "model": "mlx-community/…", "system": "You are Timmy." } }
 *
 * ML1: one run at a time for each model, whoever of this machine's wizards asks; the rest waits.
 * ML2: what was asked goes to its stdin or its socket, never to its command line.
 * ML3: it is not confined: it is no program of others, runs nothing that a model writes, and needs its folder of models.
 *      Of the environment it gets what says where that is.
 */
import { join } from "node:path"
import { Effect, Schema, type Scope } from "effect"
import { execa } from "execa"
import { chat } from "./chat.ts"
import { ExecutorFailed, type Cost, type Executor, type Task } from "./executor.ts"
import type { Program } from "./guarded.ts"
import { progressCharsMax, samplingFields, timersOf } from "./http.ts"
import { kindOf, type ExecutorHost } from "./kind.ts"
import { readGenerated } from "./mlx-figures.ts"
import { openMlxServer } from "./mlx-server.ts"
import { inPlace } from "./places.ts"
import { endOf, runProgram } from "./run-program.ts"
import { withTimers } from "./timers.ts"
import { toldOf } from "./told.ts"

const Settings = Schema.Struct({
  ...samplingFields,
  /** A folder, or a name on a hub that MLX itself fetches. */
  model: Schema.String,
  mode: Schema.optionalKey(Schema.Literals(["server", "generate"])),
  /** The folder of `mlx_lm.server` and its kin, where they are not on the PATH. */
  bin: Schema.optionalKey(Schema.String),
  /** Of `generate`: what `mlx_lm.cache_prompt` made of the system prompt. The server keeps its own. */
  promptCacheFile: Schema.optionalKey(Schema.String),
})
type Settings = typeof Settings.Type

export const mlx = kindOf("mlx", Settings, (settings, host) => open(settings, host))

const open = Effect.fnUntraced(function* (
  settings: Settings,
  host: ExecutorHost,
): Effect.fn.Return<Executor, never, Scope.Scope> {
  const { limits, clock } = host
  const { model, mode = "server" } = settings
  const name = `mlx ${toldOf(model)}`
  const timers = timersOf(settings, host)
  const ask = mode === "server" ? yield* byServer(settings, host, name) : byGenerate(settings, host, name)
  const probe = yield* Effect.cached(version(settings, host))
  return {
    name: "mlx",
    about: `mlx; ${toldOf(model)} (${mode})`,
    repeat: "safe",
    needsClone: true,
    probe: () => Effect.map(probe, (found) => ({ ready: found.ready, detail: `${found.detail}, ${toldOf(model)}` })),
    run: (task, report) =>
      task.folder === undefined
        ? Effect.fail(new ExecutorFailed({ kind: "final", reason: "mlx: no folder to write its report in" }))
        : Effect.suspend(() => {
            const begunMs = clock.nowMs()
            const timed = ask(task, (text) =>
              report({ text: text === "" ? "it reads" : text.slice(-progressCharsMax) }),
            )
            return timed(timers).pipe(
              Effect.map(({ text, cost }) => {
                const seconds = (clock.nowMs() - begunMs) / 1000
                return { text, changed: false, cost: { ...cost, seconds } }
              }),
            )
          }).pipe(inPlace(`mlx ${model}`, limits.modelRunsMax)),
  }
})

type Ask = (
  task: Task,
  alive: (text: string) => void,
) => (
  timers: ReturnType<typeof timersOf>,
) => Effect.Effect<{ readonly text: string; readonly cost: Cost }, ExecutorFailed>

/** While the server starts its own timer runs; the question's begin when it is asked. */
const byServer = (settings: Settings, host: ExecutorHost, name: string): Effect.Effect<Ask, never, Scope.Scope> =>
  openMlxServer(name, (port) => serverProgram(settings, host, port), host).pipe(
    Effect.map((server): Ask => (task, alive) => (timers) => {
      // Whatever another name would be, it would be loaded.
      const question = { ...settings, model: "default_model", prompt: task.body }
      return server.use((url) =>
        withTimers(timers, host.clock, name, (live) =>
          chat(
            { ...question, url },
            {
              name,
              clock: host.clock,
              bytesMax: host.limits.executorOutputBytesMax,
              alive: (text) => {
                live()
                alive(text)
              },
            },
          ),
        ),
      )
    }),
  )

const byGenerate =
  (settings: Settings, host: ExecutorHost, name: string): Ask =>
  (task, alive) =>
  (timers) =>
    withTimers(timers, host.clock, name, (live) =>
      runProgram(generateProgram(settings, host), host, {
        input: task.body.toWellFormed(),
        label: `${task.command.slice(0, 8)}-${task.wizard}-${task.attempt}`,
        onOutput: (chunk) => {
          live()
          alive(chunk.toString("utf8").trim())
        },
      }).pipe(
        Effect.flatMap((ran) => {
          const fail = (kind: "final" | "retryable", reason: string) =>
            Effect.fail(new ExecutorFailed({ kind, reason: `${name}: ${reason}` }))
          if (ran.exitCode !== 0) return fail("retryable", `mlx_lm.generate ${toldOf(endOf(ran))}`)
          const generated = readGenerated(ran.stdout.text)
          if (generated === undefined) return fail("final", `mlx_lm.generate wrote what nobody knows to read`)
          return generated.text === "" ? fail("retryable", "it answered nothing") : Effect.succeed(generated)
        }),
      ),
    )

const serverProgram = (settings: Settings, host: ExecutorHost, port: number): Program =>
  mlxProgram(settings, host, "server", [
    ["--model", settings.model],
    ["--host", "127.0.0.1"],
    ["--port", port],
    ["--log-level", "INFO"],
    // Its default lets every page in a browser ask it.
    ["--allowed-origins", `http://127.0.0.1:${port}`],
  ])

const generateProgram = (settings: Settings, host: ExecutorHost): Program =>
  mlxProgram(settings, host, "generate", [
    ["--model", settings.model],
    ["--prompt", "-"],
    ["--verbose", "True"],
    ["--max-tokens", settings.maxTokens],
    ["--system-prompt", settings.system],
    ["--temp", settings.temperature],
    ["--top-p", settings.topP],
    ["--seed", settings.seed],
    ["--prompt-cache-file", settings.promptCacheFile],
  ])

const mlxProgram = (
  settings: Settings,
  host: ExecutorHost,
  tool: string,
  options: readonly (readonly [name: string, value: string | number | undefined])[],
): Program => ({
  file: settings.bin === undefined ? `mlx_lm.${tool}` : join(settings.bin, `mlx_lm.${tool}`),
  args: options.flatMap(([name, value]) => (value === undefined ? [] : [name, String(value)])),
  cwd: "/",
  env: environment(host),
})

/** ML3. */
const environment = ({ env }: Pick<ExecutorHost, "env">): Readonly<Record<string, string>> => ({
  ...Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      value !== undefined && (["PATH", "HOME", "XDG_CACHE_HOME"].includes(name) || /^HF_(HOME|HUB_)/.test(name))
        ? [[name, value]]
        : [],
    ),
  ),
  LANG: "C.UTF-8",
  PYTHONUNBUFFERED: "1",
  TOKENIZERS_PARALLELISM: "false",
})

/** Importing it takes over a second, so it is asked once. */
const version = (settings: Settings, host: ExecutorHost) =>
  Effect.promise(async () => {
    const file = settings.bin === undefined ? "mlx_lm" : join(settings.bin, "mlx_lm")
    const result = await execa(file, ["--version"], {
      reject: false,
      timeout: probeMsMax,
      stdin: "ignore",
      extendEnv: false,
      env: environment(host),
    })
    return result.failed
      ? { ready: false, detail: `mlx_lm does not answer (${toldOf(result.shortMessage)}): pip install mlx-lm` }
      : { ready: true, detail: `mlx_lm ${result.stdout.trim()}` }
  })

const probeMsMax = 60_000
