/**
 * What an order about the roster changes, and what the person is told. Pure; who may order is judged where orders come
 * in, and who can sign is the keeper's.
 *
 * O1 An order that was carried out changes nothing when it is given again, and says how things are.
 * O2 What cannot be is refused with what to do instead, and changes nothing.
 * O3 Somebody always commands: the last operator stays.
 * O4 A wizard joins by itself what is open to its class; an operator invites whom they like.
 */
import type { Order } from "../protocol/orders.ts"
import { isIn, namesOf, type Place } from "../protocol/place.ts"
import { standing, wizardByKey, wizardByName, type Roster, type RosterChange } from "../protocol/roster.ts"
import { npubOf } from "../identity/keys.ts"
import { classOfName, roles } from "../roles/roles.ts"
import { isWizardClass } from "../protocol/roster.ts"

export type Decision =
  | { readonly changes: readonly RosterChange[]; readonly said: string }
  | { readonly refused: string }
  /** A public channel that has no kind 40 yet. */
  | { readonly creates: string; readonly said: string }

/** `self` is the wizard that was told, for `join` and `leave`. Questions change nothing and are told elsewhere. */
export const decide = (roster: Roster, order: Order, self: string): Decision => {
  switch (order.name) {
    case "operators":
      return order.to === "list"
        ? same("")
        : order.to === "add"
          ? addOperator(roster, order)
          : removeOperator(roster, order.pubkey)
    case "admit":
      return admit(roster, order)
    case "expel": {
      const wizard = wizardByName(roster, order.wizard)
      if (wizard !== undefined && wizard.pubkey !== order.pubkey)
        return refuse(`${order.wizard} has another key: ${npubOf(wizard.pubkey)}`)
      if (wizard === undefined && !order.revoke) return same(`${order.wizard} is no wizard of the council`)
      if (roster.revoked.includes(order.pubkey)) return same("that key is revoked already")
      if (standing(roster, order.pubkey) === "operator") return refuse(`that key is an operator's: operators remove`)
      return order.revoke
        ? change({ type: "revoke", pubkey: order.pubkey }, `${order.wizard} is expelled and its key revoked for ever`)
        : change(
            { type: "remove-key", pubkey: order.pubkey },
            `${order.wizard} is expelled; its key may be admitted again`,
          )
    }
    case "invite":
      return enter(roster, order.pubkey, order.channel)
    case "remove":
      return exit(roster, order.pubkey, order.channel)
    case "join":
    case "leave": {
      const wizard = wizardByName(roster, self)
      if (wizard === undefined) return refuse(`${self} is no wizard of the council: admit it first`)
      if (order.name === "leave") return exit(roster, wizard.pubkey, order.channel)
      const open = isWizardClass(wizard.class) ? roles[wizard.class].channels : []
      if (!open.includes(order.channel) && !isIn(roster, placeNamed(roster, order.channel), wizard.pubkey))
        return refuse(
          `#${order.channel} is not open to the class ${wizard.class}: an operator may invite ${npubOf(wizard.pubkey)} to #${order.channel}`,
        )
      return enter(roster, wizard.pubkey, order.channel)
    }
    case "channels":
      return order.to === "list" ? same("") : create(roster, order.channel, order.private)
    case "roster":
      return same("")
  }
}

/** The places that a wizard of a class is in from the start, of those that there are. */
export const placesOf = (
  { channels, rooms }: Pick<Roster, "channels" | "rooms">,
  className: string,
): readonly string[] => {
  const open: readonly string[] = isWizardClass(className) ? roles[className].channels : []
  return [...channels, ...rooms].map(({ name }) => name).filter((name) => open.includes(name))
}

const same = (said: string): Decision => ({ changes: [], said })
const refuse = (refused: string): Decision => ({ refused })
const change = (changes: RosterChange | readonly RosterChange[], said: string): Decision => ({
  changes: Array.isArray(changes) ? (changes as readonly RosterChange[]) : [changes as RosterChange],
  said,
})

const revoked = (pubkey: string): Decision => refuse(`${npubOf(pubkey)} is revoked and cannot come back: use a new key`)

const addOperator = (roster: Roster, { pubkey, label = "" }: { pubkey: string; label?: string }): Decision => {
  const now = standing(roster, pubkey)
  if (now === "operator") return same(`${npubOf(pubkey)} is an operator`)
  if (now === "revoked") return revoked(pubkey)
  if (now === "wizard")
    return refuse("that key is a wizard's, and what a wizard writes is never a command: use another key")
  return change({ type: "add-operator", pubkey, label }, `${npubOf(pubkey)} may command everything`)
}

