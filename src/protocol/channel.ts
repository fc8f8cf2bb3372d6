/**
 * Channels on the wire (NIP-28): kind 40 makes one, 41 describes it, 43 hides a message, 44 mutes somebody. They are
 * public plain text; who is in one, and who may command there, is the roster's.
 */
import { isHex64, tagValue, tagValues, type EventTemplate } from "./event.ts"
import { Kind } from "./kinds.ts"

export interface ChannelAbout {
  readonly name: string
  readonly about: string
  /** Where its messages are. */
  readonly relays: readonly string[]
}

/** Kind 40. `createdAt` in unix seconds. To be signed by the council key; its id is the channel's. */
export const channelCreateTemplate = (about: ChannelAbout, createdAt: number): EventTemplate => ({
  kind: Kind.channelCreate,
  created_at: createdAt,
  tags: [],
  content: contentOf(about),
})

/** Kind 41 of the channel with that id. */
export const channelMetadataTemplate = (id: string, about: ChannelAbout, createdAt: number): EventTemplate => ({
  kind: Kind.channelMetadata,
  created_at: createdAt,
  tags: [["e", id, about.relays[0] ?? "", "root"]],
  content: contentOf(about),
})

/** What a 40 or 41 says; undefined for another event. Whose it is, is judged elsewhere. */
export const readChannelAbout = (event: EventTemplate): (ChannelAbout & { readonly channel?: string }) | undefined => {
  if (event.kind !== Kind.channelCreate && event.kind !== Kind.channelMetadata) return undefined
  const channel = event.kind === Kind.channelMetadata ? tagValue(event, "e") : undefined
  if (event.kind === Kind.channelMetadata && !isHex64(channel)) return undefined
  try {
    const { name, about, relays } = Object(JSON.parse(event.content)) as Record<string, unknown>
    if (typeof name !== "string") return undefined
    const urls = Array.isArray(relays) ? relays.filter((url) => typeof url === "string") : []
    return {
      name,
      about: typeof about === "string" ? about : "",
      relays: urls,
      ...(channel !== undefined && { channel }),
    }
  } catch {
    return undefined
  }
}

/** The messages that a kind 43 hides, and the keys that a kind 44 mutes; undefined for another event. */
export const readModeration = (
  event: EventTemplate,
): { readonly hides: readonly string[] } | { readonly mutes: readonly string[] } | undefined => {
  if (event.kind === Kind.channelHide) return { hides: [...new Set(tagValues(event, "e").filter(isHex64))] }
  if (event.kind === Kind.channelMute) return { mutes: [...new Set(tagValues(event, "p").filter(isHex64))] }
  return undefined
}

const contentOf = ({ name, about, relays }: ChannelAbout): string =>
  JSON.stringify({ name, about, picture: "", relays })
