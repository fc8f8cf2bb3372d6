/**
 * The list of signature libraries, fastest first. A library is taken only when it loads here and answers known vectors of
 * BIP-340 rightly. Every thread loads this file, so it imports nothing that is slow to load.
 */
import type { SchnorrBackend } from "./backends/backend.ts"
import type { SignatureBackend } from "./verifier.ts"

const backends = {
  libsecp256k1: () => import("./backends/libsecp256k1.ts"),
  "nostr-wasm": () => import("./backends/nostr-wasm.ts"),
  "nostr-tools": () => import("./backends/nostr-tools.ts"),
} satisfies Record<SignatureBackend, () => Promise<{ readonly load: () => SchnorrBackend | Promise<SchnorrBackend> }>>

/** Their names, fastest first. */
export const backendNames = Object.keys(backends) as readonly SignatureBackend[]

/** Loads and probes one library. Rejects with an Error that says why it cannot be used. */
export const loadBackend = async (name: SignatureBackend): Promise<SchnorrBackend> => {
  const backend = await (await backends[name]()).load()
  const fault = probe(backend)
  if (fault !== undefined) throw new Error(fault)
  return backend
}

/** Vectors 1 (signing, verifying), 5 (a key off the curve) and 13 (a number out of range) of BIP-340. */
export const probe = (backend: SchnorrBackend): string | undefined => {
  const id = bytes("243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89")
  const secret = bytes("b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfef")
  const pubkey = bytes("dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659")
  const sig = bytes(
    "6896bd60eeae296db48a229ff71dfe071bde413e6d43f917dc8dcf8c78de3341" +
      "8906d11ac976abccb20b091292bff4ea897efcb639ea871cfa95f6de339e4b0a",
  )
  const offCurve = bytes("eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34")
  const curveOrder = bytes("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
  const overflow = new Uint8Array([...sig.subarray(0, 32), ...curveOrder])
  const aux = new Uint8Array(32).fill(1, 31)

  if (!same(backend.publicKey(secret), pubkey)) return "it derives a wrong public key"
  if (!same(backend.sign(id, secret, aux), sig)) return "it signs wrongly"
  if (!backend.verify(id, pubkey, sig)) return "it refuses a right signature"
  const forgeries = [
    backend.verify(aux, pubkey, sig),
    backend.verify(id, offCurve, sig),
    backend.verify(id, pubkey, overflow),
  ]
  return forgeries.includes(true) ? "it takes a wrong signature" : undefined
}

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"))
const same = (left: Uint8Array, right: Uint8Array): boolean => Buffer.compare(left, right) === 0
