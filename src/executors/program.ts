/**
 * Any program: an argv of its own, never a shell; what was asked comes on its stdin, what it changed in the clone is the
 * result, and what it wrote to stdout are the result's words.
 *
 *   "claude": { "executor": "program", "settings": { "command": ["my-agent", "--quiet"], "env": ["MY_AGENT_KEY"] } }
 *
 * PR1: what was asked is never part of the command line, so it cannot be taken for an option, and is in no process table.
 * PR2: it is confined (`sandbox.ts`), guarded (`guard.ts`), timed, and bounded in memory, files and output.
 * PR3: an exit code other than 0 is a failure, with its last words.
 */
import { Effect, Schema } from "effect"
import { sweepOutputs } from "./capture.ts"
import { ExecutorFailed, type Executor, type Task } from "./executor.ts"
import { ExecutorRefused, kindOf, type ExecutorHost } from "./kind.ts"
import { endOf, runProgram } from "./run-program.ts"
import { confinementFields, openSandbox } from "./sandbox.ts"
import { withTimers } from "./timers.ts"

const PositiveNumber = Schema.Finite.check(Schema.isGreaterThan(0))

const Settings = Schema.Struct({
  ...confinementFields,
  /** The program and its arguments. `{command}`, `{wizard}`, `{attempt}` and `{folder}` are filled in. */
  command: Schema.NonEmptyArray(Schema.String),
  /** What becomes of an attempt that was killed; without a word, a person decides. */
  repeat: Schema.optionalKey(Schema.Literals(["safe", "never"])),
  /** Whether its words alone may be the result, where it changed no file. */
  answers: Schema.optionalKey(Schema.Boolean),
  coldSeconds: Schema.optionalKey(PositiveNumber),
  quietSeconds: Schema.optionalKey(PositiveNumber),
  seconds: Schema.optionalKey(PositiveNumber),
})
type Settings = typeof Settings.Type

export const program = kindOf("program", Settings, (settings, host) => open(settings, host))

const open = Effect.fnUntraced(function* (
  settings: Settings,
  host: ExecutorHost,
): Effect.fn.Return<Executor, ExecutorRefused> {
  const missing = (settings.env ?? []).filter((name) => host.env[name] === undefined)
  if (missing.length > 0)
    return yield* new ExecutorRefused({
      reason: `${host.wizard}: its executor is to have ${missing.join(", ")}, and the environment has no such variable`,
    })
  const sandbox = yield* openSandbox(settings, host)
  yield* sweepOutputs(host.outputs, host.limits.executorOutputKeepSeconds, host.clock)
  const { limits, clock } = host
  const [name] = settings.command
  const about = `program; runs ${name} (${sandbox.name}${settings.network === true ? ", with the network" : ""})`
  const timers = {
    coldSeconds: settings.coldSeconds ?? settings.quietSeconds ?? limits.executorQuietSecondsMax,
    quietSeconds: settings.quietSeconds ?? limits.executorQuietSecondsMax,
    totalSeconds: settings.seconds ?? limits.executorSecondsMax,
  }
  const work = (task: Task, folder: string, alive: () => void) =>
    Effect.gen(function* () {
      const [file, ...args] = settings.command
      const filled = args.map((arg) => fill(arg, task, folder))
      const confined = yield* sandbox.confine([file, ...filled], folder)
      const ran = yield* runProgram(confined, host, {
        input: task.body,
        label: `${task.command.slice(0, 8)}-${task.wizard}-${task.attempt}`,
        onOutput: alive,
      })
      if (ran.exitCode !== 0) return yield* new ExecutorFailed({ kind: "final", reason: `${name} ${endOf(ran)}` })
      return ran.stdout.text.trim()
    })
  return {
    name: "program",
    about,
    repeat: settings.repeat ?? "never",
    needsClone: true,
    probe: () => Effect.succeed({ ready: true, detail: about }),
    run: Effect.fnUntraced(function* (task, report) {
      const { folder } = task
      if (folder === undefined)
        return yield* new ExecutorFailed({ kind: "final", reason: "program: no folder to work in" })
      const begunMs = clock.nowMs()
      const words = yield* withTimers(timers, clock, name, (alive) =>
        work(task, folder, () => {
          alive()
          report({ text: `${name} is at work` })
        }),
      )
      const cost = { seconds: (clock.nowMs() - begunMs) / 1000 }
      if (words !== "") return { text: words, cost, ...(settings.answers === true && { changed: false }) }
      return { text: `${name} ended well and said nothing.`, cost }
    }),
  }
})

/** PR1: names of the runtime's own making only, never what was asked. */
const fill = (arg: string, task: Task, folder: string): string =>
  arg.replaceAll(/\{(command|wizard|attempt|folder)\}/g, (_, name: "command" | "wizard" | "attempt" | "folder") =>
    name === "folder" ? folder : String(task[name]),
  )
