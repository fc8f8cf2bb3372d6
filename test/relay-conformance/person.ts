/**
 * Throw-away keys and events that nobody has seen before, so that the suite can run twice against a living relay.
 *
 * Events are hashed here, byte by byte, and signed by libsecp256k1 (nostr-wasm). So those that are wrong on purpose have
 * a right hash and signature, and the one thing that is wrong is the only reason to refuse them.
 */
import { createHash, randomBytes } from "node:crypto"
import { generateSecretKey } from "nostr-tools/pure"
import { loadBackend } from "../../src/identity/backends.ts"
import type { EventTemplate, NostrEvent } from "../../src/protocol/event.ts"

export interface Person {
  readonly secret: Uint8Array
  readonly pubkey: string
  /** A signed event; a note of now with content of its own unless told otherwise. */
  readonly event: (template?: Partial<EventTemplate>) => NostrEvent
  /** An event whose parts are given as JSON text, hashed and signed as given. */
  readonly raw: (parts: RawParts) => RawEvent
}

/** Each part is the JSON text that is hashed; `wire` puts another text for the same part into the frame. */
export interface RawParts {
  readonly pubkey?: string
  readonly created_at?: string
  readonly kind?: string
  readonly tags?: string
  readonly content?: string
  readonly wire?: Partial<Record<"created_at" | "kind" | "tags" | "content", string>>
}

export interface RawEvent {
  readonly id: string
  /** The event as JSON text. */
  readonly json: string
}

const schnorr = await loadBackend("nostr-wasm")

export const person = (secret: Uint8Array = generateSecretKey()): Person => {
  const pubkey = hex(schnorr.publicKey(secret))
  const sign = (author: string, created_at: string, kind: string, tags: string, content: string) => {
    const id = createHash("sha256").update(`[0,"${author}",${created_at},${kind},${tags},${content}]`).digest()
    return { id: hex(id), sig: hex(schnorr.sign(id, secret, randomBytes(32))) }
  }
  return {
    secret,
    pubkey,
    event: ({ kind = 1, created_at = now(), tags = [], content = unique() } = {}) => {
      const { id, sig } = sign(pubkey, String(created_at), String(kind), JSON.stringify(tags), JSON.stringify(content))
      return { id, pubkey, created_at, kind, tags, content, sig }
    },
    raw: (parts) => {
      const author = parts.pubkey ?? pubkey
      const hashed = {
        created_at: parts.created_at ?? String(now()),
        kind: parts.kind ?? "1",
        tags: parts.tags ?? "[]",
        content: parts.content ?? JSON.stringify(unique()),
      }
      const { created_at, kind, tags, content } = hashed
      const { id, sig } = sign(author, created_at, kind, tags, content)
      const wire = { ...hashed, ...parts.wire }
      return {
        id,
        json:
          `{"id":"${id}","pubkey":"${author}","created_at":${wire.created_at},"kind":${wire.kind},` +
          `"tags":${wire.tags},"content":${wire.content},"sig":"${sig}"}`,
      }
    },
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

export const now = (): number => Math.floor(Date.now() / 1000)

export const hex32 = (): string => randomBytes(32).toString("hex")

/** A text that no relay holds yet. */
export const unique = (): string => `conformance ${randomBytes(8).toString("hex")}`

/** A regular kind that hardly anybody uses. */
export const rareKind = (): number => 5_000 + (randomBytes(2).readUInt16BE() % 900)

/** The order in which stored events are due: newest first, then the lowest id. */
export const newestFirst = (a: NostrEvent, b: NostrEvent): number =>
  b.created_at - a.created_at || (a.id < b.id ? -1 : 1)

/** Makes versions of an event until one has a lower and one a higher id: [lower, higher]. */
export const twoById = (make: () => NostrEvent): readonly [NostrEvent, NostrEvent] => {
  const [a, b] = [make(), make()]
  return a.id < b.id ? [a, b] : [b, a]
}
