/**
 * The council's roster on the wire (kind 78, `t` = `council-roster`): who is operator, which name has which key and
 * class, which channels, rooms and relays there are, and what is revoked. Codec, look-ups and the making of the next
 * version; how versions chain is `identity/roster.ts`.
 *
 * R1 What is printed is read back the same.
 * R2 Names, and the keys of wizards, are unique; no key is operator and wizard at once (a wizard's text never commands).
 * R3 A revoked key is nothing, whatever else the roster says of it.
 * R4 Tags that are not known are ignored, and a class that is not known stays a wizard without rights: a runtime that is
 *    older than its roster must still see what that roster revokes.
 */
import { type EventTemplate, type NostrEvent, isHex64, type Tag, tagValue, tagValues } from "./event.ts"
import { Kind } from "./kinds.ts"

/** The classes that this version knows. They decide channels and rights, never subject matter. */
export const wizardClasses = [
  "tempo",
  "local",
  "implementation",
  "worker",
  "researcher",
  "monitor",
] as const satisfies readonly string[]
export type WizardClass = (typeof wizardClasses)[number]
export const isWizardClass = (text: string): text is WizardClass => (wizardClasses as readonly string[]).includes(text)

export interface Operator {
  readonly pubkey: string
  /** What people call them; may be empty. */
  readonly label: string
}

export interface WizardEntry {
  readonly name: string
  readonly pubkey: string
  /** Mostly a `WizardClass`; a name from a newer version stands for no rights (R4). */
  readonly class: string
}

/** `members` are public keys. */
export interface Room {
  readonly name: string
  readonly members: readonly string[]
}

/** What a version says. Keys and ids are lower-case hex. `prev` is absent only in version 1. */
export interface RosterContent {
  readonly version: number
  readonly prev?: string
  readonly operators: readonly Operator[]
  readonly wizards: readonly WizardEntry[]
  /** `id` is that of the channel's kind 40 event. */
  readonly channels: readonly { readonly name: string; readonly id: string }[]
  readonly rooms: readonly Room[]
  /** `channel` is the name of a channel or a room. */
  readonly members: readonly { readonly channel: string; readonly pubkey: string }[]
  readonly relays: readonly string[]
  readonly revoked: readonly string[]
}

/** A version that was published; `id` is its event's. */
export interface Roster extends RosterContent {
  readonly id: string
}

export interface RosterFault {
  readonly reason: string
}

export const isRosterFault = (value: RosterContent | RosterFault): value is RosterFault => "reason" in value

/** The value of the `t` tag. */
export const rosterTopic = "council-roster"

/** Names of wizards, channels, rooms and classes. They become names of files, so nothing else is let in. */
export const isName = (text: string): boolean => /^[a-z][a-z0-9_-]{0,31}$/.test(text)

/** Whether an event says of itself that it is a roster; whose it is, is for the chain to judge. */
export const looksLikeRoster = (event: EventTemplate): boolean =>
  event.kind === Kind.record && tagValues(event, "t").includes(rosterTopic)

/** Reads a version. Signature and author are judged elsewhere. */
export const parseRoster = (event: NostrEvent): Roster | RosterFault => {
  if (!looksLikeRoster(event)) return { reason: `is no kind ${Kind.record} with the tag ["t","${rosterTopic}"]` }
  const version = tagValue(event, "n") ?? ""
  if (!/^[1-9][0-9]{0,14}$/.test(version)) return { reason: "the version (tag n) is not a whole number from 1 on" }
  const prev = tagValue(event, "prev")
  const rows = (name: string): readonly Tag[] => event.tags.flatMap((tag) => (tag[0] === name ? [tag.slice(1)] : []))
  const content: RosterContent = {
    version: Number(version),
    ...(prev === undefined ? {} : { prev }),
    operators: rows("operator").map(([pubkey = "", label = ""]) => ({ pubkey, label })),
    wizards: rows("wizard").map(([name = "", pubkey = "", role = ""]) => ({ name, pubkey, class: role })),
    channels: rows("channel").map(([name = "", id = ""]) => ({ name, id })),
    rooms: rows("room").map(([name = "", ...members]) => ({ name, members })),
    members: rows("member").map(([channel = "", pubkey = ""]) => ({ channel, pubkey })),
    relays: tagValues(event, "relay"),
    revoked: tagValues(event, "revoked"),
  }
  return rosterFault(content) ?? { ...content, id: event.id }
}

