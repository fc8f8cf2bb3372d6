/**
 * libsecp256k1 compiled to WebAssembly, as nostr-wasm ships it.
 *
 * Its own wrappers take whole events only, and forget the randomness they are given; so the binary is bound here. Its
 * exports have one-letter names, which belong to the pinned version 0.1.0: the probe would tell if they moved.
 */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { type SchnorrBackend, secretOutOfRange } from "./backend.ts"

export const load = async (): Promise<SchnorrBackend> => {
  const c = await instantiate()
  const heap = new Uint8Array(c.memory.buffer)
  const [secret, aux, message, pubkey] = [c.malloc(32), c.malloc(32), c.malloc(32), c.malloc(32)]
  const [sig, keypair, key] = [c.malloc(64), c.malloc(keypairBytes), c.malloc(64)]
  const ctx = c.contextCreate(contextSignVerify)

  const keypairs = new WeakMap<Uint8Array, Uint8Array>()
  const useKeypair = (secret32: Uint8Array): void => {
    const known = keypairs.get(secret32)
    if (known !== undefined) return heap.set(known, keypair)
    heap.set(secret32, secret)
    const made = secret32.length === 32 && c.keypairCreate(ctx, keypair, secret) === 1
    heap.fill(0, secret, secret + 32)
    if (!made) throw secretOutOfRange()
    keypairs.set(secret32, heap.slice(keypair, keypair + keypairBytes))
  }

  return {
    name: "nostr-wasm",
    verify: (id32, pubkey32, sig64) => {
      heap.set(id32, message)
      heap.set(pubkey32, pubkey)
      heap.set(sig64, sig)
      return c.xonlyPubkeyParse(ctx, key, pubkey) === 1 && c.schnorrsigVerify(ctx, sig, message, 32, key) === 1
    },
    sign: (id32, secret32, aux32) => {
      useKeypair(secret32)
      heap.set(id32, message)
      heap.set(aux32, aux)
      const signed = c.schnorrsigSign32(ctx, sig, message, keypair, aux)
      heap.fill(0, keypair, keypair + keypairBytes)
      if (signed !== 1) throw secretOutOfRange()
      return heap.slice(sig, sig + 64)
    },
    publicKey: (secret32) => {
      useKeypair(secret32)
      c.keypairXonlyPub(ctx, key, 0, keypair)
      heap.fill(0, keypair, keypair + keypairBytes)
      c.xonlyPubkeySerialize(ctx, pubkey, key)
      return heap.slice(pubkey, pubkey + 32)
    },
  }
}

const contextSignVerify = 769
const keypairBytes = 96

/** A number is an address in the module's memory, which never grows. */
type Call = (...args: readonly number[]) => number

/** As much of WebAssembly's interface as is used; the compiler's own description comes only with a browser's. */
declare const WebAssembly: {
  readonly instantiate: (
    binary: Uint8Array,
    imports: Record<string, Record<string, Call>>,
  ) => Promise<{ readonly instance: { readonly exports: Record<string, unknown> } }>
}

const instantiate = async () => {
  const main = createRequire(import.meta.url).resolve("nostr-wasm")
  const binary = readFileSync(join(dirname(main), "../public/out/secp256k1.wasm"))
  let memory: { readonly buffer: ArrayBuffer } | undefined
  const copy: Call = (target = 0, source = 0, bytes = 0) => {
    new Uint8Array(memory?.buffer ?? stopped()).copyWithin(target, source, source + bytes)
    return target
  }
  // abort, memcpy, grow, and the three file calls of a C library that here has no files.
  const imports = { a: stopped, f: copy, d: stopped, e: () => 52, c: () => 70, b: () => 0 }
  const { exports } = (await WebAssembly.instantiate(binary, { a: imports })).instance
  memory = exports["g"] as { readonly buffer: ArrayBuffer }
  ;(exports["h"] as () => void)()
  const call = (name: string): Call => exports[name] as Call
  return {
    memory,
    malloc: call("i"),
    contextCreate: call("o"),
    xonlyPubkeyParse: call("p"),
    xonlyPubkeySerialize: call("q"),
    keypairCreate: call("r"),
    keypairXonlyPub: call("s"),
    schnorrsigSign32: call("t"),
    schnorrsigVerify: call("u"),
  }
}

const stopped = (): never => {
  throw new Error("secp256k1.wasm stopped")
}
