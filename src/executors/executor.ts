/**
 * What does a command's work. This file owns the interface; each executor is a file of its own and a line in
 * `executors.ts`. An executor knows nothing of relays, journals or git refs: it is given a task and perhaps a folder, it
 * does the work there, and says in words what came of it. Whether that is believed is decided elsewhere (`attempt.ts`).
 *
 * X1: `run` ends in an outcome or in `ExecutorFailed`, never in anything untyped.
 * X2: interrupting `run` stops the work and all that it started, promptly: no process is left.
 * X3: nothing outside `task.folder` (and `<folder>.home`, which goes with it) is changed.
 * X4: runs of different tasks do not know of one another.
 * X5: an executor that says `resumable` can `recover`; the others cannot.
 */
import { Schema, type Effect } from "effect"

/** One attempt at one command by one wizard. */
export interface Task {
  /** The command's event id (for a gift wrap the rumor's), 64 lower-case hex digits. */
  readonly command: string
  /** The wizard's name in the roster. */
  readonly wizard: string
  /** The id of the root command; the command itself where it has no parent. */
  readonly trace: string
  /** 1 for the first attempt. */
  readonly attempt: number
  /** What was asked, without the mention that names the wizard. */
  readonly body: string
  /** Who asked: public key, lower-case hex. */
  readonly author: string
  /** The command's own date (`created_at`), unix seconds. */
  readonly createdAt: number
  readonly priority: "low" | "normal" | "high" | "urgent"
  /** Unix milliseconds. */
  readonly deadlineMs?: number
  /** The command that this one follows up, where it does. */
  readonly parent?: string
  /** Asks a person whether the executor may do this, and waits for the answer. Where it is left out nobody can be asked. */
  readonly permit?: (action: Action) => Promise<boolean>
  /** An absolute path: the clone that this attempt has to itself. There whenever the executor `needsClone`. */
  readonly folder?: string
}

/** Something that an executor wants to do and must ask for. */
export interface Action {
  readonly title: string
  /** Exactly what would be done; a permission is for this and nothing else. */
  readonly detail: string
}

/** What the work cost, as far as the executor can tell. */
export interface Cost {
  readonly tokensIn?: number
  readonly tokensOut?: number
  readonly seconds?: number
  /** In US dollars. */
  readonly money?: number
  /** A model's own figures: tokens a second while it reads and while it writes, its peak memory. */
  readonly tokensInPerSecond?: number
  readonly tokensOutPerSecond?: number
  readonly peakBytes?: number
}

export interface Outcome {
  /** The result's own words; the final answer opens with them. Never empty. */
  readonly text: string
  /** False: the executor says that there was nothing to change, so there is only text. Left out: look in the folder. */
  readonly changed?: boolean
  readonly cost?: Cost
}

/** A sign of life on the way. It may be dropped; no result depends on it. */
export interface Progress {
  readonly text: string
}

/**
 * What kinds of failure there are, and whether another attempt may help. `blind` is for those where nobody knows how far
 * it came: another attempt follows only where the executor says that it may be repeated.
 */
export const retries = {
  retryable: "yes",
  final: "no",
  /** What does the work could not be reached or started; nothing was done. */
  unavailable: "yes",
  /** No sign of life in time, at the start or on the way. */
  stalled: "blind",
  /** Longer than it may take in all. */
  late: "blind",
  /** It went beyond a bound on what it may use or write. */
  excess: "no",
  /** It said "done", and what it left does not bear that out. */
  unverified: "no",
} as const satisfies Record<string, "yes" | "no" | "blind">

export type FailureKind = keyof typeof retries
const FailureKind = Schema.Literals(Object.keys(retries) as FailureKind[])

export const mayRetry = (kind: FailureKind, repeat: Executor["repeat"]): boolean =>
  retries[kind] === "yes" || (retries[kind] === "blind" && repeat !== "never")

/** The work came to nothing. `reason` is for a person: what went wrong and what to do. */
export class ExecutorFailed extends Schema.TaggedError<ExecutorFailed>()("ExecutorFailed", {
  kind: FailureKind,
  reason: Schema.String,
}) {
  override get message(): string {
    return this.reason
  }
}

/** `ready` or not, and in `detail` why, or what answers (a version, a model), in one line. */
export interface Readiness {
  readonly ready: boolean
  readonly detail: string
}

export interface Executor {
  readonly name: string
  /** One line for people: its name, and what it can and cannot do. "note; no model attached" */
  readonly about: string
  /**
   * After a kill in the middle of `run`: `safe` is simply run again, `resumable` can take up its own traces,
   * `never` waits for a person.
   */
  readonly repeat: "safe" | "resumable" | "never"
  /** Whether its result is a commit: then `task.folder` is a clone, and what it leaves there is verified and claimed. */
  readonly needsClone: boolean
  /** Looks whether it could work now. Starts nothing and costs nothing. */
  readonly probe: () => Effect.Effect<Readiness>
  /** Does the work. Interruption aborts it (X2). `report` may be called any number of times until `run` ends. */
  readonly run: (task: Task, report: (progress: Progress) => void) => Effect.Effect<Outcome, ExecutorFailed>
  /** Goes on where an earlier attempt at the same command was lost; from the beginning where it left no traces. */
  readonly recover?: Executor["run"]
}
