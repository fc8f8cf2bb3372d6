/**
 * Brings `main` and the working folder forward to a claimed commit, so that a person who opens the folder sees the files.
 *
 * N1: what a person changed there is never overwritten: then the commit is left out, and its claim stands all the same.
 * N2: done twice, or killed half-way and done again, it ends the same. A kill leaves files that git had begun to write:
 *     each is the beginning of what the commit holds there, so nothing is lost when it makes room.
 * N3: `main` moves in one step. Where it went on meanwhile, the merge is made beside the working folder first.
 */
import { lstat, readFile, realpath, rm } from "node:fs/promises"
import { dirname, join, sep } from "node:path"
import { Effect } from "effect"
import { inFolder } from "./folder.ts"
import { git, gitBytes, type GitFailed } from "./git.ts"
import type { GitFault, Repository } from "./repository.ts"

/** `left`: the commit is not in `main`, and why. */
export type Integration = { readonly integrated: true } | { readonly integrated: false; readonly left: string }

export const integrate = (repository: Repository, commit: string): Effect.Effect<Integration, GitFault> =>
  Effect.gen(function* () {
    const { dir } = repository
    const names = yield* git(dir, ["rev-parse", "refs/heads/main", "--symbolic-full-name", "HEAD"])
    const [main = "", head = ""] = names.split("\n")
    // A person may have begun `main` anew; then there is no base, and the two are merged all the same.
    const base = yield* git(dir, ["merge-base", main, commit]).pipe(Effect.catchTag("GitFailed", noBase))
    if (base === commit) return done
    if (head !== "refs/heads/main") return left(`the folder is on ${head === "HEAD" ? "no branch" : head}`)
    const target = base === main ? commit : yield* mergeOf(repository, commit)
    if (target === undefined) return left("it conflicts with main")
    return yield* forward(dir, target).pipe(
      Effect.catchTag("GitFailed", () => makeRoom(dir, target).pipe(Effect.andThen(forward(dir, target)))),
      Effect.as(done),
      Effect.catchTag("GitFailed", (error) => Effect.succeed(left(error.stderr))),
    )
  }).pipe(repository.alone)

const done: Integration = { integrated: true }
const left = (reason: string): Integration => ({ integrated: false, left: reason })

const forward = (dir: string, target: string) => git(dir, ["merge", "--quiet", "--ff-only", target])

const noBase = (error: GitFailed) => (error.exitCode === 1 ? Effect.succeed("") : Effect.fail(error))

/** A merge of `main` and the commit (N3); undefined where they conflict. */
const mergeOf = Effect.fnUntraced(function* (repository: Repository, commit: string) {
  const { dir, wizard } = repository
  const tree = yield* git(dir, [
    "merge-tree",
    "--write-tree",
    "--no-messages",
    "--allow-unrelated-histories",
    "refs/heads/main",
    commit,
  ]).pipe(Effect.catchTag("GitFailed", (error: GitFailed) => (error.exitCode === 1 ? Effect.void : Effect.fail(error))))
  if (tree === undefined) return undefined
  // The commit's own date: the runtime's clock is not asked twice for one result.
  const atMs = 1000 * Number(yield* git(dir, ["log", "-1", "--format=%ct", commit]))
  const parents = ["-p", "refs/heads/main", "-p", commit]
  return yield* git(dir, ["commit-tree", ...parents, "-m", `Merge ${commit.slice(0, 8)}`, tree], { as: wizard, atMs })
})

/** N2. */
const makeRoom = Effect.fnUntraced(function* (dir: string, target: string) {
  const names = yield* git(dir, [
    "diff",
    "--name-only",
    "-z",
    "--no-renames",
    "--diff-filter=d",
    "refs/heads/main",
    target,
  ])
  for (const path of names.split("\0").filter((name) => name !== "")) {
    const whole = yield* gitBytes(dir, ["cat-file", "blob", `${target}:${path}`])
    yield* inFolder(dir, async () => {
      const file = join(dir, path)
      if (!(await isBeginning(dir, file, whole))) return
      await rm(file)
    })
  }
})

const isBeginning = async (dir: string, file: string, whole: Buffer): Promise<boolean> => {
  const found = await lstat(file).catch(() => undefined)
  if (found === undefined || !found.isFile() || found.size > whole.length) return false
  // A link among the folders above would lead out of the repository.
  if (!((await realpath(dirname(file))) + sep).startsWith(dir + sep)) return false
  const content = await readFile(file)
  return whole.subarray(0, content.length).equals(content)
}
