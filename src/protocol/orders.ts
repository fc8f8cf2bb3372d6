/**
 * The verbs about the council's roster: who commands, which wizards and channels there are, who is in which. Their
 * grammar; each has at most four words.
 *
 *   key     = npub1… | nprofile1… | 64 hex digits, with or without "nostr:"
 *   channel = [ "#" ] name
 *
 * What an order changes is told in `runtime/orders.ts`; only a home that keeps the council's secret can carry it out.
 */
import { decode, npubEncode } from "nostr-tools/nip19"
import { isName, isWizardClass, type WizardClass } from "./roster.ts"

export type Order =
  | { readonly name: "operators"; readonly to: "list" }
  | { readonly name: "operators"; readonly to: "add"; readonly pubkey: string; readonly label?: string }
  | { readonly name: "operators"; readonly to: "remove"; readonly pubkey: string }
  | { readonly name: "admit"; readonly wizard: string; readonly pubkey: string; readonly class?: WizardClass }
  | { readonly name: "expel"; readonly wizard: string; readonly pubkey: string; readonly revoke: boolean }
  | { readonly name: "invite" | "remove"; readonly pubkey: string; readonly channel: string }
  /** Of the wizard that is told. */
  | { readonly name: "join" | "leave"; readonly channel: string }
  | { readonly name: "channels"; readonly to: "list" }
  | { readonly name: "channels"; readonly to: "create"; readonly channel: string; readonly private: boolean }
  | { readonly name: "roster"; readonly to: "show" | "history" }

export type OrderName = Order["name"]

/** Whether it only asks, which every wizard can answer. */
export const isQuestion = (order: Order): boolean => "to" in order && ["list", "show", "history"].includes(order.to)

/** The order that a text is, if it is one. */
export const parseOrder = (text: string): Order | undefined => {
  const [name = "", ...words] = text.trim().split(/\s+/, 5)
  const entry = Object.entries(orders).find(([each]) => each === name.toLowerCase())
  return entry?.[1].parse(words)
}

/** The text that parses to it. */
export const printOrder = (order: Order): string => {
  const key = "pubkey" in order ? npubEncode(order.pubkey) : ""
  switch (order.name) {
    case "operators":
      return order.to === "list"
        ? "operators list"
        : ["operators", order.to, key, ...("label" in order && order.label !== undefined ? [order.label] : [])].join(
            " ",
          )
    case "admit":
      return ["admit", order.wizard, key, ...(order.class === undefined ? [] : [order.class])].join(" ")
    case "expel":
      return ["expel", order.wizard, key, ...(order.revoke ? ["revoke"] : [])].join(" ")
    case "invite":
      return `invite ${key} to #${order.channel}`
    case "remove":
      return `remove ${key} from #${order.channel}`
    case "join":
    case "leave":
      return `${order.name} #${order.channel}`
    case "channels":
      return order.to === "list"
        ? "channels list"
        : `channels create #${order.channel}${order.private ? " private" : ""}`
    case "roster":
      return `roster ${order.to}`
  }
}

type Parse = (words: readonly string[]) => Order | undefined

const parseMembership =
  (name: "invite" | "remove", between: string): Parse =>
  ([first, middle, last, ...more]) => {
    const pubkey = readKey(first)
    const channel = readChannel(last)
    if (pubkey === undefined || channel === undefined || middle?.toLowerCase() !== between) return undefined
    return more.length > 0 ? undefined : { name, pubkey, channel }
  }

const parseStay =
  (name: "join" | "leave"): Parse =>
  ([first, ...more]) => {
    // With its mark, so that `join hands` is work.
    const channel = first?.startsWith("#") ? readChannel(first) : undefined
    return channel === undefined || more.length > 0 ? undefined : { name, channel }
  }