/** Prints a version; `createdAt` in unix seconds. To be signed by the council key. */
export const rosterTemplate = (roster: RosterContent, createdAt: number): EventTemplate => ({
  kind: Kind.record,
  created_at: createdAt,
  tags: [
    ["t", rosterTopic],
    ["n", String(roster.version)],
    ...(roster.prev === undefined ? [] : [["prev", roster.prev]]),
    ...roster.operators.map(({ pubkey, label }) => ["operator", pubkey, label]),
    ...roster.wizards.map((wizard) => ["wizard", wizard.name, wizard.pubkey, wizard.class]),
    ...roster.channels.map(({ name, id }) => ["channel", name, id]),
    ...roster.rooms.map(({ name, members }) => ["room", name, ...members]),
    ...roster.members.map(({ channel, pubkey }) => ["member", channel, pubkey]),
    ...roster.relays.map((url) => ["relay", url]),
    ...roster.revoked.map((pubkey) => ["revoked", pubkey]),
  ],
  content: "",
})

export type Standing = "operator" | "wizard" | "member" | "revoked" | "stranger"

/** What a key is in this roster; the highest of what it is. */
export const standing = (roster: RosterContent, pubkey: string): Standing => {
  if (roster.revoked.includes(pubkey)) return "revoked"
  if (roster.operators.some((operator) => operator.pubkey === pubkey)) return "operator"
  if (roster.wizards.some((wizard) => wizard.pubkey === pubkey)) return "wizard"
  if (roster.members.some((member) => member.pubkey === pubkey)) return "member"
  if (roster.rooms.some(({ members }) => members.includes(pubkey))) return "member"
  return "stranger"
}

export const isOperator = (roster: RosterContent, pubkey: string): boolean => standing(roster, pubkey) === "operator"

export const wizardByName = (roster: RosterContent, name: string): WizardEntry | undefined =>
  roster.wizards.find((wizard) => wizard.name === name && !roster.revoked.includes(wizard.pubkey))

export const wizardByKey = (roster: RosterContent, pubkey: string): WizardEntry | undefined =>
  standing(roster, pubkey) === "wizard" ? roster.wizards.find((wizard) => wizard.pubkey === pubkey) : undefined

export type RosterChange =
  | { readonly type: "add-operator"; readonly pubkey: string; readonly label: string }
  | { readonly type: "add-wizard"; readonly name: string; readonly pubkey: string; readonly class: WizardClass }
  | { readonly type: "add-channel"; readonly name: string; readonly id: string }
  | { readonly type: "add-room"; readonly name: string; readonly members: readonly string[] }
  | { readonly type: "add-member"; readonly channel: string; readonly pubkey: string }
  | { readonly type: "remove-member"; readonly channel: string; readonly pubkey: string }
  | { readonly type: "add-relay"; readonly url: string }
  | { readonly type: "remove-relay"; readonly url: string }
  /** Takes the key out wherever it stands, which frees a wizard's name for a new key; it may come back. */
  | { readonly type: "remove-key"; readonly pubkey: string }
  /** The same for ever. */
  | { readonly type: "revoke"; readonly pubkey: string }

/**
 * The version after `roster`, with all the changes in order; without a roster: version 1. To change nothing is allowed,
 * to add what is there already or was revoked is a fault.
 */
export const amend = (roster: Roster | undefined, ...changes: readonly RosterChange[]): RosterContent | RosterFault => {
  const base = roster === undefined ? firstVersion : { ...contentOf(roster), version: roster.version + 1 }
  const next = changes.reduce(apply, roster === undefined ? base : { ...base, prev: roster.id })
  const added = changes.flatMap((change) =>
    "pubkey" in change && change.type.startsWith("add-") ? [change.pubkey] : [],
  )
  const dead = added.find((pubkey) => next.revoked.includes(pubkey))
  if (dead !== undefined) return { reason: `key ${dead} is revoked and cannot be admitted again` }
  return rosterFault(next) ?? next
}

const firstVersion: RosterContent = {
  version: 1,
  operators: [],
  wizards: [],
  channels: [],
  rooms: [],
  members: [],
  relays: [],
  revoked: [],
}

const contentOf = (roster: Roster): RosterContent => {
  const { id: _id, ...content } = roster
  return content
}

