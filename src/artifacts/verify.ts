/**
 * "Done" is believed only where a commit shows it. This file decides; it changes nothing.
 *
 * V1: the commit descends from the attempt's base and is not the base.
 * V2: it changes the tree.
 * V3: the working tree is clean: nothing that was made is left out of the commit.
 * V4: its trailers name this command, this wizard and this attempt, each exactly once.
 * V5: it holds no nested repository, whose files would be missing from it.
 */
import { Effect } from "effect"
import type { Clone } from "./clone.ts"
import { cloneState } from "./commit.ts"
import { git, gitAnswers } from "./git.ts"
import type { GitFault } from "./repository.ts"
import { readTrailers } from "./trailers.ts"
import { Unverified } from "./unverified.ts"

/** Succeeds, or fails with what is wrong first in the order above. */
export const verify = Effect.fnUntraced(function* (
  clone: Clone,
  commit: string,
): Effect.fn.Return<void, Unverified | GitFault> {
  const { folder, base, names } = clone
  if (commit === base) return yield* refuse("nothing was changed")
  if (
    (yield* git(folder, ["cat-file", "--batch-check=%(objectname) %(objecttype)"], { input: `${commit}\n` })) !==
    `${commit} commit`
  )
    return yield* refuse("the commit is not in the clone")
  const [descends, changes, state, stated] = yield* Effect.all(
    [
      gitAnswers(folder, ["merge-base", "--is-ancestor", base, commit]),
      git(folder, ["diff-tree", "-r", "--no-renames", base, commit]),
      cloneState(clone),
      readTrailers(folder, commit),
    ],
    { concurrency: "unbounded" },
  )
  if (!descends) return yield* refuse("the commit does not descend from the one that the attempt began from")
  if (changes === "") return yield* refuse("the commit changes no file")
  if (state.dirty.length > 0)
    return yield* refuse(`the working tree is not clean (${state.dirty.length} not committed)`)
  if (stated.command !== names.command) return yield* refuse("the commit's trailers do not name this command")
  if (stated.wizard !== names.wizard) return yield* refuse("the commit's trailers do not name this wizard")
  if (stated.attempt !== String(names.attempt)) return yield* refuse("the commit's trailers do not name this attempt")
  if (/^:\d+ 160000 /m.test(changes)) return yield* refuse("the commit holds a nested git repository, not its files")
})

const refuse = (reason: string) => new Unverified({ reason })
