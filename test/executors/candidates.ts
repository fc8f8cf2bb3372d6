/** One of each executor, ready to be tried. What is missing here does not compile. */
import { Effect, Exit, Scope } from "effect"
import { onTestFinished } from "vitest"
import { executors, type ExecutorName } from "../../src/executors/executors.ts"
import type { Executor } from "../../src/executors/executor.ts"
import type { ExecutorHost } from "../../src/executors/kind.ts"
import { agentSettings } from "./acp-home.ts"
import { hostIn, type TriedHost } from "./host.ts"
import { httpAsked, mlxMissing, mlxServed } from "./mlx-home.ts"

export interface Candidate {
  readonly executor: Executor
  readonly body: string
  readonly host: TriedHost
}

export interface Trial {
  readonly make: () => Promise<Candidate>
  /** It asks a real model. */
  readonly isSlow?: boolean
  readonly isMissing?: boolean
}

/** Made as the runtime makes it; what it holds is released when the test ends. */
export const make = async (name: ExecutorName, settings: unknown, host: ExecutorHost): Promise<Executor> => {
  const scope = Scope.makeUnsafe()
  onTestFinished(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return Effect.runPromise(executors[name].make(settings, host).pipe(Scope.provide(scope)))
}

const simple = (name: ExecutorName, settings: unknown, body = "research llama4 benchmarks"): Trial => ({
  make: async () => {
    const host = await hostIn()
    return { executor: await make(name, settings, host), body, host }
  },
})

const asked = (made: () => Promise<Candidate>): Trial => ({ make: made, isSlow: true, isMissing: mlxMissing })

export const candidates = {
  note: simple("note", undefined),
  none: simple("none", undefined),
  program: simple("program", { command: ["sh", "-c", "echo begun; sleep 0.2; cat > result.txt; echo done"] }),
  acp: simple("acp", { ...agentSettings, repeat: "resumable" }, "say begun\nwrite a.txt done\nsay written"),
  mlx: asked(mlxServed),
  http: asked(httpAsked),
} satisfies Record<ExecutorName, Trial>
