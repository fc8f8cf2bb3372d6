/**
 * A signature thread that dies of its first batch, as often as DYING_WORKER_DEATHS says; then it is a real one. A death
 * is one more byte in the file DYING_WORKER_MARKS.
 */
import { appendFileSync, readFileSync } from "node:fs"
import { parentPort } from "node:worker_threads"

const marks = process.env["DYING_WORKER_MARKS"] ?? ""
const deaths = readFileSync(marks).length

if (deaths >= Number(process.env["DYING_WORKER_DEATHS"])) await import("../../src/identity/signature-worker.ts")
else
  parentPort?.on("message", (order: object) => {
    if (!("batch" in order)) return
    appendFileSync(marks, ".")
    process.exit(1)
  })
