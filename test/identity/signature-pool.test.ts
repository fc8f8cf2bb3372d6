import { fork } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Redacted } from "effect"
import { verifyEvent } from "nostr-tools/pure"
import { afterEach, describe, expect, it, onTestFinished } from "vitest"
import { openSignatures, withOwn, type Signatures } from "../../src/identity/signature-pool.ts"
import { Op, type SignatureTask } from "../../src/identity/signature-batch.ts"
import { SignaturesLost, startWorkers } from "../../src/identity/signature-workers.ts"
import { Verifier } from "../../src/identity/verifier.ts"
import { type NostrEvent, withId } from "../../src/protocol/event.ts"
import { signingVectors } from "./bip340.ts"

const secret = (n: number): Uint8Array => new Uint8Array(32).fill(n)
const open: Signatures[] = []
const opened = async (...args: Parameters<typeof openSignatures>): Promise<Signatures> => {
  const signatures = await openSignatures(...args)
  open.push(signatures)
  return signatures
}
afterEach(async () => void (await Promise.all(open.splice(0).map((signatures) => signatures.close()))))

const note = (pubkey: string, content: string) =>
  withId(pubkey, { kind: 1, created_at: 1, tags: [["t", "x"]], content })
const flip = (hex: string): string => (hex.startsWith("0") ? "1" : "0") + hex.slice(1)

for (const workers of [0, 1, 2]) {
  describe(`signatures with ${workers} threads`, () => {
    it("W1: answers many calls of many sizes, each in its own order, forgeries among them", async () => {
      const signatures = await opened({ workers })
      const signers = [secret(1), Redacted.make(secret(2))].map((key) => signatures.signerFor(key))
      const calls = await Promise.all(
        Array.from({ length: 36 }, async (_, call) => {
          const signer = signers[call % 2] as (typeof signers)[number]
          const events = Array.from({ length: call * 3 }, (_, n) => note(signer.pubkey, `${call}/${n}`))
          const signed = await signer.sign(events)
          expect(signed.map(({ content }) => content)).toEqual(events.map(({ content }) => content))
          const mixed = signed.map((event, n) => (n % 3 === call % 3 ? { ...event, sig: flip(event.sig) } : event))
          expect(await signatures.verifier.verify(mixed)).toEqual(mixed.map((_, n) => n % 3 !== call % 3))
          return signed
        }),
      )
      const sample = calls.flat().filter((_, n) => n % 250 === 0)
      expect(sample.length).toBeGreaterThan(5)
      for (const event of sample) expect(verifyEvent({ ...event, tags: event.tags.map((tag) => [...tag]) })).toBe(true)
    })

    it("S1: an id that is not the hash, another author and malformed hex are false, never an error", async () => {
      const signatures = await opened({ workers })
      const signer = signatures.signerFor(secret(1))
      const other = signatures.signerFor(secret(2))
      const [event] = (await signer.sign([note(signer.pubkey, "a")])) as [NostrEvent]
      const [foreign] = (await other.sign([note(other.pubkey, "a")])) as [NostrEvent]
      const forged = [
        { ...event, content: "b" },
        { ...event, id: foreign.id },
        { ...event, pubkey: other.pubkey },
        withSig({ ...event, pubkey: other.pubkey }),
        { ...event, sig: foreign.sig },
        { ...event, sig: "" },
        { ...event, sig: event.sig.toUpperCase() },
        { ...event, pubkey: "zz".repeat(32) },
        withSig({ ...event, pubkey: "ff".repeat(32) }),
      ]
      expect(await signatures.verifier.verify([event, ...forged, foreign])).toEqual([
        true,
        ...forged.map(() => false),
        true,
      ])
      expect(await signatures.verifier.verify([])).toEqual([])
    })

    it("S2: a signer refuses another author's event", async () => {
      const signatures = await opened({ workers })
      const signer = signatures.signerFor(secret(1))
      await expect(signer.sign([note("ab".repeat(32), "a")])).rejects.toThrow("this signer is")
    })
  })
}

/** The same event with its id made right again. */
const withSig = (event: NostrEvent): NostrEvent => ({ ...withId(event.pubkey, event), sig: event.sig })

