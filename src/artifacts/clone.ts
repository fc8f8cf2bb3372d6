/**
 * One clone for each attempt, so that no two jobs meet in one working tree.
 *
 *   <clones>/<command>-<wizard>/<attempt>-<chance>/     branch commands/<8 of the command>-<wizard>-<attempt>
 *
 * Objects are borrowed from the repository, not copied: a clone costs the same however old the repository is.
 *
 * C1: a command has one clone at most; what an earlier attempt left is removed first. The name is new each time, because
 *     a git process of a killed runtime may still write to the old one.
 * C2: an executor had the clone in its hands, so its git configuration is put back before git is called there again
 *     (filters, drivers and the like are programs that git would run for it).
 */
import { lstat, mkdir, readFile, realpath, rm, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { Effect } from "effect"
import type { ChanceShape } from "../services/chance.ts"
import { inFolder, removeFolder, type FolderFailed } from "./folder.ts"
import { git } from "./git.ts"
import type { GitFault, Repository } from "./repository.ts"
import { Unverified } from "./unverified.ts"

/** Which attempt. `command` and `trace` are event ids, `attempt` counts from 1. */
export interface AttemptNames {
  readonly command: string
  readonly trace: string
  readonly wizard: string
  readonly attempt: number
}

export interface Clone {
  /** Absolute. */
  readonly folder: string
  readonly branch: string
  /** The commit that the attempt began from. */
  readonly base: string
  readonly names: AttemptNames
  /** C2: files under `.git` as they were, by their path there. */
  readonly sealed: Readonly<Record<string, string>>
}

export interface CloneOptions {
  readonly repository: Repository
  /** Where clones live. */
  readonly clones: string
  readonly names: AttemptNames
  readonly chance: ChanceShape
}

export const prepareClone = Effect.fnUntraced(function* (options: CloneOptions): Effect.fn.Return<Clone, GitFault> {
  const { repository, names, chance } = options
  const parent = cloneParent(options.clones, names)
  yield* removeFolder(parent)
  const branch = `commands/${names.command.slice(0, 8)}-${names.wizard}-${names.attempt}`
  const folder = yield* inFolder(parent, async () => {
    await mkdir(parent, { recursive: true, mode: 0o700 })
    return join(await realpath(parent), `${names.attempt}-${chance.hex(4)}`)
  })
  const from = ["--shared", "--single-branch", "--branch=main", "--no-tags", "--template=", repository.dir, folder]
  yield* git(parent, ["clone", "--quiet", ...from], { outside: true })
  const [base] = yield* Effect.all(
    [git(folder, ["rev-parse", "HEAD"]), git(folder, ["switch", "--quiet", "--create", branch])],
    { concurrency: "unbounded" },
  )
  const sealed = yield* inFolder(folder, async () => ({
    config: await readFile(join(folder, ".git/config"), "utf8"),
    "objects/info/alternates": await readFile(join(folder, ".git/objects/info/alternates"), "utf8"),
  }))
  return { folder, branch, base, names, sealed }
})

/** Removes what any attempt at this command left. */
export const removeClone = (clones: string, names: AttemptNames): Effect.Effect<void, FolderFailed> =>
  removeFolder(cloneParent(clones, names))

/** C2. Fails where the folder is no longer the clone that was handed out. */
export const sealClone = (clone: Clone): Effect.Effect<void, FolderFailed | Unverified> =>
  inFolder(clone.folder, async () => {
    for (const path of Object.keys(clone.sealed)) {
      const holder = join(clone.folder, ".git", dirname(path))
      if ((await realpath(holder).catch(() => "")) !== join(holder)) return false
    }
    const gitDir = join(clone.folder, ".git")
    if (!(await lstat(gitDir)).isDirectory()) return false
    for (const path of unwelcome) await rm(join(gitDir, path), { recursive: true, force: true })
    for (const [path, text] of Object.entries(clone.sealed)) {
      // Removed first: writing through a link would write where the link points.
      await rm(join(gitDir, path), { recursive: true, force: true })
      await writeFile(join(gitDir, path), text, { flag: "wx" })
    }
    return true
  }).pipe(
    Effect.flatMap((same) =>
      same ? Effect.void : Effect.fail(new Unverified({ reason: "the clone's .git folder was replaced" })),
    ),
  )

const unwelcome = [
  "config.worktree",
  "commondir",
  "info/attributes",
  "info/exclude",
  "info/grafts",
  "shallow",
  "index.lock",
]

const cloneParent = (clones: string, names: AttemptNames): string => join(clones, `${names.command}-${names.wizard}`)
