/**
 * Signatures for the whole process: one verifier and any number of signers over the same threads and the same library.
 *
 * S1 An event whose id is not its hash is false at once; no thread hears of it.
 * S2 A signer signs only its own events, and only ids travel to be signed; a secret goes to each thread once.
 * S3 One or two signatures by the fast library are done at once where no thread is at work: to wake one takes longer.
 */
import { availableParallelism } from "node:os"
import { Context, Effect, Layer, Redacted } from "effect"
import { eventId, isHex64, type NostrEvent } from "../protocol/event.ts"
import { backendNames } from "./backends.ts"
import type { SchnorrBackend } from "./backends/backend.ts"
import { type BackendUnusable, chooseBackend } from "./choose-backend.ts"
import { answerBatch, answeredSignature, answeredYes, Op, packBatch, type SignatureTask } from "./signature-batch.ts"
import { type SignatureThreads, type SignatureWorkers, startWorkers } from "./signature-workers.ts"
import { type Signer, SignerRefused } from "./signer.ts"
import type { SignatureBackend, VerifierShape } from "./verifier.ts"

export interface Signatures {
  readonly backend: SignatureBackend
  /** Faster libraries that cannot be had here, and why. */
  readonly skipped: readonly BackendUnusable[]
  readonly verifier: VerifierShape
  /** A signer for a 32-byte secret, which is not to be changed afterwards. Throws if the secret is out of range. */
  readonly signerFor: (secret: Uint8Array | Redacted.Redacted<Uint8Array>) => Signer
  /** What is not answered is rejected with SignaturesLost. */
  readonly close: () => Promise<void>
}

/** The process's signatures, as a service: one set of threads that verifies and signs. */
export class SignaturePool extends Context.Service<SignaturePool, Signatures>()("wizardly/identity/SignaturePool") {
  static readonly layer = Layer.effect(
    SignaturePool,
    Effect.acquireRelease(
      Effect.tryPromise({ try: () => openSignatures(), catch: (error) => error as BackendUnusable }),
      (opened) => Effect.promise(opened.close),
    ),
  )
}

export interface SignatureOptions {
  /** `auto` (the default) takes the fastest that works here. */
  readonly backend?: SignatureBackend | "auto"
  /** Threads; 0 does all in the caller's own. Default: the cores but one, at least one. */
  readonly workers?: number
}

/** Rejects with BackendUnusable when the library that was asked for does not work here. */
export const openSignatures = async (options: SignatureOptions = {}): Promise<Signatures> => {
  const { backend: wanted = "auto", workers: count = Math.max(1, availableParallelism() - 1) } = options
  const { backend, skipped } = await chooseBackend(wanted === "auto" ? backendNames : [wanted])
  const own = ownThread(backend)
  const workers = count === 0 ? own : withOwn(own, startWorkers(backend.name, count), fewTasks[backend.name])
  return {
    backend: backend.name,
    skipped,
    verifier: { backend: backend.name, verify: (events) => verify(workers, events) },
    signerFor: (given) => {
      const secret = Redacted.isRedacted(given) ? Redacted.value(given) : given
      const pubkey = Buffer.from(backend.publicKey(secret)).toString("hex")
      workers.admit(pubkey, secret)
      return signer(workers, pubkey)
    },
    close: workers.close,
  }
}

const verify = async (workers: SignatureWorkers, events: readonly NostrEvent[]): Promise<readonly boolean[]> => {
  const sound = events.map(hasOwnId)
  const tasks: SignatureTask[] = events
    .filter((_, index) => sound[index])
    .map(({ id, pubkey, sig }) => ({ op: Op.verify, id, pubkey, sig }))
  const answers = (await workers.submit(tasks)).values()
  return sound.map((isSound) => isSound && answers.next().value !== undefined)
}

const hasOwnId = (event: NostrEvent): boolean =>
  isHex64(event.pubkey) && /^[0-9a-f]{128}$/.test(event.sig) && eventId(event) === event.id

const signer = (workers: SignatureWorkers, pubkey: string): Signer => ({
  pubkey,
  sign: async (events) => {
    const stranger = events.find((event) => event.pubkey !== pubkey)
    if (stranger !== undefined)
      throw new Error(`event ${stranger.id} is by ${stranger.pubkey}, this signer is ${pubkey}`)
    const answers = await workers.submit(events.map(({ id }) => ({ op: Op.sign, id, pubkey, sig: "" })))
    return events.map((event, index) => {
      const sig = answers[index]
      if (sig === undefined) throw new SignerRefused({ pubkey, reason: "its key is not known any more" })
      return { ...event, sig }
    })
  },
})

/** S3: tasks that are not worth a thread, about 60 µs each by libsecp256k1, ten times as much by the others. */
const fewTasks: Readonly<Record<SignatureBackend, number>> = { libsecp256k1: 2, "nostr-wasm": 0, "nostr-tools": 0 }

/** Exported for its test. */
export const withOwn = (own: SignatureWorkers, threads: SignatureThreads, few: number): SignatureWorkers => ({
  submit: (tasks) => (tasks.length <= few && threads.isIdle() ? own : threads).submit(tasks),
  admit: (pubkey, secret) => {
    own.admit(pubkey, secret)
    threads.admit(pubkey, secret)
  },
  close: async () => {
    await Promise.all([own.close(), threads.close()])
  },
})

/** Without threads: for a process that signs an event or two and ends. */
const ownThread = (backend: SchnorrBackend): SignatureWorkers => {
  const secrets = new Map<string, Uint8Array>()
  return {
    submit: async (tasks) => {
      const batch = packBatch(tasks)
      answerBatch(backend, (pubkey) => secrets.get(pubkey), batch)
      const answers = Buffer.from(batch)
      return tasks.map((_, index) => (answeredYes(answers, index) ? answeredSignature(answers, index) : undefined))
    },
    admit: (pubkey, secret) => void secrets.set(pubkey, secret),
    close: async () => secrets.clear(),
  }
}
