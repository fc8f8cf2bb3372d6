/**
 * What a relay says of itself (NIP-11), as far as it changes what we ask of it and send it. A field that is absent or
 * makes no sense counts as not said; nothing here fails.
 *
 * RN1 What is not said bounds nothing.
 * RN2 A bound below what any event or question needs is a broken document's: it counts as not said.
 */
import type { NostrEvent } from "./event.ts"

/** `Infinity` where nothing is said. */
export interface RelayBounds {
  /** Bytes of one frame. */
  readonly messageBytesMax: number
  /** Open at a time. */
  readonly subscriptionsMax: number
  readonly subscriptionIdCharsMax: number
  /** What a filter's `limit` may be. */
  readonly limitMax: number
  readonly eventTagsMax: number
  /** Characters (code points) of `content`. */
  readonly contentCharsMax: number
  /** How far `created_at` may be from now. */
  readonly pastSecondsMax: number
  readonly futureSecondsMax: number
}

export interface RelayInformation {
  readonly bounds: RelayBounds
  /** It does negentropy (NIP-77). */
  readonly reconciles: boolean
}

export const readRelayInformation = (document: unknown): RelayInformation => {
  const { supported_nips: nips, limitation } = recordOf(document)
  const said = recordOf(limitation)
  const bound = (name: string, least: number): number => {
    const value = said[name]
    return typeof value === "number" && Number.isFinite(value) && value >= least ? value : Infinity
  }
  return {
    bounds: {
      messageBytesMax: bound("max_message_length", messageBytesMin),
      subscriptionsMax: bound("max_subscriptions", 1),
      subscriptionIdCharsMax: bound("max_subid_length", subscriptionIdCharsMin),
      limitMax: bound("max_limit", 1),
      eventTagsMax: bound("max_event_tags", 1),
      contentCharsMax: bound("max_content_length", 1),
      pastSecondsMax: bound("created_at_lower_limit", 1),
      futureSecondsMax: bound("created_at_upper_limit", 0),
    },
    reconciles: Array.isArray(nips) && nips.includes(77),
  }
}

/**
 * Why that relay will not take the event, as it would say it (the prefixes of NIP-01); undefined where nothing speaks
 * against it. What is dated too far ahead may be taken later.
 */
export const refusalBy = (bounds: RelayBounds, event: NostrEvent, nowSeconds: number): string | undefined => {
  const { messageBytesMax, eventTagsMax, contentCharsMax, pastSecondsMax, futureSecondsMax } = bounds
  const says = (prefix: string, what: string): string =>
    `${prefix}: not sent, ${what}, as the relay says itself (NIP-11)`
  if (event.tags.length > eventTagsMax)
    return says("invalid", `it has ${event.tags.length} tags and at most ${eventTagsMax} are taken`)
  if (event.content.length > contentCharsMax && charsOf(event.content) > contentCharsMax)
    return says(
      "invalid",
      `its content has ${charsOf(event.content)} characters and at most ${contentCharsMax} are taken`,
    )
  const bytes = messageBytesMax < Infinity ? bytesOf(["EVENT", event]) : 0
  if (bytes > messageBytesMax)
    return says("invalid", `it takes ${bytes} bytes and at most ${messageBytesMax} are taken`)
  if (nowSeconds - event.created_at > pastSecondsMax)
    return says("invalid", `it is too old, and ${pastSecondsMax} s are taken`)
  if (event.created_at - nowSeconds > futureSecondsMax)
    return says("error", `it is dated more than ${futureSecondsMax} s ahead`)
  return undefined
}

/** What it takes on the wire. */
export const bytesOf = (frame: unknown): number => Buffer.byteLength(JSON.stringify(frame))

const messageBytesMin = 1024
const subscriptionIdCharsMin = 8

const charsOf = (text: string): number => {
  let chars = 0
  for (const _ of text) chars++
  return chars
}

const recordOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {}

/** Of a relay that says nothing. */
export const nothingSaid: RelayInformation = readRelayInformation(undefined)
