import { randomBytes } from "node:crypto"
import { describe, expect, it } from "vitest"
import { backendNames, loadBackend, probe } from "../../src/identity/backends.ts"
import { BackendUnusable, chooseBackend } from "../../src/identity/choose-backend.ts"
import { signingVectors, verifyingVectors } from "./bip340.ts"

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"))
const hex = (data: Uint8Array): string => Buffer.from(data).toString("hex")
/** The reference that the others are held against; it is there wherever the dependencies are. */
const reference = await loadBackend("nostr-tools")
const libraryMissing = await loadBackend("libsecp256k1").then(
  () => false,
  (error: Error) => error.message.includes("not installed"),
)

for (const name of backendNames) {
  describe.skipIf(name === "libsecp256k1" && libraryMissing)(`signature backend ${name}`, async () => {
    const backend = name === "libsecp256k1" && libraryMissing ? reference : await loadBackend(name)

    it("says its name", () => expect(backend.name).toBe(name))

    it.each(signingVectors)("signs, derives and verifies the BIP-340 vector of $pubkey", (vector) => {
      const [secret, id] = [bytes(vector.secret), bytes(vector.message)]
      expect(hex(backend.publicKey(secret))).toBe(vector.pubkey)
      expect(hex(backend.sign(id, secret, bytes(vector.aux)))).toBe(vector.sig)
      expect(hex(backend.sign(id, secret, bytes(vector.aux))), "with what it kept of the key").toBe(vector.sig)
      expect(backend.verify(id, bytes(vector.pubkey), bytes(vector.sig))).toBe(true)
    })

    it.each(verifyingVectors)("judges BIP-340 vector $what", ({ valid, pubkey, message, sig }) => {
      expect(backend.verify(bytes(message), bytes(pubkey), bytes(sig))).toBe(valid)
      expect(backend.verify(bytes(message), bytes(pubkey), bytes(sig))).toBe(valid)
    })

    it("agrees with the reference on keys and signatures of its own, and on any single flipped bit", () => {
      for (let round = 0; round < 8; round++) {
        const [secret, id, aux] = [randomBytes(32), randomBytes(32), randomBytes(32)].map(
          (data) => new Uint8Array(data),
        )
        if (secret === undefined || id === undefined || aux === undefined) throw new Error("unreachable")
        const [pubkey, sig] = [backend.publicKey(secret), backend.sign(id, secret, aux)]
        expect(hex(pubkey)).toBe(hex(reference.publicKey(secret)))
        expect(hex(sig)).toBe(hex(reference.sign(id, secret, aux)))
        expect(backend.verify(id, pubkey, sig)).toBe(true)
        for (const part of [id, pubkey, sig]) {
          const at = Math.floor((part.length * round) / 8)
          part[at] = (part[at] ?? 0) ^ (1 << round)
          expect(backend.verify(id, pubkey, sig)).toBe(false)
          part[at] = (part[at] ?? 0) ^ (1 << round)
        }
      }
    })

    it.each([
      ["zero", "00".repeat(32)],
      ["the curve order", "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"],
      ["short", "01".repeat(31)],
    ])("refuses a secret that is %s, without showing it", (_, secret) => {
      expect(() => backend.publicKey(bytes(secret))).toThrow("the secret key is out of range")
      expect(() => backend.sign(bytes("11".repeat(32)), bytes(secret), new Uint8Array(32))).toThrow(
        "the secret key is out of range",
      )
    })
  })
}

describe("choosing a backend", () => {
  it("takes the first that works and tells nothing skipped before it", async () => {
    const { backend, skipped } = await chooseBackend(["nostr-wasm", "nostr-tools"])
    expect([backend.name, skipped]).toEqual(["nostr-wasm", []])
  })

  it("rejects with BackendUnusable when nothing is left", async () => {
    await expect(chooseBackend([])).rejects.toBeInstanceOf(BackendUnusable)
  })

  it("finds out a library that answers wrongly", () => {
    expect(probe(reference)).toBeUndefined()
    expect(probe({ ...reference, verify: () => true })).toContain("takes a wrong signature")
    expect(probe({ ...reference, verify: () => false })).toContain("refuses a right signature")
    expect(probe({ ...reference, sign: () => new Uint8Array(64) })).toContain("signs wrongly")
    expect(probe({ ...reference, publicKey: () => new Uint8Array(32) })).toContain("wrong public key")
  })
})
