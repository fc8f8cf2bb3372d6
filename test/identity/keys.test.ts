import { fork } from "node:child_process"
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { homedir, tmpdir } from "node:os"
import { join } from "node:path"
import { inspect } from "node:util"
import * as fc from "fast-check"
import { Redacted } from "effect"
import { nprofileEncode, npubEncode, nsecEncode } from "nostr-tools/nip19"
import { getPublicKey } from "nostr-tools/pure"
import { afterAll, describe, expect, it, onTestFinished } from "vitest"
import {
  KeyExposed,
  keyFile,
  KeyMalformed,
  KeyNameInvalid,
  KeyUnreadable,
  npubOf,
  parsePublicKey,
  PublicKeyMalformed,
  readKey,
  readOrCreateKey,
} from "../../src/identity/keys.ts"

const folder = mkdtempSync(join(tmpdir(), "keys-"))
afterAll(() => rmSync(folder, { recursive: true }))
let serial = 0
const freshFile = (): string => keyFile(join(folder, `home-${serial++}`), "timmy")
const written = (content: string, mode = 0o600): string => {
  const file = join(folder, `key-${serial++}`)
  writeFileSync(file, content, { mode })
  chmodSync(file, mode)
  return file
}
const thrown = (call: () => unknown): Error => {
  try {
    call()
  } catch (error) {
    return error as Error
  }
  throw new Error("nothing was thrown")
}

const secret = new Uint8Array(32).fill(7)
const secretHex = Buffer.from(secret).toString("hex")
const pubkey = getPublicKey(secret)

describe("where a key lies", () => {
  it("is in the home that was given, else as the council's own document says", () => {
    expect(keyFile("/h", "timmy")).toBe(join("/h", "keys", "timmy_key"))
    expect(keyFile(undefined, "timmy")).toBe(join(homedir(), ".timmy_key"))
  })

  it.each(["", "../x", "a/b", "Timmy", "1a", "a b", "a".repeat(33), "a\n", "a\0", "é"])(
    "refuses the name %j",
    (name) => {
      expect(thrown(() => keyFile("/h", name))).toBeInstanceOf(KeyNameInvalid)
    },
  )
})

