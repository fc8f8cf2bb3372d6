/** The `http` executor: against the real `mlx_lm.server`, and against an endpoint that misbehaves as it is told. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { inspect } from "node:util"
import { Deferred, Effect, Fiber } from "effect"
import { describe, expect, it, onTestFinished } from "vitest"
import { runAttempt } from "../../src/executors/attempt.ts"
import { executors } from "../../src/executors/executors.ts"
import { make } from "./candidates.ts"
import { hostIn } from "./host.ts"
import { httpAsked, mlxMissing, mlxWhy, prompt } from "./mlx-home.ts"
import { artifactsIn, ask, taskOf, temporaryFolder } from "./workshop.ts"

const key = "sk-of-this-test"

/** An endpoint that answers as it is told; `heard` is what it was sent. */
const endpoint = async (answer: (request: IncomingMessage, response: ServerResponse) => void) => {
  const heard: { readonly authorization: string | undefined; readonly body: unknown }[] = []
  const server = createServer((request, response) => {
    let text = ""
    request.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")))
    request.on("end", () => {
      heard.push({ authorization: request.headers.authorization, body: text === "" ? undefined : JSON.parse(text) })
      answer(request, response)
    })
  })
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return { url: `http://127.0.0.1:${port}/v1`, heard }
}

const chunk = (content: string): string => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`
const whole = `: keepalive 1/2\n\n${chunk("forty")}${chunk("-two")}data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n`
const streams = (text: string) => (_: IncomingMessage, response: ServerResponse) => response.end(text)

const failure = async (url: string, settings: object = {}) => {
  const host = await hostIn({ env: { KEY: key }, limits: { executorOutputBytesMax: 10_000 } })
  const executor = await make("http", { url, model: "m", keyEnv: "KEY", ...settings }, host)
  const folder = await temporaryFolder()
  return Effect.runPromise(Effect.flip(executor.run({ ...taskOf(1), folder }, () => undefined)))
}

describe.skipIf(mlxMissing)(`http, asking the real mlx_lm.server${mlxWhy}`, { timeout: 300_000 }, () => {
  it("a model's words are the result, streamed, with its figures", async () => {
    const { executor } = await httpAsked()
    const artifacts = await artifactsIn(await temporaryFolder())
    const told: string[] = []
    const task = { ...taskOf(1), body: prompt }
    const run = runAttempt({ executor, task, artifacts, report: (progress) => told.push(progress.text) })
    const { text, artifact, cost } = await Effect.runPromise(run)
    expect(text).toMatch(/\bsea\b/i)
    expect(told.length).toBeGreaterThan(3)
    expect(cost?.tokensIn).toBeGreaterThan(10)
    expect(cost?.tokensOutPerSecond).toBeGreaterThan(0)
    const [file] = artifact?.files ?? []
    expect(await ask(artifacts.repository.dir, "show", `${artifact?.commit}:${file?.path}`)).toContain(text)
    expect(await Effect.runPromise(executor.probe())).toMatchObject({ detail: expect.stringContaining("answered") })
  })
})

describe("http", () => {
  it("asks with its key, and reads words, usage and keep-alives", async () => {
    const { url, heard } = await endpoint(streams(whole))
    const host = await hostIn()
    const keyFile = join(await temporaryFolder(), "key")
    await writeFile(keyFile, `${key}\n`, { mode: 0o600 })
    const settings = { url: `${url}/`, model: "m", keyFile, system: "Be brief.", maxTokens: 9, temperature: 0.5 }
    const executor = await make("http", settings, host)
    const told: string[] = []
    const folder = await temporaryFolder()
    const run = executor.run({ ...taskOf(1), body: "six by nine?", folder }, ({ text }) => told.push(text))
    expect(await Effect.runPromise(run)).toMatchObject({
      text: "forty-two",
      changed: false,
      cost: { tokensIn: 3, tokensOut: 2 },
    })
    expect(told[0]).toBe("it reads")
    expect(heard).toMatchObject([
      {
        authorization: `Bearer ${key}`,
        body: {
          model: "m",
          stream: true,
          max_tokens: 9,
          temperature: 0.5,
          messages: [
            { role: "system", content: "Be brief." },
            { role: "user", content: "six by nine?" },
          ],
        },
      },
    ])
    expect(inspect(executor, { depth: 10 })).not.toContain(key)
  })

  it.each([
    [400, "final"],
    [401, "final"],
    [404, "final"],
    [429, "retryable"],
    [500, "retryable"],
    [503, "retryable"],
  ])("H1: its answer %i is %s, and a key that it repeats is told to nobody", async (status, kind) => {
    const { url } = await endpoint((request, response) => {
      response.writeHead(status).end(`no: ${request.headers.authorization}`)
    })
    const error = await failure(url)
    expect(error).toMatchObject({ kind, reason: expect.stringContaining(`it answered ${status}: no: Bearer …`) })
    expect(inspect(error, { depth: 10 })).not.toContain(key)
  })

  it.each([
    ["breaks off", `${chunk("forty")}`, "retryable", "broke off"],
    ["gives up", `data: {"error":{"message":"out of wands"}}\n\n`, "retryable", "out of wands"],
    ["answers nothing", "data: [DONE]\n\n", "retryable", "answered nothing"],
    ["is nonsense", "data: {\n\n", "retryable", "broke off"],
    ["never ends", chunk("x".repeat(20_000)), "excess", "more than 10000 bytes"],
  ])("H3: a stream that %s is no answer", async (_what, text, kind, said) => {
    const { url } = await endpoint(streams(text))
    expect(await failure(url)).toMatchObject({ kind, reason: expect.stringContaining(said) })
  })

  it("H2: one that says nothing in its time has stalled; keep-alives are life", async () => {
    const silent = await endpoint((_, response) => void response.writeHead(200).flushHeaders())
    expect(await failure(silent.url, { coldSeconds: 0.2 })).toMatchObject({ kind: "stalled" })
    const lively = await endpoint((_, response) => {
      let n = 0
      const timer = setInterval(() => (++n < 8 ? response.write(`: keepalive ${n}/8\n\n`) : response.end(whole)), 100)
      response.once("close", () => clearInterval(timer))
    })
    const executor = await make(
      "http",
      { url: lively.url, model: "m", quietSeconds: 0.5, coldSeconds: 5 },
      await hostIn(),
    )
    const folder = await temporaryFolder()
    expect(await Effect.runPromise(executor.run({ ...taskOf(1), folder }, () => undefined))).toMatchObject({
      text: "forty-two",
    })
  })

  it("one that cannot be reached is unavailable; probe says so", async () => {
    const url = "http://127.0.0.1:9/v1"
    expect(await failure(url)).toMatchObject({
      kind: "unavailable",
      reason: expect.stringContaining("cannot be reached"),
    })
    const executor = await make("http", { url, model: "m" }, await hostIn())
    expect(await Effect.runPromise(executor.probe())).toMatchObject({ ready: false })
  })

  it("cancelled, its connection is closed", async () => {
    const closed = Deferred.makeUnsafe<void>()
    const begun = Deferred.makeUnsafe<void>()
    const { url } = await endpoint((_, response) => {
      response.write(chunk("forty"))
      response.once("close", () => Deferred.doneUnsafe(closed, Effect.void))
    })
    const executor = await make("http", { url, model: "m" }, await hostIn())
    const folder = await temporaryFolder()
    const run = executor.run({ ...taskOf(1), folder }, () => Deferred.doneUnsafe(begun, Effect.void))
    const fiber = Effect.runFork(run)
    await Effect.runPromise(Deferred.await(begun))
    await Effect.runPromise(Fiber.interrupt(fiber))
    expect(await Effect.runPromise(Deferred.await(closed).pipe(Effect.as("closed")))).toBe("closed")
  })

  it("is refused without its key, with one that others may read, and with an address that holds a password", async () => {
    const host = await hostIn()
    const open = join(await temporaryFolder(), "key")
    await writeFile(open, key, { mode: 0o644 })
    const refused = (settings: object) =>
      Effect.runPromise(
        Effect.flip(Effect.scoped(executors.http.make({ url: "http://x/v1", model: "m", ...settings }, host))),
      )
    expect((await refused({ keyEnv: "NO_SUCH" })).reason).toContain("NO_SUCH")
    expect((await refused({ keyFile: open })).reason).toContain("chmod 600")
    expect((await refused({ keyFile: "/nowhere" })).reason).toContain("cannot be read")
    expect((await refused({ url: "http://me:secret@x/v1" })).reason).toContain("settings")
  })
})
