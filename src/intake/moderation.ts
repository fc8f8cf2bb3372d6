/**
 * Hide and mute (NIP-28), by operators alone: what a kind 43 hides and has not begun is cancelled; whom a kind 44 mutes
 * is not heard in that channel (in every channel where it names none) from its arrival on. Only members are muted:
 * operators are always heard, and wizards go on obeying.
 */
import { readModeration } from "../protocol/channel.ts"
import { tagValues, type NostrEvent } from "../protocol/event.ts"
import { placeOf } from "../protocol/place.ts"
import { isOperator, standing, type Roster } from "../protocol/roster.ts"
import type { Envelope } from "../engine/command-host.ts"
import { commandActor } from "../engine/commands.ts"
import type { StoreShape } from "../store/store.ts"

export interface Moderated {
  readonly envelopes: readonly Envelope[]
  /** `<channel's name>/<public key>`; `*` is every channel. */
  readonly mutes: readonly string[]
}

export const muteScope = "muted"

/** Undefined where the event moderates nothing, or its author may not. */
export const moderate = (
  event: NostrEvent,
  roster: Roster,
  wizard: string,
  store: StoreShape,
): Moderated | undefined => {
  const moderation = readModeration(event)
  if (moderation === undefined || !isOperator(roster, event.pubkey)) return undefined
  if ("mutes" in moderation) {
    const ids = tagValues(event, "e")
    const named = roster.channels.filter(({ id }) => ids.includes(id)).map(({ name }) => name)
    const channels = ids.length === 0 ? ["*"] : named
    const members = moderation.mutes.filter((pubkey) => standing(roster, pubkey) === "member")
    return { envelopes: [], mutes: channels.flatMap((channel) => members.map((pubkey) => `${channel}/${pubkey}`)) }
  }
  const rows = moderation.hides.flatMap((id) => store.command.get(commandActor(id, wizard)) ?? [])
  const reason = "hidden by an operator"
  return {
    envelopes: rows
      .filter(({ state }) => state === "acknowledged" || state === "awaiting-approval")
      .map(({ actor }) => ({ actor, cause: event.id, event: { type: "cancel", reason } })),
    mutes: [],
  }
}

/** Whether that message is by somebody who is muted where it was said. */
export const isMuted = (event: NostrEvent, roster: Roster, store: StoreShape): boolean => {
  const place = placeOf(event, roster)
  if (place.type !== "channel" || standing(roster, event.pubkey) !== "member") return false
  return ["*", place.name].some((channel) => store.setting.get(muteScope, `${channel}/${event.pubkey}`) !== undefined)
}
