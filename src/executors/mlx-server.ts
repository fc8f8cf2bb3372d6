/**
 * `mlx_lm.server` as a supervised server (`machines/model-server.ts`): one process that keeps the model in memory, on a
 * port of its own on loopback, and under a guard.
 */
import { createServer } from "node:net"
import { Effect, Exit, Scope } from "effect"
import { runModelServer, type ModelServerActor, type ServerProcess } from "../../actors/model-server.ts"
import { ExecutorFailed } from "./executor.ts"
import { startGuarded, type Program } from "./guarded.ts"
import type { ExecutorHost } from "./kind.ts"

export interface MlxServer extends Pick<ModelServerActor<Served>, "status" | "hang"> {
  /** Waits until it answers, and runs the work with its address (up to `/v1`). */
  readonly use: <A>(work: (url: string) => Effect.Effect<A, ExecutorFailed>) => Effect.Effect<A, ExecutorFailed>
}

interface Served extends ServerProcess {
  readonly url: () => string
}

/** Starts it; it is ended with the scope. `programFor` gives the program that serves on that port. */
export const openMlxServer = (
  name: string,
  programFor: (port: number) => Program,
  host: ExecutorHost,
): Effect.Effect<MlxServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const { clock, limits } = host
      return runModelServer({
        clock,
        canaryMsMax: limits.modelCanarySecondsMax * 1000,
        bounds: {
          coldMs: limits.executorColdSecondsMax * 1000,
          canaryMs: limits.modelCanarySeconds * 1000,
          restartsMax: limits.restartsMax,
          restartWindowMs: limits.modelRestartWindowSeconds * 1000,
          restartMsMin: limits.restartMsMin,
          restartMsMax: limits.restartMsMax,
        },
        launch: () => launch(name, programFor, host),
      })
    }),
    (server) => Effect.promise(server.close),
  ).pipe(
    Effect.map((server) => ({
      status: server.status,
      hang: server.hang,
      use: (work) =>
        Effect.tryPromise({
          try: (signal) => server.ready(signal),
          catch: (error) => new ExecutorFailed({ kind: "unavailable", reason: `${name}: ${(error as Error).message}` }),
        }).pipe(
          Effect.flatMap((process) =>
            Effect.acquireUseRelease(
              Effect.sync(server.begin),
              () => work(process.url()),
              () => Effect.sync(server.done),
            ),
          ),
          Effect.tapError((error) =>
            Effect.sync(() => {
              if (["stalled", "late", "unavailable"].includes(error.kind)) server.hang(error.reason)
            }),
          ),
          // It ended just before it was asked, and nobody had told yet: asked once more when it is up again.
          Effect.retry({
            times: 1,
            while: ({ kind }) => kind === "unavailable" && server.status().state !== "stopped",
          }),
        ),
    })),
  )

const launch = (name: string, programFor: (port: number) => Program, host: ExecutorHost): Served => {
  const scope = Scope.makeUnsafe()
  const close = (): Promise<void> => Effect.runPromise(Scope.close(scope, Exit.void))
  let url = ""
  let words = ""
  let isWanted = true
  const hear = (chunk: Buffer): void => void (words = (words + chunk.toString("utf8")).slice(-wordsCharsMax))
  const run = async (): Promise<string> => {
    const port = await freePort()
    // Ended before it was begun.
    if (!isWanted) return "it was ended"
    const guarded = await Effect.runPromise(startGuarded(programFor(port), host).pipe(Scope.provide(scope)))
    guarded.stdin.end()
    guarded.stdout.on("data", hear)
    guarded.stderr.on("data", hear)
    url = `http://127.0.0.1:${port}/v1`
    if (!isWanted) void close()
    const { exitCode, signal } = await Effect.runPromise(guarded.ended)
    const last = words.trim().split("\n").at(-1) ?? ""
    return `${name} ended (${signal ?? exitCode})${last === "" ? "" : `: ${last}`}`
  }
  const exited = run()
    .catch((error: unknown) => (error as Error).message)
    .finally(close)
  return {
    url: () => url,
    exited,
    kill: () => {
      isWanted = false
      void close()
    },
    answers: async (signal) => {
      if (url === "") throw new Error("it has no address yet")
      const response = await fetch(`${url}/chat/completions`, {
        method: "POST",
        signal,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "default_model", max_tokens: 1, messages: [{ role: "user", content: "." }] }),
      })
      const said = await response.text()
      return response.ok ? undefined : `${name} answers ${response.status}: ${said.slice(0, wordsCharsMax)}`
    },
  }
}

/** Another may take it in between; then the server ends, and is started on another. */
const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const wordsCharsMax = 2_000
