/**
 * Commits what an executor left in its clone. An executor may also have committed itself; then its commit is taken as it
 * is and must stand up to `verify.ts` on its own.
 */
import { Effect } from "effect"
import type { Clone } from "./clone.ts"
import { ArtifactLimits, git } from "./git.ts"
import type { GitFault } from "./repository.ts"
import { commitMessage } from "./trailers.ts"

export interface CloneState {
  /** What HEAD names. */
  readonly head: string
  /** Files changed, added or removed and not committed; ignored ones do not count. */
  readonly dirty: readonly string[]
}

/** Where the clone stands. Nested repositories are not looked into: their configuration is the executor's. */
export const cloneState = (clone: Clone): Effect.Effect<CloneState, GitFault> =>
  git(clone.folder, [
    "status",
    "--porcelain=v2",
    "--branch",
    "--untracked-files=all",
    "--ignore-submodules=all",
    "-z",
  ]).pipe(
    Effect.map((text) => {
      const lines = text.split("\0").filter((line) => line !== "")
      const head = lines.find((line) => line.startsWith(headMark))?.slice(headMark.length) ?? ""
      return { head, dirty: lines.filter((line) => !line.startsWith("# ")) }
    }),
  )

const headMark = "# branch.oid "

export interface CommitOptions {
  readonly clone: Clone
  readonly subject: string
  /** The result's own words; recovery reads them from here. */
  readonly text: string
  readonly atMs: number
}

/** Commits everything in the clone; gives the commit. */
export const commitResult = Effect.fnUntraced(function* (options: CommitOptions): Effect.fn.Return<string, GitFault> {
  const { clone, subject, text, atMs } = options
  const input = commitMessage(subject, text, clone.names, (yield* ArtifactLimits).answerCharsMax)
  yield* git(clone.folder, ["add", "--all", "."])
  const message = ["--quiet", "--no-verify", "--cleanup=verbatim", "--file=-"]
  yield* git(clone.folder, ["commit", ...message], { input, as: clone.names.wizard, atMs })
  return yield* git(clone.folder, ["rev-parse", "HEAD"])
})
