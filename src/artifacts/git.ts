/**
 * Git, called as a program: no shell, an environment of our own, bounded in time and output.
 *
 * It refuses to be steered by what others wrote: no system or global configuration, no hooks, no fsmonitor, no replaced
 * or grafted objects, no prompt, no search for a repository in the folders above. Every object and ref that it writes is
 * flushed to the disk (git's own default flushes nothing).
 *
 * G1: an interrupted call returns only when its process is gone.
 * G2: git has a process group of its own: the terminal's Ctrl-C is meant for the runtime, which may let git finish. It is
 *     ended by its group, with all that it started: when interrupted, when its time is over, and when this process exits.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { Context, Effect, Schema } from "effect"
import { execa } from "execa"
import { limits as defaults, type Limits } from "../limits.ts"

/** The limits in force in this folder; the defaults where none are given (`openArtifacts` gives them). */
export const ArtifactLimits = Context.Reference<Limits>("wizardly/artifacts/ArtifactLimits", {
  defaultValue: () => defaults,
})

/** Git said no. `stderr` is its last words, cut. `exitCode` is -1 where a signal, the time or the size ended it. */
export class GitFailed extends Schema.TaggedError<GitFailed>()("GitFailed", {
  args: Schema.Array(Schema.String),
  exitCode: Schema.Number,
  stderr: Schema.String,
}) {
  override get message(): string {
    return `git ${this.args[0] ?? ""} failed (exit ${this.exitCode}): ${this.stderr}`
  }
}

/** There is no git, or one that cannot do what is needed. */
export class GitMissing extends Schema.TaggedError<GitMissing>()("GitMissing", { found: Schema.String }) {
  override get message(): string {
    return `git ${versionMin.join(".")} or newer is needed and ${this.found}: install it (apt install git, brew install git) and see that it is on the PATH`
  }
}

export interface GitOptions {
  readonly input?: string
  /** Whose name commits bear; a wizard's. */
  readonly as?: string
  /** The date that commits bear, unix milliseconds. */
  readonly atMs?: number
  /** For `init` and `clone`, which begin outside any repository. */
  readonly outside?: boolean
}

/** Runs git in the repository at `cwd` itself (never one above it); gives what it wrote. */
export const gitBytes = (
  cwd: string,
  args: readonly string[],
  options: GitOptions = {},
): Effect.Effect<Buffer, GitFailed | GitMissing> =>
  Effect.flatMap(ArtifactLimits, (limits) =>
    Effect.callback((resume) => {
      const child = start(cwd, args, options, limits)
      void child.then((result) => {
        if (!result.failed) return resume(Effect.succeed(Buffer.from(result.stdout)))
        if (result.code === "ENOENT" && existsSync(cwd))
          return resume(Effect.fail(new GitMissing({ found: "none is installed" })))
        resume(Effect.fail(new GitFailed({ args, exitCode: result.exitCode ?? -1, stderr: lastWords(result, limits) })))
      })
      return Effect.promise(async () => {
        child.kill()
        await child
      })
    }),
  )

/** The same as text, without the newline at its end. */
export const git = (
  cwd: string,
  args: readonly string[],
  options?: GitOptions,
): Effect.Effect<string, GitFailed | GitMissing> =>
  gitBytes(cwd, args, options).pipe(Effect.map((bytes) => bytes.toString("utf8").replace(/\n$/, "")))

/** For calls that answer by their exit code: 0 is yes, 1 is no, all else is a failure. */
export const gitAnswers = (cwd: string, args: readonly string[]): Effect.Effect<boolean, GitFailed | GitMissing> =>
  gitBytes(cwd, args).pipe(
    Effect.as(true),
    Effect.catchTag("GitFailed", (error) => (error.exitCode === 1 ? Effect.succeed(false) : Effect.fail(error))),
  )

/** Git's version, as "2.39.5". Fails with GitMissing where it is older than `core.fsync` and `merge-tree --write-tree`. */
export const gitVersion = (): Effect.Effect<string, GitFailed | GitMissing> =>
  git(process.cwd(), ["version"], { outside: true }).pipe(
    Effect.flatMap((line) => {
      const [, text, major, minor] = /(?<whole>(\d+)\.(\d+)[\d.]*)/.exec(line) ?? []
      const [majorMin, minorMin] = versionMin
      const enough = Number(major) > majorMin || (Number(major) === majorMin && Number(minor) >= minorMin)
      return enough ? Effect.succeed(text ?? line) : Effect.fail(new GitMissing({ found: `this is "${line}"` }))
    }),
  )

const versionMin = [2, 38] as const

const settings = Object.entries({
  "core.fsync": "committed,loose-object,reference",
  "core.hooksPath": "/dev/null",
  "core.fsmonitor": "",
  "core.attributesFile": "/dev/null",
  "core.excludesFile": "/dev/null",
  "core.commitGraph": "false",
  "commit.gpgSign": "false",
  "merge.autoStash": "false",
  "merge.verifySignatures": "false",
  "submodule.recurse": "false",
  "fetch.fsckObjects": "true",
  "protocol.version": "2",
  "gc.auto": "0",
  "maintenance.auto": "false",
}).flatMap(([name, value]) => ["-c", `${name}=${value}`])

const start = (cwd: string, args: readonly string[], options: GitOptions, limits: Limits) => {
  const name = options.as ?? "wizardly"
  const date = options.atMs === undefined ? undefined : `${Math.floor(options.atMs / 1000)} +0000`
  const identity = ["-c", `user.name=${name}`, "-c", `user.email=${name}@wizardly.invalid`]
  return execa("git", [...settings, ...identity, ...args], {
    cwd,
    extendEnv: false,
    env: {
      PATH: process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin",
      HOME: "/nonexistent",
      LANG: "C.UTF-8",
      LC_ALL: "C",
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_ATTR_NOSYSTEM: "1",
      GIT_TERMINAL_PROMPT: "0",
      GIT_OPTIONAL_LOCKS: "0",
      GIT_NO_REPLACE_OBJECTS: "1",
      GIT_GRAFT_FILE: "/dev/null",
      ...(options.outside === true ? {} : { GIT_DIR: join(cwd, ".git") }),
      ...(date === undefined ? {} : { GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date }),
    },
    ...(options.input === undefined ? { stdin: "ignore" as const } : { input: options.input }),
    encoding: "buffer",
    stripFinalNewline: false,
    maxBuffer: limits.gitBytesMax,
    timeout: limits.gitMsMax,
    killDescendants: true,
    reject: false,
  })
}

const stderrCharsMax = 500

interface Ended {
  readonly timedOut: boolean
  readonly isMaxBuffer: boolean
  readonly stderr: Uint8Array | undefined
  readonly signal?: string | undefined
  readonly code?: string | undefined
}

/** Never the command line: it is ours, long, and tells paths. */
const lastWords = (result: Ended, limits: Limits): string => {
  if (result.timedOut) return `took longer than ${limits.gitMsMax / 1000} s`
  if (result.isMaxBuffer) return `wrote more than ${limits.gitBytesMax} bytes`
  const text = Buffer.from(result.stderr ?? [])
    .toString("utf8")
    .trim()
  if (text !== "") return text.slice(-stderrCharsMax)
  if (result.signal !== undefined) return `ended by ${result.signal}`
  return result.code === undefined ? "no reason given" : `could not be run (${result.code})`
}
