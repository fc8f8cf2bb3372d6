/**
 * The claim: a ref that says which commit is the one result of a command by a wizard.
 *
 *   refs/commands/<command>/<wizard>
 *
 * L1: it is created, never moved; of two claims the second gets the first one's commit.
 * L2: its commit is there, whole and flushed, before the ref is.
 * L3: what it names bears the command's and the wizard's name in its trailers, else it is no claim.
 */
import { Effect } from "effect"
import type { AttemptNames, Clone } from "./clone.ts"
import { git } from "./git.ts"
import type { GitFault, Repository } from "./repository.ts"
import { readTrailers } from "./trailers.ts"
import { Unverified } from "./unverified.ts"

/** Whose result; an attempt's names will do. */
export type ClaimNames = Pick<AttemptNames, "command" | "wizard">

export interface Claim {
  readonly commit: string
  /** `before`: an earlier attempt's claim stands, and `commit` is that one's. */
  readonly claimed: "now" | "before"
}

export const claimRef = (names: ClaimNames): string => `refs/commands/${names.command}/${names.wizard}`

/** Brings the commit from the clone into the repository and claims it. */
export const claim = (
  repository: Repository,
  clone: Clone,
  commit: string,
): Effect.Effect<Claim, Unverified | GitFault> =>
  Effect.gen(function* () {
    const quietly = [
      "--quiet",
      "--no-tags",
      "--no-write-fetch-head",
      "--no-recurse-submodules",
      "--no-auto-maintenance",
    ]
    yield* git(repository.dir, ["fetch", ...quietly, clone.folder, commit])
    const input = `create ${claimRef(clone.names)} ${commit}\n`
    return yield* git(repository.dir, ["update-ref", "--stdin"], { input }).pipe(
      Effect.as({ commit, claimed: "now" } as const),
      Effect.catchTag("GitFailed", (error) =>
        findClaim(repository, clone.names).pipe(
          Effect.flatMap((found) =>
            found === undefined ? Effect.fail(error) : Effect.succeed({ commit: found, claimed: "before" } as const),
          ),
        ),
      ),
    )
  }).pipe(repository.alone)

/** The commit that is claimed for that command and wizard, if there is one. */
export const findClaim = Effect.fnUntraced(function* (
  repository: Pick<Repository, "dir">,
  names: ClaimNames,
): Effect.fn.Return<string | undefined, Unverified | GitFault> {
  const ref = claimRef(names)
  const commit = yield* git(repository.dir, ["for-each-ref", "--format=%(objectname)", ref])
  if (commit === "") return undefined
  const stated = yield* readTrailers(repository.dir, commit)
  if (stated.command === names.command && stated.wizard === names.wizard) return commit
  return yield* new Unverified({
    reason: `${ref} names a commit that is not this command's; remove the ref if it is not yours`,
  })
})
