/**
 * Secret keys in files, and public keys as people write them (NIP-19).
 *
 * K1 A key file comes to be whole, 0600, and once: of two processes that make it at the same time one wins, both get its.
 * K2 No error, log or return value shows a secret; it is handed on as Redacted.
 * K3 A file that others may read is refused, not mended: what they read already is for a person to judge.
 */
import { randomBytes } from "node:crypto"
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  unlinkSync,
  writeFileSync,
} from "node:fs"
import { homedir } from "node:os"
import { dirname, join } from "node:path"
import { Redacted, Schema } from "effect"
import { decode, npubEncode, nsecEncode } from "nostr-tools/nip19"
import { generateSecretKey, getPublicKey } from "nostr-tools/pure"
import { isName } from "../protocol/roster.ts"

export class KeyNameInvalid extends Schema.TaggedError<KeyNameInvalid>()("KeyNameInvalid", { name: Schema.String }) {
  override get message(): string {
    return `"${this.name}" is no name: it begins with a to z, goes on with a to z, 0 to 9, _ or -, and is at most 32 long`
  }
}

export class KeyExposed extends Schema.TaggedError<KeyExposed>()("KeyExposed", { file: Schema.String }) {
  override get message(): string {
    return `${this.file} may be read by others. If nobody did: chmod 600 '${this.file.replaceAll("'", `'\\''`)}'`
  }
}

export class KeyMalformed extends Schema.TaggedError<KeyMalformed>()("KeyMalformed", { file: Schema.String }) {
  override get message(): string {
    return `${this.file} holds no secret key: expected is one line, nsec1… or 64 hex digits`
  }
}

export class KeyUnreadable extends Schema.TaggedError<KeyUnreadable>()("KeyUnreadable", {
  file: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `the key file ${this.file} cannot be used: ${this.reason}`
  }
}

export class PublicKeyMalformed extends Schema.TaggedError<PublicKeyMalformed>()("PublicKeyMalformed", {
  secret: Schema.Boolean,
}) {
  override get message(): string {
    return this.secret
      ? "that is a secret key: never pass it to anything; pass the public one, npub1…"
      : "no public key: expected is npub1…, nprofile1… or 64 hex digits"
  }
}

export interface Key {
  readonly secret: Redacted.Redacted<Uint8Array>
  /** x-only, lower-case hex. */
  readonly pubkey: string
}

/** Where the key of that name is: in an explicit home, else `~/.<name>_key`. Throws KeyNameInvalid. */
export const keyFile = (home: string | undefined, name: string): string => {
  if (!isName(name)) throw new KeyNameInvalid({ name })
  return home === undefined ? join(homedir(), `.${name}_key`) : join(home, "keys", `${name}_key`)
}

/** The key in a file, nothing if there is no such file. Throws KeyExposed, KeyMalformed, KeyUnreadable. */
export const readKey = (file: string): Key | undefined => {
  const text = readGuarded(file)
  if (text === undefined) return undefined
  try {
    const secret = parseSecret(text.trim())
    return { secret: Redacted.make(secret, { label: "secret key" }), pubkey: getPublicKey(secret) }
  } catch {
    throw new KeyMalformed({ file })
  }
}

/** The key in a file, made first if there is none. Throws as `readKey` does. */
export const readOrCreateKey = (file: string): Key & { readonly created: boolean } => {
  const found = readKey(file)
  if (found !== undefined) return { ...found, created: false }
  const created = writeOnce(file, `${nsecEncode(generateSecretKey())}\n`)
  const key = readKey(file)
  if (key === undefined) throw new KeyUnreadable({ file, reason: "it vanished right after it was made" })
  return { ...key, created }
}

/** npub, nprofile (its key) or 64 hex digits, with or without `nostr:`, to lower-case hex. Throws PublicKeyMalformed. */
export const parsePublicKey = (text: string): string => {
  const given = text.trim().replace(/^nostr:/i, "")
  if (/^[0-9a-f]{64}$/i.test(given)) return given.toLowerCase()
  try {
    const decoded = decode(given.toLowerCase())
    if (decoded.type === "npub") return decoded.data
    if (decoded.type === "nprofile") return decoded.data.pubkey
  } catch {
    // Said below, without the library's words, which may hold the text.
  }
  throw new PublicKeyMalformed({ secret: /nsec|ncryptsec/i.test(given) })
}

/** A public key in hex as people pass it on. */
export const npubOf = (pubkey: string): string => npubEncode(pubkey)

const parseSecret = (text: string): Uint8Array => {
  if (/^[0-9a-f]{64}$/i.test(text)) return new Uint8Array(Buffer.from(text, "hex"))
  const decoded = decode(text)
  if (decoded.type !== "nsec") throw new Error("another kind of NIP-19 text")
  return decoded.data
}

/** Far more than a key and its line end; what is longer is no key file. */
const keyFileBytesMax = 1024

const readGuarded = (file: string): string | undefined => {
  let handle: number | undefined
  try {
    // Not to hang on a pipe that lies in its place.
    handle = openSync(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    const stat = fstatSync(handle)
    if (!stat.isFile()) throw new KeyUnreadable({ file, reason: "it is no file" })
    if (process.platform !== "win32" && (stat.mode & 0o077) !== 0) throw new KeyExposed({ file })
    if (stat.size > keyFileBytesMax) throw new KeyMalformed({ file })
    return readFileSync(handle, "utf8")
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === "ENOENT") return undefined
    throw code === undefined ? error : new KeyUnreadable({ file, reason: message })
  } finally {
    if (handle !== undefined) closeSync(handle)
  }
}

/** Written aside, then linked to its name: a link never replaces. Says whether it was us. */
const writeOnce = (file: string, content: string): boolean => {
  const draft = `${file}.${randomBytes(6).toString("hex")}.new`
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    writeFileSync(draft, content, { mode: 0o600, flag: "wx", flush: true })
    try {
      linkSync(draft, file)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false
      throw error
    } finally {
      unlinkSync(draft)
    }
    syncFolder(dirname(file))
    return true
  } catch (error) {
    throw new KeyUnreadable({ file, reason: (error as Error).message })
  }
}

/** So that the name survives a power cut as well. */
const syncFolder = (folder: string): void => {
  if (process.platform === "win32") return
  const handle = openSync(folder, "r")
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
