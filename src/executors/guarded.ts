/**
 * A program under its guard (`guard.ts`), as a scoped thing: closing the scope ends it and all that it started, and
 * waits until that is so.
 *
 * U1: nothing of the runtime's environment reaches it but what is named.
 * U2: when the scope is closed nothing of it is alive, also where the guard itself was killed.
 * U3: `sweepGuards` ends what an earlier life left, and returns when it is gone; a pid that is somebody else's by now is
 *     left alone.
 */
import { mkdir, readdir, readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { PassThrough, type Readable, type Writable } from "node:stream"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import { execa } from "execa"
import type { ChanceShape } from "../services/chance.ts"
import { sleep, type ClockShape } from "../services/clock.ts"
import { ExecutorFailed } from "./executor.ts"
import type { GuardOrder, GuardRecord, GuardWord } from "./guard.ts"
import { isAlive, killAll } from "./processes.ts"
import { toldOf } from "./told.ts"

export interface Program {
  readonly file: string
  readonly args: readonly string[]
  readonly cwd: string
  /** U1: all of it. */
  readonly env: Readonly<Record<string, string>>
}

export interface GuardHost {
  /** Where records of what runs lie; one folder for each runtime. */
  readonly guards: string
  readonly clock: ClockShape
  readonly chance: Pick<ChanceShape, "hex">
  readonly limits: { readonly executorGraceMs: number }
}

export interface Ended {
  readonly exitCode: number | null
  readonly signal: string | null
}

export interface Guarded {
  /** The program's; it leads a group of its own. */
  readonly pid: number
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  /** When it has ended and nothing of it is left. Fails where it could not be run. */
  readonly ended: Effect.Effect<Ended, ExecutorFailed>
}

/** Starts it. Fails with `unavailable` where the program cannot be run. */
export const startGuarded = (program: Program, host: GuardHost): Effect.Effect<Guarded, ExecutorFailed, Scope.Scope> =>
  Effect.acquireRelease(open(program, host), ({ close }) => Effect.promise(close)).pipe(
    Effect.flatMap(({ guarded }) => guarded),
  )

const guardProgram = fileURLToPath(
  // The compiler renames imports, but no addresses.
  new URL(import.meta.url.endsWith(".ts") ? "./guard.ts" : "./guard.js", import.meta.url),
)

const open = (program: Program, host: GuardHost) =>
  Effect.promise(async () => {
    await mkdir(host.guards, { recursive: true, mode: 0o700 })
    const mark = host.chance.hex(16)
    const record = join(host.guards, `${mark}.json`)
    const child = execa(process.execPath, [guardProgram], {
      ipc: true,
      buffer: false,
      reject: false,
      extendEnv: false,
      env: {},
      // A Ctrl-C in the terminal is for the runtime.
      detached: true,
      cleanup: false,
      stdio: ["pipe", "pipe", "pipe"],
    })
    const guard = child.nodeChildProcess
    // Whoever reads or writes hears of the end by the streams' own ends.
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.on("error", () => undefined)
    // Read from the first moment: Node throws away what nobody reads when a process ends.
    const stdout = child.stdout.pipe(new PassThrough())
    const stderr = child.stderr.pipe(new PassThrough())
    const started = Promise.withResolvers<number>()
    const ended = Promise.withResolvers<Ended>()
    for (const { promise } of [started, ended] as const) void promise.catch(() => undefined)
    const fail = (reason: string): void => {
      const error = new ExecutorFailed({ kind: "unavailable", reason })
      started.reject(error)
      ended.reject(error)
    }
    guard.on("message", (message) => {
      const word = message as GuardWord
      if (word.type === "started") started.resolve(word.pid)
      else if (word.type === "ended") ended.resolve({ exitCode: word.exitCode, signal: word.signal })
      else fail(`${nameOf(program)} cannot be run (${toldOf(word.reason)})`)
    })
    // Not when its pipes close: if the guard is killed, the program still holds them.
    const exited = new Promise((resolve) => void guard.once("exit", resolve))
    const gone = exited.then(async () => {
      // U2: without a last word the guard was killed, and what it guarded may live.
      await sweepOne(record, host)
      fail(`${nameOf(program)}: its guard was killed`)
    })
    const order: GuardOrder = { ...program, mark, record, graceMs: host.limits.executorGraceMs }
    guard.send(order, (error) => {
      if (error !== null) child.kill()
    })
    const of = <A>(promise: Promise<A>) =>
      Effect.tryPromise({ try: () => promise, catch: (error) => error as ExecutorFailed })
    return {
      guarded: Effect.map(of(started.promise), (pid): Guarded => ({
        pid,
        stdin: child.stdin,
        stdout,
        stderr,
        ended: of(ended.promise),
      })),
      close: async () => {
        if (guard.connected) guard.disconnect()
        await gone
      },
    }
  })

const nameOf = ({ file }: Program): string => toldOf(file)

/** U3. */
export const sweepGuards = (host: GuardHost): Effect.Effect<void> =>
  Effect.promise(async () => {
    const names = await readdir(host.guards).catch((): string[] => [])
    await Promise.all(names.map((name) => sweepOne(join(host.guards, name), host)))
  })

const sweepOne = async (path: string, host: GuardHost): Promise<void> => {
  const record = await recordIn(path)
  if (record !== undefined) {
    // It sees the end of its runtime by itself; it is given that time.
    const until = host.clock.nowMs() + 2 * host.limits.executorGraceMs
    while (isAlive(record.guard) && host.clock.nowMs() < until) await sleep(host.clock, 20)
    if (isAlive(record.guard)) process.kill(record.guard.pid, "SIGKILL")
    const program = record.program !== undefined && isAlive(record.program) ? record.program.pid : undefined
    await killAll(program, record.mark)
  }
  await rm(path, { force: true })
}

/** A half-written one is of a guard that had not begun anything. */
const recordIn = async (path: string): Promise<GuardRecord | undefined> => {
  try {
    return JSON.parse(await readFile(path, "utf8")) as GuardRecord
  } catch {
    return undefined
  }
}