const removeOperator = (roster: Roster, pubkey: string): Decision => {
  if (standing(roster, pubkey) !== "operator") return same(`${npubOf(pubkey)} is no operator`)
  if (roster.operators.length === 1)
    return refuse("that is the last operator, and somebody must command: add another one first")
  return change(
    { type: "remove-key", pubkey },
    `${npubOf(pubkey)} commands no more; what it had ordered and has not ended is cancelled`,
  )
}

const admit = (roster: Roster, order: Extract<Order, { readonly name: "admit" }>): Decision => {
  const { wizard: name, pubkey } = order
  const className = order.class ?? classOfName(name)
  if (className === undefined)
    return refuse(`nobody knows a wizard called ${name}: say its class too (${Object.keys(roles).join(", ")})`)
  if (["all", "council", "operator"].includes(name)) return refuse(`"${name}" cannot be a wizard's name`)
  const known = roster.wizards.find((wizard) => wizard.name === name || wizard.pubkey === pubkey)
  if (known?.name === name && known.pubkey === pubkey) return same(`${name} is admitted as ${known.class}`)
  if (known !== undefined) return refuse(`${known.name} is admitted already, with the key ${npubOf(known.pubkey)}`)
  const now = standing(roster, pubkey)
  if (now === "revoked") return revoked(pubkey)
  if (now === "operator") return refuse("that key commands the council, it cannot be a wizard's as well")
  const places = placesOf(roster, className).filter((channel) => !namesOf(roster, pubkey).includes(channel))
  return change(
    [
      { type: "add-wizard", name, pubkey, class: className },
      ...places.map((channel) => ({ type: "add-member", channel, pubkey }) as const),
    ],
    `${name} is admitted as ${className}${places.length === 0 ? "" : `, in ${places.map((place) => `#${place}`).join(", ")}`}`,
  )
}

const placeNamed = ({ channels, rooms }: Roster, name: string): Place => {
  if (channels.some((channel) => channel.name === name)) return { type: "channel", name }
  return rooms.some((room) => room.name === name) ? { type: "room", name } : { type: "elsewhere" }
}

const noPlace = ({ channels, rooms }: Roster, name: string): Decision =>
  refuse(
    `there is no #${name}; there are ${[...channels, ...rooms].map((place) => `#${place.name}`).join(", ") || "none"}`,
  )

const whoIs = (roster: Roster, pubkey: string): string => wizardByKey(roster, pubkey)?.name ?? npubOf(pubkey)

const enter = (roster: Roster, pubkey: string, channel: string): Decision => {
  const place = placeNamed(roster, channel)
  if (place.type === "elsewhere") return noPlace(roster, channel)
  if (standing(roster, pubkey) === "revoked") return revoked(pubkey)
  const who = whoIs(roster, pubkey)
  if (isIn(roster, place, pubkey)) return same(`${who} is in #${channel}`)
  const room = place.type === "room" ? " (a room is who is in it: write to the new set)" : ""
  return change({ type: "add-member", channel, pubkey }, `${who} is in #${channel} now${room}`)
}

const exit = (roster: Roster, pubkey: string, channel: string): Decision => {
  const place = placeNamed(roster, channel)
  if (place.type === "elsewhere") return noPlace(roster, channel)
  const who = whoIs(roster, pubkey)
  if (!isIn(roster, place, pubkey)) return same(`${who} is not in #${channel}`)
  return change({ type: "remove-member", channel, pubkey }, `${who} is in #${channel} no more`)
}

const create = (roster: Roster, name: string, isPrivate: boolean): Decision => {
  const place = placeNamed(roster, name)
  if (place.type !== "elsewhere") {
    const is = place.type === "room" ? "a private room" : "a public channel"
    return (place.type === "room") === isPrivate ? same(`#${name} is there`) : refuse(`#${name} is there, as ${is}`)
  }
  if (!isPrivate) return { creates: name, said: `#${name} is a public channel now; nobody is in it yet: invite, join` }
  const members = roster.operators.map(({ pubkey }) => pubkey)
  return change({ type: "add-room", name, members }, `#${name} is a private room of its operators now: invite others`)
}
