/** The real MLX on this machine's CPU with a real small model; short prompts, because that takes its time. */
import { readdir } from "node:fs/promises"
import { dirname, join } from "node:path"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import { describe, expect, it } from "vitest"
import { runAttempt } from "../../src/executors/attempt.ts"
import type { Executor, Progress } from "../../src/executors/executor.ts"
import { executors } from "../../src/executors/executors.ts"
import type { GuardRecord } from "../../src/executors/guard.ts"
import { readFile } from "node:fs/promises"
import { make } from "./candidates.ts"
import { hostIn } from "./host.ts"
import { mlxGenerated, mlxMissing, mlxServed, mlxSettings, mlxWhy, prompt } from "./mlx-home.ts"
import { artifactsIn, ask, taskOf, temporaryFolder } from "./workshop.ts"

const attempt = async (executor: Executor, report: (progress: Progress) => void = () => undefined) => {
  const artifacts = await artifactsIn(await temporaryFolder())
  const task = { ...taskOf(1), body: prompt }
  return { artifacts, run: runAttempt({ executor, task, artifacts, report }) }
}

describe.skipIf(mlxMissing)(`mlx${mlxWhy}`, { timeout: 300_000 }, () => {
  it("probe says which version answers", async () => {
    const { executor } = await mlxServed()
    expect(await Effect.runPromise(executor.probe())).toEqual({
      ready: true,
      detail: expect.stringMatching(/^mlx_lm \d+\.\d+/),
    })
    const none = await make("mlx", { model: "m", bin: "/nowhere", mode: "generate" }, await hostIn())
    expect(await Effect.runPromise(none.probe())).toEqual({
      ready: false,
      detail: expect.stringContaining("pip install mlx-lm"),
    })
  })

  it.each([
    ["server", mlxServed],
    ["generate", mlxGenerated],
  ])("by its %s a model's words are the result, committed as a report, with its figures", async (mode, made) => {
    const { executor, host } = await made()
    expect(executor.about).toBe(`mlx; …/model (${mode})`)
    const told: string[] = []
    const { artifacts, run } = await attempt(executor, ({ text }) => told.push(text))
    const { text, artifact, cost } = await Effect.runPromise(run)
    expect(text).toMatch(/\bsea\b/i)
    expect(text).not.toContain("==========")
    const path = artifact?.files[0]?.path ?? ""
    const report = await ask(artifacts.repository.dir, "show", `${artifact?.commit}:${path}`)
    expect(report).toContain(`> ${prompt}`)
    expect(report).toContain(text)
    expect(report).toMatch(/tokens in, \d+ out, [\d.]+ tokens\/s/)
    expect(cost?.tokensIn).toBeGreaterThan(10)
    expect(cost?.tokensOut).toBeGreaterThan(5)
    expect(cost?.tokensOutPerSecond).toBeGreaterThan(0)
    expect(cost?.seconds).toBeGreaterThan(0)
    const { tokensInPerSecond = 0, peakBytes = 0 } = cost ?? {}
    expect([tokensInPerSecond > 0, peakBytes > 50e6, host.alive().length > 0]).toEqual(
      mode === "generate" ? [true, true, false] : [false, false, true],
    )
    // Streamed: the words came one after the other.
    expect(told.length).toBeGreaterThan(3)
  })

  it("a cancelled generation leaves no process", async () => {
    const { executor, host } = await mlxGenerated()
    const { artifacts, run } = await attempt(executor)
    const fiber = Effect.runFork(run)
    while (host.alive().length === 0) await new Promise((resolve) => setImmediate(resolve))
    await Effect.runPromise(Fiber.interrupt(fiber))
    expect(host.alive()).toEqual([])
    expect(await readdir(join(dirname(artifacts.repository.dir), "clones"))).toEqual([])
  })

  it("ML1: ten runs at once are done one at a time", async () => {
    const { executor } = await mlxServed()
    const folder = await temporaryFolder()
    let atWork = 0
    let most = 0
    const runs = Array.from({ length: 10 }, (_, n) => {
      let isAtWork = false
      const begin = (): void => {
        if (isAtWork) return
        isAtWork = true
        most = Math.max(most, ++atWork)
      }
      return executor
        .run({ ...taskOf(n), body: "Hi", folder }, begin)
        .pipe(Effect.ensuring(Effect.sync(() => void (isAtWork && atWork--))))
    })
    const outcomes = await Effect.runPromise(Effect.all(runs, { concurrency: "unbounded" }))
    expect(outcomes.map(({ text }) => text !== "")).toEqual(Array.from({ length: 10 }, () => true))
    expect(most).toBe(1)
  })

  it("its server is started anew when it is killed, and ended with its scope", async () => {
    const host = await hostIn({ env: { HOME: process.env["HOME"] } })
    const scope = Scope.makeUnsafe()
    const executor = await Effect.runPromise(executors.mlx.make(mlxSettings, host).pipe(Scope.provide(scope)))
    const folder = await temporaryFolder()
    const run = () => Effect.runPromise(executor.run({ ...taskOf(1), body: "Hi", folder }, () => undefined))
    expect((await run()).text).not.toBe("")
    const [name = ""] = await readdir(host.guards)
    const { program } = JSON.parse(await readFile(join(host.guards, name), "utf8")) as GuardRecord
    const begun = Deferred.makeUnsafe<void>()
    const cut = Effect.runFork(
      Effect.flip(executor.run({ ...taskOf(2), body: prompt, folder }, () => Deferred.doneUnsafe(begun, Effect.void))),
    )
    await Effect.runPromise(Deferred.await(begun))
    process.kill(program?.pid ?? 0, "SIGKILL")
    expect(await Effect.runPromise(Fiber.join(cut))).toMatchObject({
      kind: expect.stringMatching(/retryable|unavailable/),
    })
    expect((await run()).text).not.toBe("")
    await Effect.runPromise(Scope.close(scope, Exit.void))
    expect(host.alive()).toEqual([])
    expect(await readdir(host.guards)).toEqual([])
  })

  it("a model that is not there is unavailable, with the server's own words", async () => {
    const host = await hostIn({ limits: { restartsMax: 1 }, env: { HOME: process.env["HOME"] } })
    const executor = await make("mlx", { ...mlxSettings, model: "/nowhere/model" }, host)
    const folder = await temporaryFolder()
    const error = await Effect.runPromise(Effect.flip(executor.run({ ...taskOf(1), folder }, () => undefined)))
    expect(error.kind).toBe("unavailable")
    expect(error.reason).toMatch(/^mlx …\/model: .+/)
  })
})
