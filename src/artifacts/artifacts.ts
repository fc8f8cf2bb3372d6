/**
 * What a wizard's results are made of, as one small interface: a repository, a clone for each attempt, and the road from
 * "done" to a claimed commit. Callers (`executors/attempt.ts`, the runtime's start) need nothing else of this folder.
 */
import { mkdir, realpath } from "node:fs/promises"
import { Effect } from "effect"
import type { ChanceShape } from "../services/chance.ts"
import { limits as defaults, type Limits } from "../limits.ts"
import type { ClockShape } from "../services/clock.ts"
import { claim, claimRef, findClaim, type Claim, type ClaimNames } from "./claim.ts"
import { prepareClone, removeClone, sealClone, type AttemptNames, type Clone } from "./clone.ts"
import { cloneState, commitResult, type CloneState } from "./commit.ts"
import { describeCommit, type Description } from "./describe.ts"
import { inFolder, removeFolder, type FolderFailed } from "./folder.ts"
import { ArtifactLimits } from "./git.ts"
import { integrate, type Integration } from "./integrate.ts"
import { openRepository, type GitFault, type Repository, type RepositoryRefused } from "./repository.ts"
import { readText } from "./trailers.ts"
import { verify } from "./verify.ts"
import type { Unverified } from "./unverified.ts"

export interface ArtifactsOptions {
  readonly wizard: string
  /** The artifacts repository's folder; made if it is absent. */
  readonly dir: string
  /** Where this wizard's clones live; a folder that nothing else uses. */
  readonly clones: string
  readonly clock: ClockShape
  readonly chance: ChanceShape
  /** Those in force; the defaults if they are left out. */
  readonly limits?: Limits
}

/** Anything that can go wrong with artifacts. */
export type ArtifactFault = Unverified | GitFault

export interface Artifacts {
  readonly repository: Repository
  /** A fresh clone; what earlier attempts at the command left is gone. */
  readonly prepare: (names: AttemptNames) => Effect.Effect<Clone, GitFault>
  /** What the executor left. Its configuration of the clone is undone first. */
  readonly inspect: (clone: Clone) => Effect.Effect<CloneState, ArtifactFault>
  /** Commits all that was left, with trailers; gives the commit. */
  readonly commit: (clone: Clone, subject: string, text: string) => Effect.Effect<string, GitFault>
  /** Fails with Unverified unless V1 to V5 hold. */
  readonly verify: (clone: Clone, commit: string) => Effect.Effect<void, ArtifactFault>
  /** Fails with Unverified beyond the limits. Without a base: since the commit's first parent. */
  readonly describe: (dir: string, commit: string, base?: string) => Effect.Effect<Description, ArtifactFault>
  readonly claim: (clone: Clone, commit: string) => Effect.Effect<Claim, ArtifactFault>
  readonly findClaim: (names: ClaimNames) => Effect.Effect<string | undefined, ArtifactFault>
  readonly claimRef: (names: ClaimNames) => string
  /** The result's own words, as its commit keeps them. */
  readonly textOf: (commit: string) => Effect.Effect<string, GitFault>
  readonly integrate: (commit: string) => Effect.Effect<Integration, GitFault>
  readonly remove: (names: AttemptNames) => Effect.Effect<void, FolderFailed>
  /** At start, before any attempt: removes every clone that a killed runtime left. */
  readonly sweep: Effect.Effect<void, FolderFailed>
}

export const openArtifacts = Effect.fnUntraced(function* (
  options: ArtifactsOptions,
): Effect.fn.Return<Artifacts, RepositoryRefused | GitFault> {
  const { wizard, dir, clock, chance } = options
  const within = Effect.provideService(ArtifactLimits, options.limits ?? defaults)
  const repository = yield* within(openRepository({ dir, wizard, clock }))
  const clones = yield* inFolder(options.clones, async () => {
    await mkdir(options.clones, { recursive: true, mode: 0o700 })
    return realpath(options.clones)
  })
  return {
    repository,
    prepare: (names) => within(prepareClone({ repository, clones, names, chance })),
    inspect: (clone) => within(sealClone(clone).pipe(Effect.andThen(cloneState(clone)))),
    commit: (clone, subject, text) => within(commitResult({ clone, subject, text, atMs: clock.nowMs() })),
    verify: (clone, commit) => within(verify(clone, commit)),
    describe: (folder, commit, base) => within(describeCommit(folder, commit, base)),
    claim: (clone, commit) => within(claim(repository, clone, commit)),
    findClaim: (names) => within(findClaim(repository, names)),
    claimRef,
    textOf: (commit) => within(readText(repository.dir, commit)),
    integrate: (commit) => within(integrate(repository, commit)),
    remove: (names) => removeClone(clones, names),
    sweep: removeFolder(clones),
  }
})
