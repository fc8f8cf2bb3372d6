/**
 * A model behind an OpenAI-compatible endpoint: Ollama, LM Studio, Groq, `mlx_lm.server`. It answers in words; they are the
 * result, committed as a report.
 *
 *   "groq": { "executor": "http", "settings": { "url": "https://…/v1", "model": "llama-…", "keyEnv": "GROQ_KEY" } }
 */
import { readFile, stat } from "node:fs/promises"
import { Effect, Redacted, Schema } from "effect"
import { chat } from "./chat.ts"
import { ExecutorFailed, type Executor } from "./executor.ts"
import { ExecutorRefused, kindOf, type ExecutorHost } from "./kind.ts"
import { inPlace } from "./places.ts"
import { withTimers } from "./timers.ts"
import { toldOf } from "./told.ts"

const Positive = Schema.Finite.check(Schema.isGreaterThan(0))
const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** How a model is to answer; of every executor that asks one. */
export const samplingFields = {
  /** Who it is to be, in the role's own words. */
  system: Schema.optionalKey(Schema.String),
  maxTokens: Schema.optionalKey(Count),
  temperature: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))),
  topP: Schema.optionalKey(Positive),
  seed: Schema.optionalKey(Schema.Int),
  coldSeconds: Schema.optionalKey(Positive),
  quietSeconds: Schema.optionalKey(Positive),
  seconds: Schema.optionalKey(Positive),
}

const Settings = Schema.Struct({
  ...samplingFields,
  /** Up to and with `/v1`. */
  url: Schema.String.check(Schema.isPattern(/^https?:\/\/[^@]+$/)),
  model: Schema.String,
  /** Where its key is: a variable of the runtime's environment, or a file that only its owner may read. */
  keyEnv: Schema.optionalKey(Schema.String),
  keyFile: Schema.optionalKey(Schema.String),
  /** Questions to it at a time, of all wizards here. */
  runs: Schema.optionalKey(Count),
})
type Settings = typeof Settings.Type

export const http = kindOf("http", Settings, (settings, host) => open(settings, host))

const open = Effect.fnUntraced(function* (
  settings: Settings,
  host: ExecutorHost,
): Effect.fn.Return<Executor, ExecutorRefused> {
  const url = settings.url.replace(/\/+$/, "")
  const key = yield* keyOf(settings, host)
  const { host: place } = new URL(url)
  const name = `${settings.model} at ${place}`
  const { clock, limits } = host
  return {
    name: "http",
    about: `http; asks ${name}`,
    // Asked again it answers again, and nothing else was done.
    repeat: "safe",
    needsClone: true,
    probe: () =>
      Effect.promise(async (signal) => {
        const answer = await fetch(`${url}/models`, {
          signal: AbortSignal.any([signal, AbortSignal.timeout(probeMsMax)]),
          headers: key === undefined ? {} : { authorization: `Bearer ${Redacted.value(key)}` },
        }).catch((error: unknown) => error as Error)
        return answer instanceof Error
          ? { ready: false, detail: `${name} cannot be reached (${toldOf(answer.cause ?? answer)})` }
          : { ready: answer.status !== 401 && answer.status !== 403, detail: `${name} answered ${answer.status}` }
      }),
    run: (task, report) =>
      task.folder === undefined
        ? Effect.fail(new ExecutorFailed({ kind: "final", reason: "http: no folder to write its report in" }))
        : withTimers(timersOf(settings, host), clock, name, (alive) =>
            chat(
              { ...settings, url, prompt: task.body, ...(key !== undefined && { key }) },
              {
                name,
                clock,
                bytesMax: limits.executorOutputBytesMax,
                alive: (text) => {
                  alive()
                  report({ text: text === "" ? "it reads" : text.slice(-progressCharsMax) })
                },
              },
            ),
          ).pipe(
            inPlace(`${url} ${settings.model}`, settings.runs ?? limits.modelRunsMax),
            Effect.map((answer) => ({ ...answer, changed: false })),
          ),
  }
})

export const timersOf = (
  settings: { readonly coldSeconds?: number; readonly quietSeconds?: number; readonly seconds?: number },
  { limits }: Pick<ExecutorHost, "limits">,
) => ({
  coldSeconds: settings.coldSeconds ?? limits.executorColdSecondsMax,
  quietSeconds: settings.quietSeconds ?? limits.executorQuietSecondsMax,
  totalSeconds: settings.seconds ?? limits.executorSecondsMax,
})

export const progressCharsMax = 200
const probeMsMax = 5_000

const keyOf = Effect.fnUntraced(function* (
  { keyEnv, keyFile }: Settings,
  host: ExecutorHost,
): Effect.fn.Return<Redacted.Redacted | undefined, ExecutorRefused> {
  const refuse = (reason: string) => new ExecutorRefused({ reason: `${host.wizard}: ${reason}` })
  if (keyEnv !== undefined && keyFile !== undefined) return yield* refuse("keyEnv and keyFile: give one of them")
  if (keyEnv !== undefined) {
    const value = host.env[keyEnv]
    return value === undefined || value === ""
      ? yield* refuse(`the environment has no ${keyEnv}`)
      : Redacted.make(value)
  }
  if (keyFile === undefined) return undefined
  const read = Effect.tryPromise({
    try: async () => ({ mode: (await stat(keyFile)).mode, text: (await readFile(keyFile, "utf8")).trim() }),
    catch: (error) => refuse(`its key cannot be read (${toldOf(error)})`),
  })
  const { mode, text } = yield* read
  if ((mode & 0o077) !== 0) return yield* refuse(`${keyFile} can be read by others: chmod 600 it`)
  return text === "" ? yield* refuse(`${keyFile} is empty`) : Redacted.make(text)
})
