/**
 * What a result consists of: its files with their sizes and hashes, as the artifact event tells them.
 *
 * D1: `x` can be checked without us. For one file it is that file's SHA-256; for several it is the SHA-256 of the list
 *     that `sha256sum` prints for them in the order of their paths. Removed files are not listed.
 */
import { hash } from "node:crypto"
import { extname } from "node:path"
import { Effect } from "effect"
import { ArtifactLimits, git, gitBytes } from "./git.ts"
import type { GitFault } from "./repository.ts"
import { Unverified } from "./unverified.ts"

export interface ArtifactFile {
  /** From the repository's top, with `/`. */
  readonly path: string
  readonly bytes: number
  /** Lower-case hex. */
  readonly sha256: string
}

export interface Description {
  readonly commit: string
  readonly files: readonly ArtifactFile[]
  /** The sum of the files' bytes. */
  readonly size: number
  /** D1. */
  readonly x: string
  /** The MIME type of what `x` is the hash of. */
  readonly m: string
}

/**
 * The files that `commit` adds or changes since `base` (its first parent if none is given). Fails as unverified where
 * they are more, or larger, than the limits allow.
 */
export const describeCommit = Effect.fnUntraced(function* (
  dir: string,
  commit: string,
  base = `${commit}^`,
): Effect.fn.Return<Description, Unverified | GitFault> {
  const raw = yield* git(dir, ["diff-tree", "-r", "-z", "--no-renames", "--diff-filter=d", base, commit])
  const listed = readRaw(raw)
  const { artifactFilesMax } = yield* ArtifactLimits
  if (listed.length > artifactFilesMax)
    return yield* new Unverified({ reason: `${listed.length} files; an artifact holds ${artifactFilesMax} at most` })
  const input = listed.map((file) => `${file.blob}\n`).join("")
  const contents = yield* gitBytes(dir, ["cat-file", "--batch"], { input }).pipe(Effect.catchTag("GitFailed", tooLarge))
  const files = readBatch(contents, listed)
  return { commit, files, ...sumOf(files) }
})

/** The same files as that commit holds them, hashed anew; a path that it does not hold is left out. */
export const filesAt = (
  dir: string,
  commit: string,
  paths: readonly string[],
): Effect.Effect<readonly ArtifactFile[], GitFault> =>
  Effect.forEach(paths, (path) =>
    gitBytes(dir, ["cat-file", "blob", `${commit}:${path}`]).pipe(
      Effect.map((bytes) => [{ path, bytes: bytes.length, sha256: hash("sha256", bytes) }]),
      Effect.catchTag("GitFailed", () => Effect.succeed([])),
    ),
  ).pipe(Effect.map((files) => files.flat()))

/** D1. */
export const sumOf = (files: readonly ArtifactFile[]): Pick<Description, "size" | "x" | "m"> => {
  const size = files.reduce((sum, file) => sum + file.bytes, 0)
  const [only] = files
  if (only !== undefined && files.length === 1) return { size, x: only.sha256, m: mimeOf(only.path) }
  const list = files.map((file) => `${file.sha256}  ${file.path}\n`).join("")
  return { size, x: hash("sha256", list), m: "text/plain" }
}

const tooLarge = (error: { readonly exitCode: number; readonly message: string }) =>
  Effect.fail(new Unverified({ reason: `its files cannot be read (${error.message})` }))

interface Listed {
  readonly path: string
  readonly blob: string
}

/** `:oldmode newmode oldblob newblob status NUL path NUL`, again and again. Nested repositories have no blob here. */
const readRaw = (raw: string): readonly Listed[] => {
  const parts = raw.split("\0")
  const listed: Listed[] = []
  for (let i = 0; i + 1 < parts.length; i += 2) {
    const [, mode, , blob] = (parts[i] as string).split(" ")
    if (blob !== undefined && mode !== "160000") listed.push({ path: parts[i + 1] as string, blob })
  }
  return listed.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** `blob SP type SP bytes LF content LF`, in the order asked for. */
const readBatch = (contents: Buffer, listed: readonly Listed[]): readonly ArtifactFile[] => {
  let at = 0
  return listed.map(({ path }) => {
    const start = contents.indexOf("\n", at) + 1
    const bytes = Number(contents.toString("latin1", at, start - 1).split(" ")[2])
    at = start + bytes + 1
    return { path, bytes, sha256: hash("sha256", contents.subarray(start, start + bytes)) }
  })
}

const mimeOf = (path: string): string => mimes[extname(path).toLowerCase()] ?? "application/octet-stream"

const mimes: Readonly<Record<string, string>> = {
  ".md": "text/markdown",
  ".txt": "text/plain",
  ".html": "text/html",
  ".json": "application/json",
  ".csv": "text/csv",
  ".pdf": "application/pdf",
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".svg": "image/svg+xml",
}
