/**
 * One attempt, from its begin to a result that is believed.
 *
 *   claim found? ──yes──────────────────────────────────────────┐
 *       no                                                      ▼
 *   clone → run → commit what was left → verify → check → claim → integrate → remove the clone → result
 *
 * A1: the claim is looked for before anything is run, so an attempt that was killed after its claim is not made again.
 * A2: run it twice, or kill it anywhere and run it again: one command has one claimed commit.
 * A3: what the executor says is not believed; only a verified commit is, and only when the role's checks succeed on it.
 *     Where it says that there was nothing to change and left nothing, its words are the result, and are committed as a
 *     report.
 * A4: interrupted, it leaves no clone and no process of its own. From the claim on it is not interrupted any more.
 * A5: where nobody knows how far it came, there is another attempt only if the executor may be repeated.
 */
import { mkdir, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { Cause, Effect } from "effect"
import type { ArtifactFault, Artifacts } from "../artifacts/artifacts.ts"
import type { Clone } from "../artifacts/clone.ts"
import type { Description } from "../artifacts/describe.ts"
import type { Check } from "./checks.ts"
import {
  ExecutorFailed,
  mayRetry,
  type Cost,
  type Executor,
  type Outcome,
  type Progress,
  type Task,
} from "./executor.ts"
import { contentOf, pathOf } from "./report.ts"
import { toldOf } from "./told.ts"

export interface AttemptArtifact extends Description {
  /** `main`, or the claim's ref where the commit could not be brought into it. */
  readonly branch: string
  /** The artifacts folder's name. */
  readonly repo: string
}

export interface AttemptResult {
  /** The result's own words. */
  readonly text: string
  /** There whenever the executor made a commit. */
  readonly artifact?: AttemptArtifact
  readonly cost?: Cost
}

export interface Attempt {
  readonly executor: Executor
  /** Its folder is given by the attempt. */
  readonly task: Omit<Task, "folder">
  /** May be left out for executors that need no clone. */
  readonly artifacts: Artifacts | undefined
  readonly report: (progress: Progress) => void
  /** What the role demands of a result that is a commit. */
  readonly check?: Check | undefined
}

/** Fails with what a person may read, and whether another attempt could help; never otherwise. */
export const runAttempt = (attempt: Attempt): Effect.Effect<AttemptResult, ExecutorFailed> => {
  const { executor, artifacts } = attempt
  if (!executor.needsClone)
    return run(attempt, attempt.task).pipe(
      Effect.map(({ text, cost }) => (cost === undefined ? { text } : { text, cost })),
    )
  if (artifacts === undefined)
    return Effect.die(new Error(`${executor.name} needs a clone, and there are no artifacts`))
  return withClone({ ...attempt, artifacts }).pipe(
    Effect.catchTags({ Unverified: unverified, GitMissing: final, GitFailed: again, FolderFailed: again }),
  )
}

const unverified = (error: ArtifactFault) =>
  Effect.fail(new ExecutorFailed({ kind: "unverified", reason: toldOf(error) }))
const final = (error: ArtifactFault) => Effect.fail(new ExecutorFailed({ kind: "final", reason: toldOf(error) }))
const again = (error: ArtifactFault) => Effect.fail(new ExecutorFailed({ kind: "retryable", reason: toldOf(error) }))

interface CloneAttempt extends Attempt {
  readonly artifacts: Artifacts
}

const withClone = Effect.fnUntraced(function* (
  attempt: CloneAttempt,
): Effect.fn.Return<AttemptResult, ExecutorFailed | ArtifactFault> {
  const { artifacts, task } = attempt
  const found = yield* artifacts.findClaim(task)
  if (found !== undefined) return yield* recovered(attempt, found).pipe(Effect.tap(() => artifacts.remove(task)))
  // A clone that cannot be removed now is removed by the next attempt or the next start.
  return yield* Effect.gen(function* () {
    const clone = yield* artifacts.prepare(task)
    const outcome = yield* run(attempt, { ...attempt.task, folder: clone.folder })
    return yield* resultOf(attempt, clone, outcome)
  }).pipe(Effect.onExit(() => artifacts.remove(task).pipe(Effect.ignore)))
})

/** A defect in an executor is that executor's failure, not ours. */
const run = ({ executor, report }: Attempt, task: Task): Effect.Effect<Outcome, ExecutorFailed> =>
  Effect.suspend(() =>
    task.attempt > 1 && executor.recover !== undefined ? executor.recover(task, report) : executor.run(task, report),
  ).pipe(
    Effect.catchDefect((defect) =>
      Effect.fail(
        new ExecutorFailed({
          kind: "final",
          reason: `${executor.name} broke: ${Cause.pretty(Cause.die(defect)).split("\n")[0]}`,
        }),
      ),
    ),
    // A5.
    Effect.mapError(({ kind, reason }) =>
      mayRetry(kind, executor.repeat)
        ? new ExecutorFailed({ kind: "retryable", reason })
        : new ExecutorFailed({ kind: kind === "retryable" ? "final" : kind, reason }),
    ),
  )

/** A3. */
const resultOf = Effect.fnUntraced(function* (
  attempt: CloneAttempt,
  clone: Clone,
  outcome: Outcome,
): Effect.fn.Return<AttemptResult, ArtifactFault | ExecutorFailed> {
  const { artifacts, executor, task } = attempt
  const state = yield* artifacts.inspect(clone)
  const untouched = state.head === clone.base && state.dirty.length === 0
  const cost = outcome.cost === undefined ? {} : { cost: outcome.cost }
  const isAnswer = untouched && outcome.changed === false
  if (isAnswer) yield* writeReport(attempt, clone.folder, outcome)
  const commitsItself = !isAnswer && (state.head !== clone.base || untouched)
  const commit = commitsItself
    ? state.head
    : yield* artifacts.commit(clone, `${executor.name}: ${task.body}`, outcome.text)
  yield* artifacts.verify(clone, commit)
  if (attempt.check !== undefined) {
    yield* attempt.check(clone.folder, `${task.command.slice(0, 8)}-${task.wizard}-${task.attempt}`)
    // The checks ran what the executor wrote.
    yield* artifacts.inspect(clone)
  }
  const description = yield* artifacts.describe(clone.folder, commit, clone.base)
  return yield* Effect.uninterruptible(
    Effect.gen(function* () {
      const claim = yield* artifacts.claim(clone, commit)
      if (claim.claimed === "before") return yield* recovered(attempt, claim.commit)
      return { text: outcome.text, artifact: yield* integrated(attempt, description), ...cost }
    }),
  )
})

const writeReport = ({ executor, task }: Attempt, folder: string, outcome: Outcome) =>
  Effect.tryPromise({
    try: async () => {
      const file = join(folder, pathOf(task))
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, contentOf(task, executor.name, outcome), { flag: "wx" })
    },
    catch: (error) =>
      new ExecutorFailed({ kind: "retryable", reason: `its report cannot be written (${toldOf(error)})` }),
  })

/** A1. */
const recovered = Effect.fnUntraced(function* (
  attempt: CloneAttempt,
  commit: string,
): Effect.fn.Return<AttemptResult, ArtifactFault> {
  const { artifacts } = attempt
  const text = yield* artifacts.textOf(commit)
  const description = yield* artifacts.describe(artifacts.repository.dir, commit)
  return { text, artifact: yield* integrated(attempt, description) }
})

const integrated = (attempt: CloneAttempt, description: Description): Effect.Effect<AttemptArtifact, ArtifactFault> =>
  attempt.artifacts.integrate(description.commit).pipe(
    Effect.map((integration) => ({
      ...description,
      branch: integration.integrated ? "main" : attempt.artifacts.claimRef(attempt.task),
      repo: attempt.artifacts.repository.name,
    })),
  )
