/**
 * One question to an OpenAI-compatible endpoint (`mlx_lm.server`, Ollama, LM Studio, Groq …), streamed.
 *
 * H1: a key is in the request's header and nowhere else: not in errors, not where an endpoint repeats it.
 * H2: every piece that comes, a keep-alive comment too, is a sign of life.
 * H3: an answer counts only when the stream said that it is whole.
 */
import { Effect, Redacted, Schema } from "effect"
import type { ClockShape } from "../services/clock.ts"
import { ExecutorFailed, type Cost, type FailureKind } from "./executor.ts"
import { toldOf } from "./told.ts"

export interface Question {
  /** Up to and with `/v1`. */
  readonly url: string
  readonly key?: Redacted.Redacted
  readonly model: string
  readonly system?: string
  readonly prompt: string
  readonly maxTokens?: number
  readonly temperature?: number
  readonly topP?: number
  readonly seed?: number
}

export interface ChatOptions {
  readonly name: string
  readonly clock: ClockShape
  /** More than that: fails as `excess`. */
  readonly bytesMax: number
  /** Hears of each sign of life, with what was written so far. */
  readonly alive: (text: string) => void
}

export interface Answer {
  readonly text: string
  readonly cost: Cost
}

const Chunk = Schema.fromJsonString(
  Schema.Struct({
    choices: Schema.optionalKey(
      Schema.Array(
        Schema.Struct({
          delta: Schema.optionalKey(Schema.Struct({ content: Schema.optionalKey(Schema.NullOr(Schema.String)) })),
        }),
      ),
    ),
    usage: Schema.optionalKey(
      Schema.NullOr(
        Schema.Struct({
          prompt_tokens: Schema.optionalKey(Schema.Finite),
          completion_tokens: Schema.optionalKey(Schema.Finite),
        }),
      ),
    ),
    error: Schema.optionalKey(Schema.Unknown),
  }),
)

/** Fails with what the endpoint said; `unavailable` where it cannot be reached. */
export const chat = (question: Question, options: ChatOptions): Effect.Effect<Answer, ExecutorFailed> =>
  Effect.tryPromise({
    try: (signal) => ask(question, options, signal),
    catch: (error) =>
      error instanceof ExecutorFailed
        ? error
        : failed("unavailable", options.name, question, `it cannot be reached (${causeOf(error)})`),
  })

const ask = async (question: Question, options: ChatOptions, signal: AbortSignal): Promise<Answer> => {
  const { clock, name } = options
  const begunMs = clock.nowMs()
  const response = await fetch(`${question.url}/chat/completions`, {
    method: "POST",
    signal,
    redirect: "error",
    headers: {
      "content-type": "application/json",
      ...(question.key !== undefined && { authorization: `Bearer ${Redacted.value(question.key)}` }),
    },
    body: JSON.stringify(bodyOf(question)),
  })
  if (!response.ok || response.body === null) {
    const said = (await response.text()).slice(0, saidCharsMax)
    throw failed(kindOf(response.status), name, question, `it answered ${response.status}: ${said}`)
  }
  let text = ""
  let usage: { readonly prompt_tokens?: number; readonly completion_tokens?: number } = {}
  let firstMs: number | undefined
  let lastMs = begunMs
  let isWhole = false
  try {
    for await (const line of linesOf(response.body, options.bytesMax)) {
      if (line === undefined) throw failed("excess", name, question, `it wrote more than ${options.bytesMax} bytes`)
      if (line !== "") options.alive(text)
      if (!line.startsWith("data:")) continue
      const data = line.slice(5).trim()
      if (data === "[DONE]") {
        isWhole = true
        break
      }
      const chunk = Schema.decodeUnknownSync(Chunk)(data)
      if (chunk.error !== undefined)
        throw failed("retryable", name, question, `it gave up: ${JSON.stringify(chunk.error).slice(0, saidCharsMax)}`)
      usage = { ...usage, ...chunk.usage }
      const piece = chunk.choices?.[0]?.delta?.content ?? ""
      if (piece === "") continue
      text += piece
      lastMs = clock.nowMs()
      firstMs ??= lastMs
    }
  } catch (error) {
    if (error instanceof ExecutorFailed || signal.aborted) throw error
    throw failed("retryable", name, question, `its answer broke off (${causeOf(error)})`)
  }
  if (!isWhole) throw failed("retryable", name, question, "its answer broke off")
  if (text.trim() === "") throw failed("retryable", name, question, "it answered nothing")
  const tokensOut = usage.completion_tokens
  const writingSeconds = (lastMs - (firstMs ?? lastMs)) / 1000
  return {
    text: text.trim(),
    cost: {
      seconds: (clock.nowMs() - begunMs) / 1000,
      ...(usage.prompt_tokens !== undefined && { tokensIn: usage.prompt_tokens }),
      ...(tokensOut !== undefined && { tokensOut }),
      // Between the first token and the last there is one gap less than there are tokens.
      ...(tokensOut !== undefined &&
        tokensOut > 1 &&
        writingSeconds > 0 && { tokensOutPerSecond: (tokensOut - 1) / writingSeconds }),
    },
  }
}

const bodyOf = ({ model, system, prompt, maxTokens, temperature, topP, seed }: Question): object => ({
  model,
  messages: [
    ...(system === undefined ? [] : [{ role: "system", content: system }]),
    { role: "user", content: prompt.toWellFormed() },
  ],
  stream: true,
  stream_options: { include_usage: true },
  ...(maxTokens !== undefined && { max_tokens: maxTokens }),
  ...(temperature !== undefined && { temperature }),
  ...(topP !== undefined && { top_p: topP }),
  ...(seed !== undefined && { seed }),
})

/** Whole lines; undefined, and then the end, where more came than may. */
async function* linesOf(body: ReadableStream<Uint8Array>, bytesMax: number): AsyncGenerator<string | undefined> {
  const decoder = new TextDecoder()
  let bytes = 0
  let rest = ""
  for await (const piece of body) {
    bytes += piece.length
    if (bytes > bytesMax) return yield undefined
    const lines = (rest + decoder.decode(piece, { stream: true })).split(/\r\n|\n|\r/)
    rest = lines.pop() ?? ""
    yield* lines
  }
}

const kindOf = (status: number): FailureKind =>
  status === 408 || status === 409 || status === 425 || status === 429 || status >= 500 ? "retryable" : "final"

/** H1. */
const failed = (kind: FailureKind, name: string, { key }: Question, said: string): ExecutorFailed => {
  const secret = key === undefined ? "" : Redacted.value(key)
  return new ExecutorFailed({ kind, reason: `${name}: ${secret === "" ? said : said.replaceAll(secret, "…")}` })
}

/** `fetch failed` alone helps nobody. */
const causeOf = (error: unknown): string => {
  const { cause } = Object(error) as { readonly cause?: unknown }
  return toldOf(cause instanceof Error && cause.message !== "" ? cause : error)
}

const saidCharsMax = 500
