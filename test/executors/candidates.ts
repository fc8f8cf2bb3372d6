/** One of each executor, ready to be tried, and the host that it is given. What is missing here does not compile. */
import { join } from "node:path"
import { Effect, Exit, Scope } from "effect"
import { onTestFinished } from "vitest"
import { executors, type ExecutorName } from "../../src/executors/executors.ts"
import type { Executor } from "../../src/executors/executor.ts"
import type { ExecutorHost } from "../../src/executors/kind.ts"
import { membersOf } from "../../src/executors/processes.ts"
import { limits, type Limits } from "../../src/limits.ts"
import { systemChance } from "../../src/services/chance.ts"
import { systemClock } from "../../src/services/clock.ts"
import { temporaryFolder } from "./workshop.ts"

export interface Candidate {
  readonly executor: Executor
  readonly body: string
  readonly host: TriedHost
}

export interface TriedHost extends ExecutorHost {
  /** Processes that live and were started under a guard of this host. */
  readonly alive: () => readonly number[]
  readonly warned: readonly string[]
}

/** A host in a folder of its own. */
export const hostIn = async (
  options: { readonly limits?: Partial<Limits>; readonly env?: ExecutorHost["env"] } = {},
): Promise<TriedHost> => {
  const home = await temporaryFolder()
  const marks: string[] = []
  const warned: string[] = []
  return {
    wizard: "timmy",
    guards: join(home, "guards"),
    outputs: join(home, "outputs"),
    state: join(home, "executors", "timmy"),
    clock: systemClock,
    chance: {
      ...systemChance,
      hex: (bytes) => {
        const hex = systemChance.hex(bytes)
        marks.push(hex)
        return hex
      },
    },
    limits: { ...limits, ...options.limits },
    env: { PATH: process.env["PATH"], ...options.env },
    warn: (message) => warned.push(message),
    alive: () => marks.flatMap((mark) => membersOf(undefined, mark)),
    warned,
  }
}

/** Made as the runtime makes it; what it holds is released when the test ends. */
export const make = async (name: ExecutorName, settings: unknown, host: ExecutorHost): Promise<Executor> => {
  const scope = Scope.makeUnsafe()
  onTestFinished(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return Effect.runPromise(executors[name].make(settings, host).pipe(Scope.provide(scope)))
}

const simple =
  (name: ExecutorName, settings: unknown, body = "research llama4 benchmarks") =>
  async (): Promise<Candidate> => {
    const host = await hostIn()
    return { executor: await make(name, settings, host), body, host }
  }

export const candidates = {
  note: simple("note", undefined),
  none: simple("none", undefined),
  program: simple("program", { command: ["sh", "-c", "echo begun; sleep 0.2; cat > result.txt; echo done"] }),
} satisfies Record<ExecutorName, () => Promise<Candidate>>
