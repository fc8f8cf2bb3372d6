/**
 * The message between the pool and its workers: one buffer of records, that comes back answered in place.
 *
 *     op (1) │ id (32) │ public key (32) │ signature (64)
 *
 * `op` asks, and in the answer is 1 for yes and 0 for no; for a signing the signature's place is filled. The buffer is
 * transferred both ways, never copied.
 */
import { randomBytes } from "node:crypto"
import type { SchnorrBackend } from "./backends/backend.ts"

export const recordBytes = 129
const idAt = 1
const pubkeyAt = 33
const sigAt = 65

export const Op = { verify: 1, sign: 2 } as const
export type Op = (typeof Op)[keyof typeof Op]

/** All in lower-case hex; `sig` is empty where a signature is asked for. */
export interface SignatureTask {
  readonly op: Op
  readonly id: string
  readonly pubkey: string
  readonly sig: string
}

export const packBatch = (tasks: readonly SignatureTask[]): ArrayBuffer => {
  const batch = Buffer.from(new ArrayBuffer(tasks.length * recordBytes))
  tasks.forEach((task, index) => {
    const at = index * recordBytes
    batch[at] = task.op
    batch.write(task.id, at + idAt, "hex")
    batch.write(task.pubkey, at + pubkeyAt, "hex")
    batch.write(task.sig, at + sigAt, "hex")
  })
  return batch.buffer as ArrayBuffer
}

/** Whether that record was answered with yes. */
export const answeredYes = (batch: Buffer, index: number): boolean => batch[index * recordBytes] === 1

/** The signature in that record, in hex. */
export const answeredSignature = (batch: Buffer, index: number): string =>
  batch.toString("hex", index * recordBytes + sigAt, (index + 1) * recordBytes)

/** Answers a batch in place. `secretOf` takes a public key in hex; a key that it does not know is answered with no. */
export const answerBatch = (
  backend: SchnorrBackend,
  secretOf: (pubkey: string) => Uint8Array | undefined,
  buffer: ArrayBuffer,
): void => {
  const batch = Buffer.from(buffer)
  for (let at = 0; at < batch.length; at += recordBytes) {
    const id = batch.subarray(at + idAt, at + pubkeyAt)
    const pubkey = batch.subarray(at + pubkeyAt, at + sigAt)
    const sig = batch.subarray(at + sigAt, at + recordBytes)
    if (batch[at] === Op.verify) {
      batch[at] = backend.verify(id, pubkey, sig) ? 1 : 0
      continue
    }
    const secret = secretOf(pubkey.toString("hex"))
    // BIP-340's auxiliary randomness, always the operating system's: it protects the key, and no outcome hangs on it.
    if (secret !== undefined) sig.set(backend.sign(id, secret, randomBytes(32)))
    batch[at] = secret === undefined ? 0 : 1
  }
}
