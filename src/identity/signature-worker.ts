/**
 * The thread that checks and makes signatures. It is told the library's name at its start, each secret once, and then
 * gets batches (`signature-batch.ts`), which it sends back answered. Whatever goes wrong ends it; the pool replaces it.
 */
import { parentPort, workerData } from "node:worker_threads"
import { loadBackend } from "./backends.ts"
import { answerBatch } from "./signature-batch.ts"
import type { SignatureBackend } from "./verifier.ts"

/** A key's secret (32 bytes), for batches to come; a batch; or the end. */
export type WorkerOrder =
  | { readonly pubkey: string; readonly secret: Uint8Array }
  | { readonly batch: ArrayBuffer }
  | { readonly end: true }

const port = parentPort
if (port === null) throw new Error("signature-worker.ts is a worker thread's program")
const backend = await loadBackend((workerData as { readonly backend: SignatureBackend }).backend)
const secrets = new Map<string, Uint8Array>()

port.on("message", (order: WorkerOrder) => {
  if ("end" in order) return port.close()
  if ("secret" in order) {
    secrets.set(order.pubkey, order.secret)
    return
  }
  answerBatch(backend, (pubkey) => secrets.get(pubkey), order.batch)
  port.postMessage(order.batch, [order.batch])
})
