/**
 * The real MLX and a real small model, as `infra/mlx/prepare.sh` makes them. Without them the tests that need them are
 * skipped and say so; with CI_REQUIRE_ALL=1 they fail.
 */
import { existsSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { Effect, Exit, Scope } from "effect"
import { afterAll } from "vitest"
import type { Executor } from "../../src/executors/executor.ts"
import { executors, type ExecutorName } from "../../src/executors/executors.ts"
import { openMlxServer } from "../../src/executors/mlx-server.ts"
import { hostIn, type TriedHost } from "./host.ts"

const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache")
const dir = process.env["TEST_MLX"] ?? join(cache, "wizardly-runtime", "mlx")

export const mlxMissing = !existsSync(join(dir, "model", "config.json"))
export const mlxWhy = mlxMissing ? " (skipped: no MLX here; bash infra/mlx/prepare.sh makes it)" : ""
if (mlxMissing && process.env["CI_REQUIRE_ALL"] === "1")
  throw new Error(`there is no MLX in ${dir}: bash infra/mlx/prepare.sh`)

/** Short, because two cores write a few tokens a second. */
export const mlxSettings = { model: join(dir, "model"), bin: join(dir, "bin"), maxTokens: 24, temperature: 0 }
export const prompt = "Write one sentence about the sea."

const scope = Scope.makeUnsafe()
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)), 60_000)

/** Made once for a file of tests, since a model takes its time to load; ended with the file. */
const once = <A>(make: () => Promise<A>): (() => Promise<A>) => {
  let made: Promise<A> | undefined
  return () => (made ??= make())
}

const opened = (name: ExecutorName, settings: object) =>
  once(async (): Promise<{ readonly executor: Executor; readonly host: TriedHost; readonly body: string }> => {
    const host = await hostIn({ keep: true, env: { HOME: process.env["HOME"] } })
    const executor = await Effect.runPromise(executors[name].make(settings, host).pipe(Scope.provide(scope)))
    return { executor, host, body: prompt }
  })

export const mlxServed = opened("mlx", mlxSettings)
export const mlxGenerated = opened("mlx", { ...mlxSettings, mode: "generate" })

/** The address of a real `mlx_lm.server`, up to `/v1`. */
export const mlxUrl = once(async () => {
  const host = await hostIn({ keep: true })
  const program = (port: number) => ({
    file: join(mlxSettings.bin, "mlx_lm.server"),
    args: ["--model", mlxSettings.model, "--port", String(port)],
    cwd: "/",
    env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "/" },
  })
  const server = await Effect.runPromise(openMlxServer("mlx", program, host).pipe(Scope.provide(scope)))
  return Effect.runPromise(server.use((url) => Effect.succeed(url)))
})

export const httpAsked = once(async () => {
  const url = await mlxUrl()
  return opened("http", { url, model: "default_model", maxTokens: 24, temperature: 0 })()
})
