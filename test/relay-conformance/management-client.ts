/** Calls to a relay's management (NIP-86), signed by NIP-98; each part can be made wrong on purpose. */
import { createHash } from "node:crypto"
import { demand, show } from "./check.ts"
import { now, type Person } from "./person.ts"
import type { Relay } from "./relay.ts"

export interface CallParts {
  readonly u?: string
  readonly method?: string
  /** null: none. */
  readonly payload?: string | null
  readonly kind?: number
  readonly created_at?: number
  readonly sig?: string
  /** What becomes of the finished header. */
  readonly header?: (text: string) => string
}

export interface CallAnswer {
  readonly status: number
  readonly result?: unknown
  readonly error?: unknown
}

export interface CallOptions {
  /** Default: the administrator. */
  readonly who?: Person
  /** null: no header at all. */
  readonly authorization?: null
  readonly broken?: (parts: CallParts, u: string) => CallParts
}

/** The result; fails on anything but a result. */
export const call = async (relay: Relay, method: string, params: readonly unknown[] = []): Promise<unknown> => {
  const { status, result, error } = await tryCall(relay, method, params)
  demand(
    status === 200 && result !== undefined && !error,
    `a result of ${method}`,
    `${status} ${show({ result, error })}`,
  )
  return result
}

export const tryCall = async (
  relay: Relay,
  method: string,
  params: readonly unknown[],
  { who, authorization: given, broken }: CallOptions = {},
): Promise<CallAnswer> => {
  const body = JSON.stringify({ method, params })
  if (given === null) return answerOf(relay, body, undefined)
  const signer = who ?? relay.admin
  const u = await knownAs(relay)
  return answerOf(relay, body, headerFor(signer as Person, u, body, broken?.({}, u) ?? {}))
}

export const authorization = async (relay: Relay, body: string): Promise<string> =>
  headerFor(relay.admin as Person, await knownAs(relay), body, {})

export const answerOf = async (relay: Relay, body: string, header: string | undefined): Promise<CallAnswer> => {
  const response = await fetch(relay.httpUrl, {
    method: "POST",
    headers: { "content-type": "application/nostr+json+rpc", ...(header !== undefined && { authorization: header }) },
    body,
    signal: AbortSignal.timeout(4_000),
  })
  const text = await response.text()
  try {
    const { result, error } = JSON.parse(text) as CallAnswer
    return { status: response.status, result, error }
  } catch {
    return { status: response.status, error: text }
  }
}

let serial = 0

const headerFor = (who: Person, u: string, body: string, parts: CallParts): string => {
  const payload = parts.payload === undefined ? createHash("sha256").update(body).digest("hex") : parts.payload
  const event = who.event({
    kind: parts.kind ?? 27235,
    created_at: parts.created_at ?? now(),
    // Two calls of one second are two events.
    content: String(++serial),
    tags: [
      ["u", parts.u ?? u],
      ["method", parts.method ?? "POST"],
      ...(payload === null ? [] : [["payload", payload]]),
    ],
  })
  const text = `Nostr ${Buffer.from(JSON.stringify(parts.sig === undefined ? event : { ...event, sig: parts.sig })).toString("base64")}`
  return parts.header?.(text) ?? text
}

/** By relay URL: the form of its own URL that it takes. */
const forms = new Map<string, string>()

/** NIP-98 wants the URL that is called, NIP-86 the relay's: where none was given, the one that works. */
const knownAs = async (relay: Relay): Promise<string> => {
  if (relay.adminUrl !== undefined) return relay.adminUrl
  const known = forms.get(relay.url)
  if (known !== undefined) return known
  const body = '{"method":"supportedmethods","params":[]}'
  const candidates = [relay.httpUrl, `${relay.httpUrl}/`, relay.url, `${relay.url}/`]
  for (const u of relay.admin === undefined ? [] : candidates) {
    const { status } = await answerOf(relay, body, headerFor(relay.admin as Person, u, body, {}))
    if (status !== 200) continue
    forms.set(relay.url, u)
    return u
  }
  return relay.httpUrl
}
