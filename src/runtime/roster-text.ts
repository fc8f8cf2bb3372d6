/** The roster in words, short enough for a phone: who commands, where the council meets, who is who, and since when. */
import { npubOf } from "../identity/keys.ts"
import type { NostrEvent } from "../protocol/event.ts"
import type { Order } from "../protocol/orders.ts"
import { isRosterFault, parseRoster, standing, type Roster } from "../protocol/roster.ts"
import type { StoreShape } from "../store/store.ts"

/** What is answered to an order that only asks. */
export const answerOf = (order: Order, roster: Roster, store: StoreShape): string => {
  if (order.name === "operators") return operatorsText(roster)
  if (order.name === "channels") return channelsText(roster)
  return order.name === "roster" && order.to === "history" ? historyText(historyOf(store)) : rosterText(roster)
}

const operatorsText = ({ operators }: Roster): string =>
  operators.map(({ pubkey, label }) => `${npubOf(pubkey)} ${label}`.trimEnd()).join("\n") || "nobody"

export interface Channel {
  readonly name: string
  readonly private: boolean
  /** Of its kind 40. */
  readonly id?: string
  /** Public keys. */
  readonly members: readonly string[]
}

export const channelsOf = ({ channels, rooms, members }: Roster): readonly Channel[] => [
  ...channels.map(({ name, id }) => ({
    name,
    private: false,
    id,
    members: members.filter((member) => member.channel === name).map(({ pubkey }) => pubkey),
  })),
  ...rooms.map((room) => ({ name: room.name, private: true, members: room.members })),
]

const channelsText = (roster: Roster): string =>
  channelsOf(roster)
    .map(({ name, private: isPrivate, members }) => {
      const who = members.map((pubkey) => nameOf(roster, pubkey)).join(", ")
      return `#${name} (${isPrivate ? "private room" : "public"}): ${who || "nobody"}`
    })
    .join("\n") || "there is no channel"

/** A wizard's name, an operator's label, or the key. */
const nameOf = ({ wizards, operators }: Roster, pubkey: string): string =>
  wizards.find((wizard) => wizard.pubkey === pubkey)?.name ??
  (operators.find((operator) => operator.pubkey === pubkey)?.label || npubOf(pubkey))

const rosterText = (roster: Roster): string =>
  [
    `version ${roster.version} (${roster.id.slice(0, 8)})`,
    ...roster.operators.map(({ pubkey, label }) => `operator ${npubOf(pubkey)} ${label}`.trimEnd()),
    ...roster.wizards
      .filter(({ pubkey }) => standing(roster, pubkey) === "wizard")
      .map((wizard) => `wizard ${wizard.name} (${wizard.class}) ${npubOf(wizard.pubkey)}`),
    ...channelsOf(roster).map(
      ({ name, private: isPrivate, members }) => `${isPrivate ? "room" : "channel"} #${name}, ${members.length} in it`,
    ),
    ...roster.relays.map((url) => `relay ${url}`),
    ...roster.revoked.map((pubkey) => `revoked ${npubOf(pubkey)}`),
  ].join("\n")

export interface Version {
  readonly version: number
  readonly id: string
  /** When it came here, unix milliseconds. */
  readonly atMs: number
  readonly changes: readonly string[]
}

/** What each version that is held changed, in order. */
export const historyOf = (store: StoreShape): readonly Version[] => {
  let before: Roster | undefined
  return store.roster.all().flatMap(({ event, at_ms: atMs }) => {
    const roster = parseRoster(JSON.parse(event) as NostrEvent)
    if (isRosterFault(roster)) return []
    const changes = changesBetween(before, roster)
    before = roster
    return [{ version: roster.version, id: roster.id, atMs, changes }]
  })
}

const historyText = (versions: readonly Version[]): string =>
  versions
    .map(({ version, atMs, changes }) =>
      [`${version}, here since ${new Date(atMs).toISOString()}`, ...changes.map((change) => `  ${change}`)].join("\n"),
    )
    .join("\n")

/** Each line that is there and was not, and the other way round. */
const changesBetween = (before: Roster | undefined, after: Roster): readonly string[] => {
  const [was, is] = [before === undefined ? [] : linesOf(before, after), linesOf(after, before)]
  return [
    ...is.filter((line) => !was.includes(line)).map((line) => `+ ${line}`),
    ...was.filter((line) => !is.includes(line)).map((line) => `- ${line}`),
  ]
}

/** `other` may know the name of somebody who is gone here. */
const linesOf = (roster: Roster, other: Roster | undefined): readonly string[] => {
  const both = {
    ...roster,
    wizards: [...roster.wizards, ...(other?.wizards ?? [])],
    operators: [...roster.operators, ...(other?.operators ?? [])],
  }
  return [
    ...roster.operators.map(({ pubkey, label }) => `operator ${npubOf(pubkey)} ${label}`.trimEnd()),
    ...roster.wizards.map((wizard) => `wizard ${wizard.name} (${wizard.class}) ${npubOf(wizard.pubkey)}`),
    ...channelsOf(roster).map(({ name, private: isPrivate }) => `${isPrivate ? "room" : "channel"} #${name}`),
    ...channelsOf(roster).flatMap(({ name, members }) => members.map((key) => `${nameOf(both, key)} in #${name}`)),
    ...roster.relays.map((url) => `relay ${url}`),
    ...roster.revoked.map((pubkey) => `revoked ${npubOf(pubkey)}`),
  ]
}
