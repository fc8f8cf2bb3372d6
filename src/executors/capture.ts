/**
 * What a program writes, bounded in memory: its beginning and its end are kept, and as soon as there is more than that the
 * whole goes to a file. The reader waits for the disk, and the program for the reader.
 */
import { mkdir, open, readdir, rm, stat, type FileHandle } from "node:fs/promises"
import { dirname, join } from "node:path"
import type { Readable } from "node:stream"
import { Effect } from "effect"
import type { ClockShape } from "../services/clock.ts"
import { ExecutorFailed } from "./executor.ts"

export interface CaptureOptions {
  readonly keptBytesMax: number
  readonly bytesMax: number
  /** Where the whole goes; made only when it is needed. */
  readonly file: string
  /** Hears of every piece. */
  readonly onData?: (chunk: Buffer) => void
}

export interface Captured {
  /** All of it, or its beginning and its end with a line between them that says how much is missing. */
  readonly text: string
  readonly bytes: number
}

/** Reads to the stream's end. More than `bytesMax`: fails as `excess`. */
export const capture = (stream: Readable, options: CaptureOptions): Effect.Effect<Captured, ExecutorFailed> =>
  Effect.tryPromise({
    try: (signal) => {
      signal.addEventListener("abort", () => stream.destroy())
      return read(stream, options)
    },
    catch: (error) =>
      error instanceof ExecutorFailed
        ? error
        : new ExecutorFailed({
            kind: "retryable",
            reason: `its output could not be read (${(error as Error).message})`,
          }),
  })

const read = async (stream: Readable, options: CaptureOptions): Promise<Captured> => {
  const half = Math.floor(options.keptBytesMax / 2)
  let head = Buffer.alloc(0)
  let tail = Buffer.alloc(0)
  let bytes = 0
  let file: FileHandle | undefined
  try {
    for await (const piece of stream) {
      const chunk = Buffer.from(piece as Uint8Array)
      bytes += chunk.length
      if (bytes > options.bytesMax)
        throw new ExecutorFailed({ kind: "excess", reason: `it wrote more than ${options.bytesMax} bytes` })
      const room = Math.max(0, half - head.length)
      const before = { head, tail }
      head = Buffer.concat([head, chunk.subarray(0, room)])
      tail = Buffer.concat([tail, chunk.subarray(room)]).subarray(-half)
      if (file === undefined && bytes > 2 * half) {
        file = await begin(options.file)
        await file.write(before.head)
        await file.write(before.tail)
      }
      await file?.write(chunk)
      options.onData?.(chunk)
    }
  } finally {
    await file?.close()
  }
  const left = bytes - head.length - tail.length
  const gap = left === 0 ? "" : `\n… ${left} bytes left out …\n`
  return { text: head.toString("utf8") + gap + tail.toString("utf8"), bytes }
}

const begin = async (file: string): Promise<FileHandle> => {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  return open(file, "w", 0o600)
}

/** Removes whole outputs that are older than `keepSeconds`. */
export const sweepOutputs = (folder: string, keepSeconds: number, clock: ClockShape): Effect.Effect<void> =>
  Effect.promise(async () => {
    const names = await readdir(folder).catch((): string[] => [])
    for (const name of names) {
      const found = await stat(join(folder, name)).catch(() => undefined)
      if (found !== undefined && found.mtimeMs < clock.nowMs() - keepSeconds * 1000)
        await rm(join(folder, name), { force: true })
    }
  })
