/**
 * A reported artifact held against the repository: is what was said there, and is it what was said? Changes nothing.
 *
 * E1: its claim is there and names the commit; the commit bears the command's name.
 * E2: each file that was reported is in the commit, with the size and the hash that were reported.
 * E3: the reported `x` follows from the files.
 */
import { Effect } from "effect"
import { claimRef, findClaim, type ClaimNames } from "./claim.ts"
import { filesAt, sumOf, type Description } from "./describe.ts"
import { git, type GitFailed, type GitMissing } from "./git.ts"
import type { GitFault } from "./repository.ts"

/** The first thing that is wrong with it, in a sentence; undefined where all holds. */
export const examine = Effect.fnUntraced(function* (
  dir: string,
  names: ClaimNames,
  reported: Description,
): Effect.fn.Return<string | undefined, GitFault> {
  const claimed = yield* findClaim({ dir }, names).pipe(
    Effect.map((commit) => (commit === undefined ? `${claimRef(names)} is not there` : { commit })),
    Effect.catchTags({
      Unverified: ({ reason }) => Effect.succeed(reason),
      GitFailed: ({ message }) => Effect.succeed(`the repository cannot be read (${message})`),
    }),
  )
  if (typeof claimed === "string") return claimed
  if (claimed.commit !== reported.commit)
    return `the claim names ${claimed.commit.slice(0, 12)}, reported was ${reported.commit.slice(0, 12)}`
  const found = yield* filesAt(
    dir,
    reported.commit,
    reported.files.map(({ path }) => path),
  )
  for (const file of reported.files) {
    const held = found.find(({ path }) => path === file.path)
    if (held === undefined) return `${file.path} is not in the commit`
    if (held.bytes !== file.bytes || held.sha256 !== file.sha256) return `${file.path} is not what was reported`
  }
  const { x, size } = sumOf(found)
  return x === reported.x && size === reported.size ? undefined : "the reported hash does not follow from the files"
})

/** One file of a commit, as it was reported. */
export const contentAt = (dir: string, commit: string, path: string): Effect.Effect<string, GitFailed | GitMissing> =>
  git(dir, ["cat-file", "blob", `${commit}:${path}`])
