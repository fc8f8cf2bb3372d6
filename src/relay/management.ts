/**
 * The relay's management (NIP-86): its methods, one a line of the list. What they change is what the relay stores, never
 * who may command the council. Only the council's key is obeyed (`call-auth.ts`).
 */
import { isIP, isIPv6, SocketAddress } from "node:net"
import { Option, Schema } from "effect"
import { isHex64 } from "../protocol/event.ts"
import { type ClockShape, nowSeconds } from "../services/clock.ts"
import type { Access } from "./access.ts"
import { isLoopback } from "./addresses.ts"
import { callFault, type CallAuthParts } from "./call-auth.ts"
import type { ListName } from "./lists.ts"
import type { Call } from "./socket.ts"
import type { Storage } from "./storage.ts"

export interface ManagementParts extends CallAuthParts {
  readonly storage: Storage
  readonly clock: ClockShape
  readonly access: Access
}

/** What a call comes to, as HTTP. Never throws. */
export const answerCall = async (parts: ManagementParts, call: Call) => {
  const { storage, clock } = parts
  try {
    const fault = await callFault(parts, call)
    if (fault !== undefined) return { status: 401, answer: { error: fault } }
    const request = Option.getOrUndefined(decode(call.body.toString("utf8")))
    if (request === undefined) return refused('the body must be {"method": text, "params": list}')
    const method = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined
    if (method === undefined) return refused(`no method ${request.method}; see supportedmethods`)
    const result = storage.transaction(nowSeconds(clock), () => method(parts, request.params))
    await storage.sync()
    return { status: 200, answer: { result } }
  } catch (error) {
    // A list is in memory and in the database alike, so what failed halfway is read anew at the next start.
    return error instanceof CallRefused ? refused(error.message) : { status: 500, answer: { error: String(error) } }
  }
}

const refused = (error: string) => ({ status: 200, answer: { error } })

const decode = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ method: Schema.String, params: Schema.Array(Schema.Unknown) })),
)

class CallRefused extends Error {}

type Method = (parts: ManagementParts, params: readonly unknown[]) => unknown

const put =
  (list: ListName, read: (value: unknown, parts: ManagementParts) => string, done?: Done): Method =>
  (parts, [value, reason]) => {
    const name = read(value, parts)
    parts.lists.put(list, name, typeof reason === "string" ? reason.slice(0, reasonCharsMax) : "")
    done?.(parts, name)
    return true
  }
const remove =
  (list: ListName, read: (value: unknown, parts: ManagementParts) => string): Method =>
  (parts, [value]) => {
    parts.lists.remove(list, read(value, parts))
    return true
  }
const show =
  (list: ListName, as: string): Method =>
  ({ lists }) =>
    lists.entries(list).map(({ value, reason }) => ({ [as]: value, reason }))
const set =
  (setting: string): Method =>
  ({ lists }, [value]) => {
    if (typeof value !== "string" || value.length > settingCharsMax)
      throw new CallRefused(`expected a text of at most ${settingCharsMax} characters`)
    lists.put("setting", setting, value)
    return true
  }

type Done = (parts: ManagementParts, value: string) => void

const reasonCharsMax = 1000
const settingCharsMax = 10_000

const pubkey = (value: unknown): string => {
  if (!isHex64(value)) throw new CallRefused("expected a public key, 64 lower-case hex digits")
  return value
}
const bannable = (value: unknown, { admin }: ManagementParts): string => {
  if (value === admin) throw new CallRefused("the council's own key cannot be banned")
  return pubkey(value)
}
const id = (value: unknown): string => {
  if (!isHex64(value)) throw new CallRefused("expected an event's id, 64 lower-case hex digits")
  return value
}
const kind = (value: unknown): string => {
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > 65_535)
    throw new CallRefused("expected a kind, a number from 0 to 65535")
  return String(value)
}
const address = (value: unknown): string => {
  if (typeof value !== "string" || isIP(value) === 0) throw new CallRefused("expected an IP address")
  const shown = asShown(value)
  if (isLoopback(shown)) throw new CallRefused("this machine's own address cannot be blocked")
  return shown
}

/** As the network names it: IPv6 in its short form, and an IPv4 address in IPv6's clothes without them. */
const asShown = (ip: string): string => {
  const { address, family } = new SocketAddress({ address: ip, family: isIPv6(ip) ? "ipv6" : "ipv4" })
  return family === "ipv6" ? address.replace(/^::ffff:(?=\d+\.)/, "") : address
}

/** A kind stands on one of the two lists. */
const moved =
  (from: ListName): Done =>
  ({ lists }, value) =>
    lists.remove(from, value)

const methods: Readonly<Record<string, Method>> = {
  supportedmethods: () => Object.keys(methods).filter((name) => name !== "supportedmethods"),
  banpubkey: put("banned-pubkey", bannable),
  unbanpubkey: remove("banned-pubkey", pubkey),
  listbannedpubkeys: show("banned-pubkey", "pubkey"),
  allowpubkey: put("allowed-pubkey", pubkey),
  unallowpubkey: remove("allowed-pubkey", pubkey),
  listallowedpubkeys: show("allowed-pubkey", "pubkey"),
  banevent: put("banned-event", id, ({ storage, access }, banned) => storage.remove(banned, access.isOfCouncil)),
  allowevent: remove("banned-event", id),
  listbannedevents: show("banned-event", "id"),
  allowkind: put("allowed-kind", kind, moved("banned-kind")),
  disallowkind: put("banned-kind", kind, moved("allowed-kind")),
  listallowedkinds: ({ lists }) => lists.entries("allowed-kind").map(({ value }) => Number(value)),
  blockip: put("blocked-ip", address),
  unblockip: remove("blocked-ip", address),
  listblockedips: show("blocked-ip", "ip"),
  changerelayname: set("name"),
  changerelaydescription: set("description"),
  changerelayicon: set("icon"),
}
