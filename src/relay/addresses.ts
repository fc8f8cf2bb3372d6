/**
 * The addresses by which this relay is meant: the public ones that its owner configured, and those of its own port here.
 * What a client's HTTP request calls the host is never asked: the client could write anything there.
 */
import { isIPv6 } from "node:net"

export interface Addresses {
  /** Whether the address in a NIP-42 `relay` tag is this relay's. */
  readonly isOurs: (url: string) => boolean
  /** Whether a management call (NIP-98) was signed for exactly this relay, with its ws(s) or http(s) address. */
  readonly isCalled: (url: string, isLocalCaller: boolean) => boolean
}

export const addressesOf = (urls: readonly string[], host: string, port: number): Addresses => {
  const local = ["127.0.0.1", "localhost", "::1", ...(isAnywhere(host) ? [] : [host])].map((name) => urlOf(name, port))
  const ours = new Set([...urls, ...local].map(normalised))
  const exact = (list: readonly string[]): ReadonlySet<string> =>
    new Set(list.flatMap((url) => [url, url.replace(/^ws/, "http")]).flatMap((url) => [bare(url), `${bare(url)}/`]))
  const withTls = urls.filter((url) => url.startsWith("wss:"))
  const secure = exact(withTls)
  // A proxy's caller looks like one of this machine, so an address without TLS must be this machine's own.
  const near = exact([...withTls, ...local])
  return {
    isOurs: (url) => ours.has(normalised(url)),
    isCalled: (url, isLocalCaller) => (isLocalCaller ? near : secure).has(url),
  }
}

export const urlOf = (host: string, port: number): string => `ws://${isIPv6(host) ? `[${host}]` : host}:${port}`

/** Whether only this machine reaches an address. */
export const isLoopback = (host: string): boolean =>
  /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?|::ffff:127(\.\d{1,3}){3})$/i.test(host)

/** Whether it is reached by this machine alone, by all that is known: a public address may be a proxy's. */
export const isPrivate = (host: string, urls: readonly string[]): boolean =>
  isLoopback(host) && urls.every((url) => URL.canParse(url) && isLoopback(new URL(url).hostname))

const isAnywhere = (host: string): boolean => host === "0.0.0.0" || host === "::"

const bare = (url: string): string => url.replace(/\/$/, "")

/** Case, default ports and a slash at the end make no difference; anything that is no ws address equals nothing. */
const normalised = (url: string): string | undefined => {
  if (!URL.canParse(url)) return undefined
  const { protocol, host, pathname, search } = new URL(url)
  return /^wss?:$/.test(protocol) ? `${protocol}//${host}${bare(pathname)}${search}` : undefined
}