const parseOperators: Parse = ([to = "list", first, label, ...more]) => {
  const pubkey = readKey(first)
  switch (to.toLowerCase()) {
    case "list":
      return first === undefined ? { name: "operators", to: "list" } : undefined
    case "add":
      if (pubkey === undefined || more.length > 0) return undefined
      return { name: "operators", to: "add", pubkey, ...(label !== undefined && { label }) }
    case "remove":
      return pubkey === undefined || label !== undefined ? undefined : { name: "operators", to: "remove", pubkey }
    default:
      return undefined
  }
}

const parseAdmit: Parse = ([first, second, third, ...more]) => {
  const wizard = readName(first)
  const pubkey = readKey(second)
  const className = third?.toLowerCase()
  if (wizard === undefined || pubkey === undefined || more.length > 0) return undefined
  if (className === undefined) return { name: "admit", wizard, pubkey }
  return isWizardClass(className) ? { name: "admit", wizard, pubkey, class: className } : undefined
}

const parseExpel: Parse = ([first, second, third, ...more]) => {
  const wizard = readName(first)
  const pubkey = readKey(second)
  const revoke = third?.toLowerCase()
  if (wizard === undefined || pubkey === undefined || more.length > 0) return undefined
  return revoke === undefined || revoke === "revoke"
    ? { name: "expel", wizard, pubkey, revoke: revoke !== undefined }
    : undefined
}

const parseChannels: Parse = ([to = "list", first, how, ...more]) => {
  if (to.toLowerCase() === "list") return first === undefined ? { name: "channels", to: "list" } : undefined
  const channel = readChannel(first)
  if (to.toLowerCase() !== "create" || channel === undefined || more.length > 0) return undefined
  if (how !== undefined && how.toLowerCase() !== "private") return undefined
  return { name: "channels", to: "create", channel, private: how !== undefined }
}

const parseRoster: Parse = ([to = "show", ...more]) => {
  const which = to.toLowerCase()
  return (which === "show" || which === "history") && more.length === 0 ? { name: "roster", to: which } : undefined
}

const readName = (word = ""): string | undefined => (isName(word.toLowerCase()) ? word.toLowerCase() : undefined)
const readChannel = (word = ""): string | undefined => readName(word.replace(/^#/, ""))

const readKey = (word = ""): string | undefined => {
  const given = word.toLowerCase().replace(/^nostr:/, "")
  if (/^[0-9a-f]{64}$/.test(given)) return given
  if (!/^(npub1|nprofile1)/.test(given)) return undefined
  try {
    const decoded = decode(given)
    if (decoded.type === "npub") return decoded.data
    return decoded.type === "nprofile" ? decoded.data.pubkey : undefined
  } catch {
    // A wrong checksum is no key.
    return undefined
  }
}

/** Every order, with how it is written and its line of help. */
export const orders = {
  operators: {
    usage: "operators list | add <npub> [label] | remove <npub>",
    help: "who commands the council",
    parse: parseOperators,
  },
  admit: {
    usage: "admit <name> <npub> [class]",
    help: "make a key a wizard of the council",
    parse: parseAdmit,
  },
  expel: {
    usage: "expel <name> <npub> [revoke]",
    help: "a wizard is one no more; revoked, its key never again",
    parse: parseExpel,
  },
  invite: {
    usage: "invite <npub> to #channel",
    help: "somebody may command there",
    parse: parseMembership("invite", "to"),
  },
  remove: {
    usage: "remove <npub> from #channel",
    help: "somebody may command there no more",
    parse: parseMembership("remove", "from"),
  },
  join: { usage: "join #channel", help: "I am in a channel that is open to my class", parse: parseStay("join") },
  leave: { usage: "leave #channel", help: "I am in it no more", parse: parseStay("leave") },
  channels: {
    usage: "channels list | create <name> [private]",
    help: "where the council meets",
    parse: parseChannels,
  },
  roster: { usage: "roster show | history", help: "who is who, by which version", parse: parseRoster },
} as const satisfies Record<OrderName, { readonly usage: string; readonly help: string; readonly parse: Parse }>
