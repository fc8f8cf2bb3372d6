/** Folders on the disk: the few operations that artifacts need, with one typed error for all that a disk can refuse. */
import { rm } from "node:fs/promises"
import { Effect, Schema } from "effect"

/** A disk, a permission or a path stood in the way. */
export class FolderFailed extends Schema.TaggedError<FolderFailed>()("FolderFailed", {
  folder: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `${this.folder}: ${this.reason}`
  }
}

/** Runs file operations that belong to `folder`. */
export const inFolder = <A>(folder: string, work: () => Promise<A>): Effect.Effect<A, FolderFailed> =>
  Effect.tryPromise({
    try: work,
    catch: (error) => new FolderFailed({ folder, reason: error instanceof Error ? error.message : String(error) }),
  })

/** Removes a folder with all that is in it; one that is not there is fine. */
export const removeFolder = (folder: string): Effect.Effect<void, FolderFailed> =>
  inFolder(folder, () => rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 }))
