/**
 * The mentions that a text begins with; only these say who is meant.
 *
 *   text    = spaces *( mention ) body
 *   mention = ( "@" name | "@all" | "nostr:npub1…" | "nostr:nprofile1…" ) [ "," | ":" ] spaces
 *   name    = a letter, then letters, digits, "_" and "-"; at most 32 in all, in any case
 *
 * A mention ends with the text, a space, a comma or a colon: `@timmy's` and `@timmy.example` are words. A mention
 * further in is text. So is a text that begins with a quote (`>`) or code (a backtick): its first token is no mention.
 * A `nostr:` word whose checksum is wrong is text, too.
 *
 * M1 Printing what was parsed and parsing it again gives the same.
 * M2 The body is what stands behind the mentions, to its last character that is no space: nothing after a `#`, or
 *    anything else, is stripped.
 * M3 No text makes it throw.
 */
import { decode, npubEncode } from "nostr-tools/nip19"

export type Mention =
  | { readonly type: "all" }
  /** In lower case. */
  | { readonly type: "name"; readonly name: string }
  /** A public key in lower-case hex; a profile's relays are dropped. */
  | { readonly type: "key"; readonly pubkey: string }

export interface Leading {
  readonly mentions: readonly Mention[]
  readonly body: string
}

export const parseLeading = (text: string): Leading => {
  const mentions: Mention[] = []
  let at = 0
  for (;;) {
    mentionForm.lastIndex = at
    const match = mentionForm.exec(text)
    const mention = match === null ? undefined : readMention(match[1], match[2])
    if (match === null || mention === undefined) return { mentions, body: text.slice(at).trim() }
    mentions.push(mention)
    at = mentionForm.lastIndex
  }
}

export const printLeading = ({ mentions, body }: Leading): string =>
  [...mentions.map(printMention), ...(body === "" ? [] : [body])].join(" ")

export const printMention = (mention: Mention): string => {
  if (mention.type === "key") return `nostr:${npubEncode(mention.pubkey)}`
  return mention.type === "all" ? "@all" : `@${mention.name}`
}

/** Sticky: each match begins where the one before ended, so that a long text is read once. */
const mentionForm = /\s*(?:@([a-z][a-z0-9_-]{0,31})|nostr:((?:npub1|nprofile1)[a-z0-9]{1,1500}))(?:[,:]|(?=\s|$))/iy

const readMention = (name: string | undefined, pointer: string | undefined): Mention | undefined => {
  if (name !== undefined) {
    const lower = name.toLowerCase()
    return lower === "all" ? { type: "all" } : { type: "name", name: lower }
  }
  try {
    const decoded = decode((pointer ?? "").toLowerCase())
    if (decoded.type === "npub") return { type: "key", pubkey: decoded.data }
    if (decoded.type === "nprofile") return { type: "key", pubkey: decoded.data.pubkey }
  } catch {
    // A wrong checksum is how a word shows that it is none of ours.
  }
  return undefined
}