describe("every backend behind the threads", () => {
  it.each(["nostr-wasm", "nostr-tools"] as const)("%s signs and verifies", async (backend) => {
    const signatures = await opened({ backend, workers: 1 })
    const signer = signatures.signerFor(secret(3))
    const signed = await signer.sign([note(signer.pubkey, "a"), note(signer.pubkey, "b")])
    expect([signatures.backend, await signatures.verifier.verify(signed)]).toEqual([backend, [true, true]])
  })

  it("is a layer that ends its threads with its scope", async () => {
    const program = Effect.gen(function* () {
      const verifier = yield* Verifier
      return [verifier, yield* Effect.promise(() => verifier.verify([]))] as const
    })
    const [verifier, answers] = await Effect.runPromise(
      Effect.provide(program, Verifier.layer({ backend: "nostr-wasm", workers: 1 })),
    )
    expect([verifier.backend, answers]).toEqual(["nostr-wasm", []])
    await expect(verifier.verify([vectorEvent()])).rejects.toBeInstanceOf(SignaturesLost)
  })
})

/** Sound in its id, so that it goes to the threads; its signature is some other text's. */
const vectorEvent = (): NostrEvent => ({ ...note(signingVectors[1].pubkey, ""), sig: signingVectors[1].sig })

describe("threads that die", () => {
  const folder = mkdtempSync(join(tmpdir(), "signature-threads-"))
  const vector = signingVectors[1]
  const tasks: SignatureTask[] = Array.from({ length: 300 }, (_, n) => ({
    op: Op.verify,
    id: vector.message,
    pubkey: vector.pubkey,
    sig: n % 2 === 0 ? vector.sig : flip(vector.sig),
  }))
  const dying = (deaths: number, count: number) => {
    const marks = join(folder, `${deaths}-${count}`)
    writeFileSync(marks, "")
    process.env["DYING_WORKER_MARKS"] = marks
    process.env["DYING_WORKER_DEATHS"] = String(deaths)
    return startWorkers("nostr-wasm", count, new URL("./dying-worker.ts", import.meta.url))
  }
  afterEach(() => {
    delete process.env["DYING_WORKER_MARKS"]
    delete process.env["DYING_WORKER_DEATHS"]
  })

  it("W3: are replaced, and their batches are answered all the same, in place", async () => {
    const workers = dying(2, 1)
    const answers = await workers.submit(tasks)
    expect(answers).toEqual(tasks.map(({ sig }, n) => (n % 2 === 0 ? sig : undefined)))
    await workers.close()
  })

  it("W3: the replacement knows the secrets", async () => {
    const workers = dying(1, 1)
    workers.admit(vector.pubkey, new Uint8Array(Buffer.from(vector.secret, "hex")))
    const [sig = ""] = await workers.submit([{ op: Op.sign, id: vector.message, pubkey: vector.pubkey, sig: "" }])
    const [verified] = await workers.submit([{ op: Op.verify, id: vector.message, pubkey: vector.pubkey, sig }])
    expect(verified).toBe(sig)
    await workers.close()
  })

  it("W3: over and over are given up with SignaturesLost", async () => {
    const workers = dying(1000, 1)
    await expect(workers.submit(tasks)).rejects.toBeInstanceOf(SignaturesLost)
    await workers.close()
    rmSync(folder, { recursive: true })
  })

  it("W1: a close rejects what was not answered, and what comes after", async () => {
    const workers = startWorkers("nostr-tools", 1)
    const left = [workers.submit(tasks), workers.submit(tasks)].map((call) => expect(call).rejects.toThrow("closed"))
    await workers.close()
    await Promise.all(left)
    await expect(workers.submit(tasks)).rejects.toThrow("closed")
  })
})

describe("a process with idle threads", () => {
  it("W4: ends by itself, after its answers came", async () => {
    const child = fork(new URL("./idle-threads.ts", import.meta.url))
    onTestFinished(() => void child.kill("SIGKILL"))
    const [[verified], [code]] = (await Promise.all([once(child, "message"), once(child, "exit")])) as [
      unknown[],
      unknown[],
    ]
    expect([verified, code]).toEqual([[true], 0])
  })
})

describe("few signatures", () => {
  it("S3: one or two are done at once where no thread is at work, everything else by the threads", async () => {
    const doneBy: string[] = []
    const by = (name: string) => ({
      submit: async (tasks: readonly unknown[]) => {
        doneBy.push(name)
        return tasks.map(() => undefined)
      },
      admit: (pubkey: string) => void doneBy.push(`${name} knows ${pubkey}`),
      close: async () => {},
    })
    let idle = true
    const pool = withOwn(by("own"), { ...by("threads"), isIdle: () => idle }, 2)
    const tasks = (count: number) =>
      Array.from({ length: count }, () => ({ op: 1, id: "", pubkey: "", sig: "" }) as const)
    await pool.submit(tasks(1))
    await pool.submit(tasks(2))
    await pool.submit(tasks(3))
    idle = false
    await pool.submit(tasks(1))
    pool.admit("k", new Uint8Array(32))
    expect(doneBy).toEqual(["own", "own", "threads", "threads", "own knows k", "threads knows k"])
  })
})