describe("a key file", () => {
  it("K1: is made once, private, holding one line, and read back the same", () => {
    const file = freshFile()
    const made = readOrCreateKey(file)
    const again = readOrCreateKey(file)
    expect([made.created, again.created, again.pubkey]).toEqual([true, false, made.pubkey])
    expect(Redacted.value(again.secret)).toEqual(Redacted.value(made.secret))
    expect(readFileSync(file, "utf8")).toBe(`${nsecEncode(Redacted.value(made.secret))}\n`)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readdirSync(join(file, ".."))).toEqual(["timmy_key"])
  })

  it("K1: processes that make it at the same time all get the one key", async () => {
    const file = freshFile()
    const children = Array.from({ length: 4 }, () => fork(new URL("./key-maker.ts", import.meta.url), [file]))
    onTestFinished(() => children.forEach((child) => void child.kill("SIGKILL")))
    const answers = children.map(
      (child) =>
        new Promise<{ pubkey: string; created: boolean }>((resolve, reject) => {
          child.on("message", (message) => {
            if (message === "ready") ready()
            else resolve(message as { pubkey: string; created: boolean })
          })
          child.once("error", reject)
        }),
    )
    let waiting = children.length
    const ready = (): void => {
      // All are loaded: now all at once.
      if (--waiting === 0) for (const child of children) child.send("go")
    }
    const made = await Promise.all(answers)
    expect(new Set(made.map(({ pubkey }) => pubkey)).size).toBe(1)
    expect(made.filter(({ created }) => created)).toHaveLength(1)
    expect(readdirSync(join(file, ".."))).toEqual(["timmy_key"])
  })

  it.each([
    ["nsec", `${nsecEncode(secret)}\n`],
    ["nsec without a line end", nsecEncode(secret)],
    ["hex", `${secretHex}\n`],
    ["hex in capitals with spaces", `  ${secretHex.toUpperCase()} \r\n`],
  ])("is read as %s", (_, content) => expect(readKey(written(content))?.pubkey).toBe(pubkey))

  it("is nothing where there is none", () => expect(readKey(freshFile())).toBeUndefined())

  it.each([0o640, 0o604, 0o620, 0o601])("K3: with mode %o is refused, with the command that mends it", (mode) => {
    const file = written(nsecEncode(secret), mode)
    const error = thrown(() => readOrCreateKey(file))
    expect(error).toBeInstanceOf(KeyExposed)
    expect(error.message).toContain(`chmod 600 '${file}'`)
    expect(statSync(file).mode & 0o777).toBe(mode)
  })

  it.each([
    ["empty", ""],
    ["the public key", npubEncode(pubkey)],
    ["a damaged nsec", nsecEncode(secret).replace("q", "p")],
    ["two keys", `${nsecEncode(secret)}\n${nsecEncode(secret)}`],
    ["63 digits", secretHex.slice(1)],
    ["out of range", "0".repeat(64)],
    ["too long", "a".repeat(5000)],
  ])("K2: that is malformed (%s) is refused without showing or replacing it", (_, content) => {
    const file = written(content)
    const error = thrown(() => readOrCreateKey(file))
    expect(error).toBeInstanceOf(KeyMalformed)
    expect(error.message).toContain(file)
    expect(inspect(error, { depth: 9 })).not.toContain(content.slice(0, 20) || secretHex)
    expect(readFileSync(file, "utf8")).toBe(content)
  })

  it("that is a folder, or lies under a file, is refused with the reason", () => {
    const place = join(folder, "place_key")
    mkdirSync(place, { mode: 0o700 })
    expect(thrown(() => readKey(place))).toBeInstanceOf(KeyUnreadable)
    expect(thrown(() => readOrCreateKey(join(written("x"), "timmy_key")))).toBeInstanceOf(KeyUnreadable)
  })

  it("K2: its secret does not show when it is printed", () => {
    const key = readOrCreateKey(freshFile())
    const hex = Buffer.from(Redacted.value(key.secret)).toString("hex")
    for (const shown of [inspect(key, { depth: 9 }), JSON.stringify(key), String(key.secret)]) {
      expect(shown).not.toContain(hex)
      expect(shown).not.toContain([...Redacted.value(key.secret)].slice(0, 4).join(", "))
    }
  })
})

describe("a public key as people write it", () => {
  it("is npub, nprofile or hex, to hex and back", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
        const hex = Buffer.from(bytes).toString("hex")
        const npub = npubOf(hex)
        const nprofile = nprofileEncode({ pubkey: hex, relays: ["wss://relay.example"] })
        for (const text of [
          hex,
          hex.toUpperCase(),
          npub,
          ` ${npub}\n`,
          `nostr:${npub}`,
          npub.toUpperCase(),
          nprofile,
        ]) {
          expect(parsePublicKey(text)).toBe(hex)
        }
      }),
      { numRuns: 30 },
    )
  })

  it.each([nsecEncode(secret), `nostr:${nsecEncode(secret)}`, nsecEncode(secret).toUpperCase(), "nsec1damaged"])(
    "K2: a secret key is refused and not repeated",
    (text) => {
      const error = thrown(() => parsePublicKey(text))
      expect(error).toBeInstanceOf(PublicKeyMalformed)
      expect(error.message).toContain("never pass it")
      expect(inspect(error, { depth: 9 })).not.toContain(text.slice(6))
    },
  )

  it.each(["", "timmy", "npub1xyz", pubkey.slice(1), "note1qqq", "NaN"])(
    "refuses %j, saying what it expected",
    (text) => {
      expect(thrown(() => parsePublicKey(text)).message).toContain("npub1…, nprofile1… or 64 hex digits")
    },
  )
})
