/**
 * The channels that a council begins with: the seed's four, made once by the council key, and who is in them. Three are
 * public (NIP-28, plain text); #tempo-urgent is a private room.
 */
import type { ChannelAbout } from "../protocol/channel.ts"
import { isPublicUrl } from "../protocol/relay-list.ts"
import type { Roster, RosterChange } from "../protocol/roster.ts"
import { placesOf } from "./orders.ts"
import type { CouncilHand } from "./roster-keeper.ts"

const channels = {
  "council-general": "Announcements, general coordination. Any wizard can join.",
  workers: "Implementation tasks, coding, building. Workers and tempo wizards.",
  researchers: "Intelligence gathering, reports, analysis. Researchers and tempo wizards.",
} as const

/** Triage, routing, priority decisions. Invite only: its operators and tempo wizards. */
const room = "tempo-urgent"

/** What a kind 40 or 41 says of a channel; only relays that others can reach are named. */
export const aboutChannel = (name: string, relays: readonly string[]): ChannelAbout => ({
  name,
  about: new Map<string, string>(Object.entries(channels)).get(name) ?? "",
  relays: relays.filter(isPublicUrl),
})

type Member = { readonly name: string; readonly pubkey: string; readonly class: string }

/**
 * What a roster without any channel needs, for those who are in it by then: its operators and its wizards. Nothing
 * where there is a channel or a room already.
 */
export const foundChannels = async (
  held: Pick<Roster, "channels" | "rooms"> | undefined,
  who: {
    readonly operators: readonly string[]
    readonly wizards: readonly Member[]
    readonly relays: readonly string[]
  },
  { makeChannel }: CouncilHand,
): Promise<readonly RosterChange[]> => {
  if (held !== undefined && held.channels.length + held.rooms.length > 0) return []
  const made: { readonly name: string; readonly id: string }[] = []
  for (const name of Object.keys(channels)) made.push({ name, id: await makeChannel(aboutChannel(name, who.relays)) })
  const places = { channels: made, rooms: [{ name: room, members: [] }] }
  const inside = who.wizards.flatMap(({ pubkey, class: className }) =>
    placesOf(places, className).map((channel) => ({ channel, pubkey })),
  )
  const members = [...who.operators, ...inside.filter(({ channel }) => channel === room).map(({ pubkey }) => pubkey)]
  return [
    ...made.map(({ name, id }) => ({ type: "add-channel", name, id }) as const),
    { type: "add-room", name: room, members },
    ...inside.filter(({ channel }) => channel !== room).map((member) => ({ type: "add-member", ...member }) as const),
  ]
}
