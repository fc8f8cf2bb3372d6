/**
 * Copies the write-ahead log into the database in a thread of its own, so that nobody waits for that copy and its two
 * syncs. The database's own connection still does it by itself (`wal_autocheckpoint`) where this falls behind, which is
 * also when the log begins anew under a load that never pauses.
 *
 * K1  It takes nothing away from durability: a copy that fails leaves the log as it is, and is tried again later. So is
 *     a thread that cannot be had; what was committed is told as committed all the same.
 * K2  The thread holds no connection between two copies, and there is none before the first.
 */
import { Worker } from "node:worker_threads"

export interface Checkpoints {
  /** How many rows were changed since the database was opened. */
  readonly changed: (rows: number) => void
  readonly close: () => void
}

/** Rows changed between two copies: a few hundred pages. */
const checkpointRows = 8192

export const openCheckpoints = (file: string): Checkpoints => {
  let worker: Worker | undefined
  let copied = 0
  let copying = false

  const hire = (): Worker => {
    const hired = new Worker(program, { name: "checkpoints", workerData: { file } })
    const over = (): void => void (copying = false)
    hired.on("message", over)
    hired.on("error", over)
    hired.on("exit", () => {
      over()
      worker = undefined
    })
    hired.unref()
    return hired
  }

  return {
    changed: (rows) => {
      if (copying || rows - copied < checkpointRows) return
      copied = rows
      try {
        worker ??= hire()
      } catch {
        return
      }
      copying = true
      worker.postMessage("copy", [])
    },
    close: () => worker?.postMessage("end", []),
  }
}

/** Beside this file, and written like it: the compiler renames imports, but no addresses. */
const program = new URL(
  import.meta.url.endsWith(".ts") ? "./checkpoint-worker.ts" : "./checkpoint-worker.js",
  import.meta.url,
)
