/**
 * libsecp256k1 as the system has it, through koffi. The fastest by far: C with hand-written assembly.
 *
 * The library calls abort() when it is handed a key object that was never made, so nothing goes on after a parse or a
 * keypair_create that did not return 1. Parsed public keys are kept, as authors come back; how many is bounded.
 */
import { randomBytes } from "node:crypto"
import koffi from "koffi"
import { type SchnorrBackend, secretOutOfRange } from "./backend.ts"

/** Throws where the library is not installed. */
export const load = (): SchnorrBackend => {
  const lib = openLibrary()
  const verify = lib.func(
    "int secp256k1_schnorrsig_verify(void *ctx, uint8_t *sig64, uint8_t *msg, size_t msglen, uint8_t *pubkey)",
  )
  const sign = lib.func(
    "int secp256k1_schnorrsig_sign32(void *ctx, uint8_t *sig64, uint8_t *msg32, uint8_t *keypair, uint8_t *aux32)",
  )
  const parse = lib.func("int secp256k1_xonly_pubkey_parse(void *ctx, uint8_t *pubkey, uint8_t *input32)")
  const serialize = lib.func("int secp256k1_xonly_pubkey_serialize(void *ctx, uint8_t *output32, uint8_t *pubkey)")
  const keypairCreate = lib.func("int secp256k1_keypair_create(void *ctx, uint8_t *keypair, uint8_t *secret32)")
  const keypairPubkey = lib.func(
    "int secp256k1_keypair_xonly_pub(void *ctx, uint8_t *pubkey, void *parity, uint8_t *keypair)",
  )
  const ctx: unknown = lib.func("void *secp256k1_context_create(unsigned int flags)")(contextSignVerify)
  // Blinds the context against side channels, as the library's manual asks.
  lib.func("int secp256k1_context_randomize(void *ctx, uint8_t *seed32)")(ctx, randomBytes(32))

  const parsed = new Map<string, Uint8Array>()
  const parsedKey = (pubkey32: Uint8Array): Uint8Array | undefined => {
    const name = Buffer.from(pubkey32.buffer, pubkey32.byteOffset, 32).toString("latin1")
    const known = parsed.get(name)
    if (known !== undefined) return known
    const key = new Uint8Array(pubkeyBytes)
    if (parse(ctx, key, pubkey32) !== 1) return undefined
    for (const oldest of parsed.size >= parsedKeysMax ? parsed.keys().take(1) : []) parsed.delete(oldest)
    parsed.set(name, key)
    return key
  }

  const keypairs = new WeakMap<Uint8Array, Uint8Array>()
  const keypairOf = (secret32: Uint8Array): Uint8Array => {
    const known = keypairs.get(secret32)
    if (known !== undefined) return known
    const keypair = new Uint8Array(keypairBytes)
    if (secret32.length !== 32 || keypairCreate(ctx, keypair, secret32) !== 1) throw secretOutOfRange()
    keypairs.set(secret32, keypair)
    return keypair
  }

  return {
    name: "libsecp256k1",
    verify: (id32, pubkey32, sig64) => {
      const key = parsedKey(pubkey32)
      return key !== undefined && verify(ctx, sig64, id32, 32, key) === 1
    },
    sign: (id32, secret32, aux32) => {
      const sig = new Uint8Array(64)
      if (sign(ctx, sig, id32, keypairOf(secret32), aux32) !== 1) throw secretOutOfRange()
      return sig
    },
    publicKey: (secret32) => {
      const key = new Uint8Array(pubkeyBytes)
      const output = new Uint8Array(32)
      keypairPubkey(ctx, key, null, keypairOf(secret32))
      serialize(ctx, output, key)
      return output
    },
  }
}

/** SECP256K1_CONTEXT_SIGN | SECP256K1_CONTEXT_VERIFY: also right for libraries from before they were dropped. */
const contextSignVerify = 769
/** The sizes of the library's opaque key objects. */
const pubkeyBytes = 64
const keypairBytes = 96
/** Parsed public keys that are kept (about 200 bytes each). More: the oldest goes. */
const parsedKeysMax = 4096

const openLibrary = (): ReturnType<typeof koffi.load> => {
  for (const file of libraryFiles()) {
    try {
      return koffi.load(file)
    } catch {
      // Not under this name; the next may be it.
    }
  }
  throw new Error(
    "libsecp256k1 is not installed (Debian, Ubuntu: apt install libsecp256k1-1; macOS: brew install secp256k1)",
  )
}

/** The functions used here are the same in every version of the library that has the schnorrsig module. */
const libraryFiles = (): readonly string[] => {
  if (process.platform === "win32") return ["libsecp256k1.dll", "secp256k1.dll"]
  if (process.platform === "darwin") {
    return ["/opt/homebrew/lib/", "/usr/local/lib/", "/opt/local/lib/", ""].map((at) => `${at}libsecp256k1.dylib`)
  }
  return ["", ".6", ".5", ".4", ".3", ".2", ".1", ".0"].map((version) => `libsecp256k1.so${version}`)
}
