/**
 * The Nostr event (NIP-01): its shape, its id, and the one gate by which unknown data becomes an event.
 *
 * Refuses anything that two programs could hash differently: lone surrogates, numbers that are not safe integers,
 * hex in capitals. It does not check signatures; that is `identity/verifier.ts`.
 */
import { hash } from "node:crypto"

/** A list of strings; the first names the tag. */
export type Tag = readonly string[]

/** An event before it has an author's signature. `created_at` is in unix seconds. */
export interface EventTemplate {
  readonly kind: number
  readonly created_at: number
  readonly tags: readonly Tag[]
  readonly content: string
}

/** A template with its author (32-byte x-only public key, lower-case hex) and id (sha256, lower-case hex). */
export interface UnsignedEvent extends EventTemplate {
  readonly pubkey: string
  readonly id: string
}

/** A whole event; `sig` is a 64-byte Schnorr signature (BIP-340) of the id, lower-case hex. */
export interface NostrEvent extends UnsignedEvent {
  readonly sig: string
}

/** The id of an event, from its canonical serialisation (NIP-01). */
export const eventId = (event: EventTemplate & { readonly pubkey: string }): string =>
  hash("sha256", JSON.stringify([0, event.pubkey, event.created_at, event.kind, event.tags, event.content]))

/** Names the author and fixes the id. */
export const withId = (pubkey: string, template: EventTemplate): UnsignedEvent => {
  const { kind, created_at, tags, content } = template
  return { id: eventId({ pubkey, kind, created_at, tags, content }), pubkey, created_at, kind, tags, content }
}

const hex64 = /^[0-9a-f]{64}$/
const hex128 = /^[0-9a-f]{128}$/

/** 32 bytes in lower-case hex. */
export const isHex64 = (value: unknown): value is string => typeof value === "string" && hex64.test(value)

/** Says what is wrong with the shape of an event, or nothing if it is one. Ids and signatures are not checked here. */
export const eventFault = (value: unknown): string | undefined => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "event is not an object"
  const event = value as Record<string, unknown>
  if (!isHex64(event["id"])) return "id is not 64 lower-case hex digits"
  if (!isHex64(event["pubkey"])) return "pubkey is not 64 lower-case hex digits"
  if (typeof event["sig"] !== "string" || !hex128.test(event["sig"])) return "sig is not 128 lower-case hex digits"
  if (!isCount(event["created_at"])) return "created_at is not a unix time"
  if (!isCount(event["kind"]) || event["kind"] > 65535) return "kind is not between 0 and 65535"
  if (typeof event["content"] !== "string" || !event["content"].isWellFormed()) return "content is not well-formed text"
  if (!Array.isArray(event["tags"])) return "tags is not a list"
  for (const tag of event["tags"]) {
    if (!Array.isArray(tag)) return "a tag is not a list"
    for (const part of tag)
      if (typeof part !== "string" || !part.isWellFormed()) return "a tag holds no well-formed text"
  }
  return undefined
}

/** Unknown data to an event, keeping only the seven fields that NIP-01 names; undefined if it is not one. */
export const parseEvent = (value: unknown): NostrEvent | undefined => {
  if (eventFault(value) !== undefined) return undefined
  const { id, pubkey, created_at, kind, tags, content, sig } = value as NostrEvent
  return { id, pubkey, created_at, kind, tags, content, sig }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

/** The value of the first tag of that name, if there is one. The first counts, as in NIP-01. */
export const tagValue = (event: { readonly tags: readonly Tag[] }, name: string): string | undefined =>
  event.tags.find((tag) => tag[0] === name)?.[1]

/** The values of all tags of that name, in order. */
export const tagValues = (event: { readonly tags: readonly Tag[] }, name: string): readonly string[] =>
  event.tags.flatMap((tag) => (tag[0] === name && tag[1] !== undefined ? [tag[1]] : []))
