/**
 * The threads that do signatures, and the line before them.
 *
 * W1 Every task is answered once, in its own place, or its caller gets SignaturesLost.
 * W2 What waits goes as one message to the thread with the least to do, shared out so that all of them have some.
 * W3 A thread that dies is replaced; what it had goes to the front of the line again, at most `triesMax` times.
 * W4 Threads keep the process alive only while they have something to answer.
 *
 *     submit ─► waiting ─► (≤ 256 a batch, ≤ 2 batches a thread) ─► thread ─► answers
 *
 * How much may wait is for the callers to bound: each already has a limit on what it has in work.
 */
import { Worker } from "node:worker_threads"
import { Schema } from "effect"
import { answeredSignature, answeredYes, Op, packBatch, type SignatureTask } from "./signature-batch.ts"
import type { WorkerOrder } from "./signature-worker.ts"
import type { SignatureBackend } from "./verifier.ts"

/** No thread is left that could answer: closed, or they died over and over. */
export class SignaturesLost extends Schema.TaggedError<SignaturesLost>()("SignaturesLost", {
  reason: Schema.String,
}) {
  override get message(): string {
    return `signatures were not done: ${this.reason}`
  }
}

/** For a verification that holds and for a signing: the signature in hex. Otherwise nothing. */
export type Answer = string | undefined

export interface SignatureWorkers {
  /** One answer for each task, in order. Rejects with SignaturesLost. */
  readonly submit: (tasks: readonly SignatureTask[]) => Promise<readonly Answer[]>
  /** Makes a key known, for tasks submitted afterwards. */
  readonly admit: (pubkey: string, secret: Uint8Array) => void
  /** Rejects what is not answered and ends the threads. */
  readonly close: () => Promise<void>
}

export interface SignatureThreads extends SignatureWorkers {
  /** They are open, and nothing waits for them or is with them. */
  readonly isIdle: () => boolean
}

/** Tasks in one message: large enough to pay for it, small enough to share out. */
const batchTasksMax = 256
/** The second lies ready, so that a thread does not idle while our own is busy. */
const batchesInFlightMax = 2
const triesMax = 3

interface Pending {
  readonly task: SignatureTask
  readonly place: number
  readonly call: Call
  tries: number
}

interface Call {
  readonly answers: Answer[]
  left: number
  readonly resolve: (answers: readonly Answer[]) => void
  readonly reject: (error: SignaturesLost) => void
}

interface Hand {
  readonly worker: Worker
  /** In the order they were sent, which is the order of the answers. */
  readonly batches: Pending[][]
}

/** `program` is the thread's file; another than the default is for tests. */
export const startWorkers = (backend: SignatureBackend, count: number, program = workerProgram): SignatureThreads => {
  const hands: Hand[] = []
  const secrets = new Map<string, Uint8Array>()
  let waiting: Pending[] = []
  let scheduled = false
  let closed = false

  const hire = (): void => {
    const hand: Hand = { worker: new Worker(program, { name: "signatures", workerData: { backend } }), batches: [] }
    let reason = "the thread ended"
    for (const [pubkey, secret] of secrets) send(hand, { pubkey, secret })
    hand.worker.on("message", (answers: ArrayBuffer) => receive(hand, Buffer.from(answers)))
    hand.worker.on("error", (error: unknown) => {
      reason = error instanceof Error ? error.message : String(error)
    })
    hand.worker.on("exit", () => lose(hand, reason))
    hand.worker.unref()
    hands.push(hand)
  }

  const receive = (hand: Hand, batch: Buffer): void => {
    const pending = hand.batches.shift() ?? []
    if (hand.batches.length === 0) hand.worker.unref()
    dispatch()
    pending.forEach(({ task, place, call }, index) => {
      const signature = task.op === Op.verify ? task.sig : answeredSignature(batch, index)
      call.answers[place] = answeredYes(batch, index) ? signature : undefined
      if (--call.left === 0) call.resolve(call.answers)
    })
  }

  const lose = (hand: Hand, reason: string): void => {
    hands.splice(hands.indexOf(hand), 1)
    if (closed) return
    const back = hand.batches.flat()
    for (const pending of back) pending.tries++
    const [given, again] = [back.filter(isSpent), back.filter((pending) => !isSpent(pending))]
    for (const { call } of given) call.reject(new SignaturesLost({ reason: `${reason} (tried ${triesMax} times)` }))
    waiting = [...again, ...waiting]
    dispatch()
  }

  const dispatch = (): void => {
    scheduled = false
    while (waiting.length > 0) {
      while (hands.length < count) hire()
      const hand = hands.reduce((least, next) => (next.batches.length < least.batches.length ? next : least))
      if (hand.batches.length >= batchesInFlightMax) return
      const pending = waiting.splice(0, Math.min(batchTasksMax, Math.ceil(waiting.length / count)))
      if (hand.batches.push(pending) === 1) hand.worker.ref()
      send(hand, { batch: packBatch(pending.map(({ task }) => task)) })
    }
  }

  while (hands.length < count) hire()

  return {
    isIdle: () => !closed && waiting.length === 0 && hands.every(({ batches }) => batches.length === 0),
    submit: (tasks) =>
      new Promise((resolve, reject) => {
        if (closed) return reject(new SignaturesLost({ reason: "closed" }))
        if (tasks.length === 0) return resolve([])
        const call: Call = { answers: [], left: tasks.length, resolve, reject }
        tasks.forEach((task, place) => waiting.push({ task, place, call, tries: 0 }))
        // A turn's calls travel together.
        if (!scheduled) queueMicrotask(dispatch)
        scheduled = true
      }),
    admit: (pubkey, secret) => {
      if (secrets.has(pubkey)) return
      secrets.set(pubkey, secret)
      for (const hand of hands) send(hand, { pubkey, secret })
    },
    close: async () => {
      closed = true
      const left = [...hands.flatMap(({ batches }) => batches.flat()), ...waiting.splice(0)]
      for (const { call } of left) call.reject(new SignaturesLost({ reason: "closed" }))
      // Asked to end, not ended: a thread that is stopped inside the native library takes the process along (SIGABRT).
      await Promise.all(hands.map(end))
      secrets.clear()
    },
  }
}

const end = (hand: Hand): Promise<void> =>
  new Promise((resolve) => {
    hand.worker.once("exit", () => resolve())
    hand.worker.ref()
    send(hand, { end: true })
  })

const isSpent = (pending: Pending): boolean => pending.tries >= triesMax

const send = (hand: Hand, order: WorkerOrder): void =>
  hand.worker.postMessage(order, "batch" in order ? [order.batch] : [])

/** Beside this file, and written like it: the compiler renames imports, but no addresses. */
const workerProgram = new URL(
  import.meta.url.endsWith(".ts") ? "./signature-worker.ts" : "./signature-worker.js",
  import.meta.url,
)
