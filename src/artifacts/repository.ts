/**
 * A wizard's artifacts repository: made where it is absent, opened where it is there. Not bare, so that a person finds
 * the files in the folder; branch `main`; one root commit with a README.
 *
 * It is made beside its place and moved there whole, so a half-made one is never opened.
 *
 * R1: a folder that is neither empty nor a repository of its own is refused and left as it is.
 * R2: one caller of this process at a time works in a repository (`alone`); git's own locks would make the others fail.
 * R3: only an opening removes locks, because the home's lock says that no other runtime is here. A git process of a
 *     killed runtime may still live for a moment, so a lock is first given time to go by itself.
 */
import { mkdir, mkdtemp, open, readdir, realpath, rename, rm, stat, writeFile } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"
import { Effect, Schema, Semaphore } from "effect"
import { sleep, type ClockShape } from "../services/clock.ts"
import { inFolder, removeFolder, type FolderFailed } from "./folder.ts"
import { ArtifactLimits, git, gitAnswers, gitVersion, type GitFailed, type GitMissing } from "./git.ts"

/** This folder cannot be the artifacts repository. Says what to do. */
export class RepositoryRefused extends Schema.TaggedError<RepositoryRefused>()("RepositoryRefused", {
  dir: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `${this.dir} ${this.reason}`
  }
}

export type GitFault = GitFailed | GitMissing | FolderFailed

export interface Repository {
  /** Absolute. */
  readonly dir: string
  /** The folder's own name; what others are told, since a path tells too much. */
  readonly name: string
  readonly wizard: string
  /** R2. */
  readonly alone: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export interface OpenOptions {
  readonly dir: string
  readonly wizard: string
  readonly clock: ClockShape
}

export const openRepository = Effect.fnUntraced(function* (
  options: OpenOptions,
): Effect.fn.Return<Repository, RepositoryRefused | GitFault> {
  yield* gitVersion()
  const asked = resolve(options.dir)
  // A link to the place where it really is stays a link.
  const dir = yield* Effect.promise(() => realpath(asked).catch(() => asked))
  const repository = { dir, name: basename(asked), wizard: options.wizard, alone: mutexOf(dir).withPermit }
  return yield* repository.alone(
    Effect.gen(function* () {
      yield* sweepUnfinished(dir)
      if ((yield* contentOf(dir)) === "nothing") yield* make(repository, options.clock.nowMs())
      yield* sweepLocks(dir, options.clock)
      yield* check(dir)
      return repository
    }),
  )
})

const mutexes = new Map<string, Semaphore.Semaphore>()

const mutexOf = (dir: string): Semaphore.Semaphore => {
  const mutex = mutexes.get(dir) ?? Semaphore.makeUnsafe(1)
  mutexes.set(dir, mutex)
  return mutex
}

const contentOf = Effect.fnUntraced(function* (dir: string) {
  const names = yield* inFolder(dir, () =>
    readdir(dir).catch((error: NodeJS.ErrnoException): readonly string[] => {
      if (error.code === "ENOENT") return []
      throw error
    }),
  )
  if (names.length === 0) return "nothing"
  if (names.includes(".git")) return "repository"
  const reason = "holds files and is no git repository: name another folder for the artifacts, or empty this one"
  return yield* new RepositoryRefused({ dir, reason })
})

const make = Effect.fnUntraced(function* (repository: Repository, atMs: number) {
  const { dir, wizard } = repository
  const unfinished = yield* inFolder(dir, async () => {
    await mkdir(dirname(dir), { recursive: true })
    return mkdtemp(`${dir}${unfinishedMark}`)
  })
  yield* git(unfinished, ["init", "--quiet", "--initial-branch=main", "--template=", "."], { outside: true })
  yield* inFolder(dir, () =>
    writeFile(join(unfinished, "README.md"), `What ${wizard} made, one commit for each command.\n`),
  )
  yield* git(unfinished, ["add", "README.md"])
  yield* git(unfinished, ["commit", "--quiet", "--message=The artifacts begin"], { as: wizard, atMs })
  yield* inFolder(dir, async () => {
    await rename(unfinished, dir)
    const parent = await open(dirname(dir))
    await parent.sync().finally(() => parent.close())
  })
})

const unfinishedMark = ".unfinished-"

const sweepUnfinished = (dir: string) =>
  inFolder(dir, () => readdir(dirname(dir)).catch(() => [])).pipe(
    Effect.map((names) => names.filter((name) => name.startsWith(basename(dir) + unfinishedMark))),
    Effect.flatMap(Effect.forEach((name) => removeFolder(join(dirname(dir), name)), { discard: true })),
  )

/** R3. */
const sweepLocks = Effect.fnUntraced(function* (dir: string, clock: ClockShape) {
  const until = clock.nowMs() + (yield* ArtifactLimits).gitLockMsMax
  yield* inFolder(dir, async () => {
    for (const lock of await locksIn(join(dir, ".git"))) {
      while ((await exists(lock)) && clock.nowMs() < until) await sleep(clock, 20)
      await rm(lock, { force: true })
    }
  })
})

const locksIn = async (gitDir: string): Promise<readonly string[]> => {
  const top = (await readdir(gitDir)).map((name) => join(gitDir, name))
  const refs = await readdir(join(gitDir, "refs"), { recursive: true, withFileTypes: true })
  return [...top, ...refs.map((entry) => join(entry.parentPath, entry.name))].filter((path) => path.endsWith(".lock"))
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

const check = Effect.fnUntraced(function* (dir: string) {
  const refuse = (reason: string) => new RepositoryRefused({ dir, reason })
  const bare = yield* git(dir, ["rev-parse", "--is-bare-repository"]).pipe(
    Effect.catchTag("GitFailed", (error) => Effect.fail(refuse(`is no usable git repository (${error.stderr})`))),
  )
  if (bare === "true") return yield* refuse("is a bare repository: name one with a working folder")
  if (!(yield* gitAnswers(dir, ["rev-parse", "--verify", "--quiet", "refs/heads/main^{commit}"])))
    return yield* refuse("has no commit on a branch main: make one (git commit --allow-empty), or name another folder")
})
