/**
 * Where something was said: in a channel of the roster, in a room of it, or nowhere. Rights are judged there.
 */
import { isHex64, tagValues, type NostrEvent } from "./event.ts"
import { Kind } from "./kinds.ts"
import type { RosterContent } from "./roster.ts"

/** `elsewhere` is a channel, or a set of people, that the roster does not name. */
export type Place =
  | { readonly type: "none" | "elsewhere" }
  | { readonly type: "channel" | "room"; readonly name: string }

/** Where an event was said: a channel by its root (NIP-28, NIP-10), a room by who is in it (NIP-17), or nowhere. */
export const placeOf = (
  event: Pick<NostrEvent, "kind" | "tags" | "pubkey">,
  { channels, rooms }: Pick<RosterContent, "channels" | "rooms">,
): Place => {
  if (event.kind === Kind.channelMessage) {
    const links = event.tags.filter((tag) => tag[0] === "e")
    const root = (links.find((tag) => tag[3] === "root") ?? links[0])?.[1]
    const channel = channels.find(({ id }) => id === root)
    return channel === undefined ? { type: "elsewhere" } : { type: "channel", name: channel.name }
  }
  if (event.kind !== chatMessage && event.kind !== fileMessage) return { type: "none" }
  const others = tagValues(event, "p").filter((key) => isHex64(key) && key !== event.pubkey)
  const people = new Set([...others, event.pubkey])
  // To one person it is a direct message.
  if (people.size <= 2) return { type: "none" }
  const room = rooms.find(({ members }) => members.length === people.size && members.every((key) => people.has(key)))
  return room === undefined ? { type: "elsewhere" } : { type: "room", name: room.name }
}

/** Whether a key is in a channel or room of the roster. */
export const isIn = (roster: RosterContent, place: Place, pubkey: string): boolean =>
  "name" in place &&
  (roster.members.some((member) => member.channel === place.name && member.pubkey === pubkey) ||
    roster.rooms.some((room) => room.name === place.name && room.members.includes(pubkey)))

/** The channels and rooms that a key is in. */
export const namesOf = ({ members, rooms }: RosterContent, pubkey: string): readonly string[] => [
  ...members.filter((member) => member.pubkey === pubkey).map(({ channel }) => channel),
  ...rooms.filter((room) => room.members.includes(pubkey)).map(({ name }) => name),
]

/** NIP-17. */
const chatMessage = 14
const fileMessage = 15
