/** A program from its start to its end: input on stdin, output bounded, ended with all it started when interrupted. */
import { join } from "node:path"
import { Effect } from "effect"
import { capture, type Captured } from "./capture.ts"
import type { ExecutorFailed } from "./executor.ts"
import { startGuarded, type Ended, type Program } from "./guarded.ts"
import type { ExecutorHost } from "./kind.ts"

export interface RunOptions {
  readonly input?: string
  /** Names the file of a long output. */
  readonly label: string
  readonly onOutput?: (chunk: Buffer) => void
}

export interface Ran extends Ended {
  readonly stdout: Captured
  readonly stderr: Captured
}

export const runProgram = (
  program: Program,
  host: Pick<ExecutorHost, "guards" | "outputs" | "clock" | "chance" | "limits">,
  options: RunOptions,
): Effect.Effect<Ran, ExecutorFailed> =>
  Effect.gen(function* () {
    const guarded = yield* startGuarded(program, host)
    guarded.stdin.end(options.input ?? "")
    const bounds = (stream: string) => ({
      keptBytesMax: host.limits.executorKeptBytesMax,
      bytesMax: host.limits.executorOutputBytesMax,
      file: join(host.outputs, `${options.label}.${stream}`),
      ...(options.onOutput !== undefined && { onData: options.onOutput }),
    })
    const [stdout, stderr, ended] = yield* Effect.all(
      [capture(guarded.stdout, bounds("out")), capture(guarded.stderr, bounds("err")), guarded.ended],
      { concurrency: "unbounded" },
    )
    return { ...ended, stdout, stderr }
  }).pipe(Effect.scoped)

/** How it ended, for a person; its last words are the end of what it wrote to stderr, or else to stdout. */
export const endOf = ({ exitCode, signal, stdout, stderr }: Ran): string => {
  const how = signal === null ? `ended with ${exitCode}` : `was ended by ${signal}`
  const words = (stderr.text.trim() === "" ? stdout : stderr).text.trim().slice(-lastWordsCharsMax)
  return words === "" ? how : `${how}: ${words}`
}

const lastWordsCharsMax = 500