const apply = (roster: RosterContent, change: RosterChange): RosterContent => {
  switch (change.type) {
    case "add-operator":
      return { ...roster, operators: [...roster.operators, { pubkey: change.pubkey, label: change.label }] }
    case "add-wizard": {
      const { name, pubkey } = change
      return { ...roster, wizards: [...roster.wizards, { name, pubkey, class: change.class }] }
    }
    case "add-channel":
      return { ...roster, channels: [...roster.channels, { name: change.name, id: change.id }] }
    case "add-room":
      return { ...roster, rooms: [...roster.rooms, { name: change.name, members: change.members }] }
    case "add-member":
      if (isRoom(roster, change.channel)) return inRoom(roster, change, (members) => [...members, change.pubkey])
      return { ...roster, members: [...roster.members, { channel: change.channel, pubkey: change.pubkey }] }
    case "remove-member":
      return {
        ...inRoom(roster, change, (members) => members.filter((key) => key !== change.pubkey)),
        members: roster.members.filter((m) => m.channel !== change.channel || m.pubkey !== change.pubkey),
      }
    case "add-relay":
      return { ...roster, relays: [...roster.relays, change.url] }
    case "remove-relay":
      return { ...roster, relays: roster.relays.filter((url) => url !== change.url) }
    case "remove-key":
      return without(roster, change.pubkey)
    case "revoke": {
      const { revoked } = roster
      const next = revoked.includes(change.pubkey) ? revoked : [...revoked, change.pubkey]
      return { ...without(roster, change.pubkey), revoked: next }
    }
  }
}

const isRoom = ({ rooms }: RosterContent, name: string): boolean => rooms.some((room) => room.name === name)

/** A room is the set of those who are in it. */
const inRoom = (
  roster: RosterContent,
  { channel }: { readonly channel: string },
  next: (members: readonly string[]) => readonly string[],
): RosterContent => ({
  ...roster,
  rooms: roster.rooms.map((room) => (room.name === channel ? { ...room, members: next(room.members) } : room)),
})

const without = (roster: RosterContent, pubkey: string): RosterContent => {
  const another = (entry: { readonly pubkey: string }): boolean => entry.pubkey !== pubkey
  return {
    ...roster,
    operators: roster.operators.filter(another),
    wizards: roster.wizards.filter(another),
    members: roster.members.filter(another),
    rooms: roster.rooms.map(({ name, members }) => ({ name, members: members.filter((key) => key !== pubkey) })),
  }
}

const rosterFault = (roster: RosterContent): RosterFault | undefined => {
  const { version, prev, operators, wizards, channels, rooms, members, relays, revoked } = roster
  if (version === 1 ? prev !== undefined : !isHex64(prev)) {
    return { reason: version === 1 ? "version 1 has no prev" : "prev is not an event id" }
  }
  const keys = [...operators, ...wizards, ...members].map(({ pubkey }) => pubkey)
  const ids = channels.map(({ id }) => id)
  const badHex = [...keys, ...ids, ...rooms.flatMap((room) => room.members), ...revoked].find((key) => !isHex64(key))
  if (badHex !== undefined) return { reason: `"${badHex}" is not 64 lower-case hex digits` }

  const names = [...wizards, ...channels, ...rooms].map(({ name }) => name)
  const badName = [...names, ...wizards.map((wizard) => wizard.class)].find((name) => !isName(name))
  if (badName !== undefined) return { reason: `"${badName}" is no name: a to z, 0 to 9, _ and -, at most 32` }
  if (wizards.some(({ name }) => name === "all")) return { reason: '"all" is everybody, not a wizard' }
  if (!operators.every(({ label }) => label.isWellFormed())) return { reason: "a label is not well-formed text" }
  const badUrl = relays.find((url) => !/^wss?:\/\/[^\s]+$/.test(url) || !URL.canParse(url))
  if (badUrl !== undefined) return { reason: `"${badUrl}" is no relay: ws:// or wss://` }

  const twice =
    repeated([...operators, ...wizards].map(({ pubkey }) => pubkey)) ??
    repeated(wizards.map(({ name }) => name)) ??
    repeated([...channels, ...rooms].map(({ name }) => name)) ??
    repeated(ids) ??
    repeated(members.map(({ channel, pubkey }) => `${channel} ${pubkey}`)) ??
    rooms.map((room) => repeated(room.members)).find((member) => member !== undefined) ??
    repeated(relays) ??
    repeated(revoked)
  return twice === undefined ? undefined : { reason: `"${twice}" is listed twice` }
}

const repeated = (texts: readonly string[]): string | undefined => {
  const seen = new Set<string>()
  return texts.find((text) => seen.size === seen.add(text).size)
}
