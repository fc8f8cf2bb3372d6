/**
 * Addresses of relays, and the list of them that a key publishes (kind 10002, NIP-65). An address that only this machine
 * or this network reaches is of no use to others, so it is never in a list.
 */
import type { EventTemplate, UnsignedEvent } from "./event.ts"
import { Kind } from "./kinds.ts"

/** The address of a relay as it is compared and stored; undefined where it is none. */
export const relayUrlOf = (given: string): string | undefined => {
  if (!URL.canParse(given)) return undefined
  const url = new URL(given)
  if (!/^wss?:$/.test(url.protocol) || url.hash !== "" || url.username !== "") return undefined
  return url.href.replace(/\/$/, "")
}

/** Whether others can reach it, as far as the name tells. */
export const isPublicUrl = (given: string): boolean => {
  if (!URL.canParse(given)) return false
  const host = new URL(given).hostname.toLowerCase().replace(/\.$/, "")
  if (host.startsWith("[")) return /^\[(?!f[cdef]|::|0|64:ff9b:|100:)/.test(host)
  if (/^\d+(\.\d+){3}$/.test(host)) return !isPrivateIpv4(host)
  return host.includes(".") && !/(^|\.)(localhost|local|lan|home|internal|intranet|home\.arpa|test|invalid)$/.test(host)
}

const isPrivateIpv4 = (host: string): boolean => {
  const [a = 0, b = 0] = host.split(".").map(Number)
  return (
    a === 0 ||
    a === 10 ||
    a === 127 ||
    a >= 224 ||
    (a === 100 && b >= 64 && b < 128) ||
    (a === 169 && b === 254) ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && b === 168)
  )
}

/** Those of the relays that others can reach, for reading and writing. `createdAt` in unix seconds. */
export const relayListTemplate = (relays: readonly string[], createdAt: number): EventTemplate => ({
  kind: Kind.relayList,
  created_at: createdAt,
  tags: [...new Set(relays.filter(isPublicUrl))].map((url) => ["r", url]),
  content: "",
})

export interface RelayList {
  readonly read: readonly string[]
  readonly write: readonly string[]
}

/** What somebody else's list names: with TLS and public, or it is passed over. Undefined for another kind. */
export const readRelayList = (event: UnsignedEvent): RelayList | undefined => {
  if (event.kind !== Kind.relayList) return undefined
  const entries = event.tags.flatMap(([name, given = "", marker]) => {
    if (name !== "r") return []
    const url = relayUrlOf(given)
    return url !== undefined && url.startsWith("wss:") && isPublicUrl(url) ? [{ url, marker }] : []
  })
  const those = (marker: string): readonly string[] => [
    ...new Set(entries.filter((entry) => (entry.marker ?? marker) === marker).map(({ url }) => url)),
  ]
  return { read: those("read"), write: those("write") }
}
