/** The thread of `checkpoints.ts`: at each word one copy of the log, as far as nobody is in its way. */
import { parentPort, workerData } from "node:worker_threads"
import SQLite from "better-sqlite3"

const port = parentPort
if (port === null) throw new Error("checkpoint-worker.ts is a worker thread's program")
const { file } = workerData as { readonly file: string }

const copy = (): void => {
  const db = new SQLite(file, { fileMustExist: true })
  try {
    db.pragma("fullfsync = ON")
    db.pragma("checkpoint_fullfsync = ON")
    db.pragma("wal_checkpoint(PASSIVE)")
  } finally {
    db.close()
  }
}

port.on("message", (word: "copy" | "end") => {
  if (word === "end") return port.close()
  try {
    copy()
  } catch {
    // A full disk, or one that does not answer: the log still has it all, and the database's own connection will say so.
  }
  port.postMessage("copied")
})
