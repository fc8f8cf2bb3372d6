/**
 * What relays say of themselves (NIP-11): their documents, over HTTP, and what is remembered of them for all of a home.
 *
 * IR1 A relay is asked at most once in `informationSeconds`, and after a failure once in `informationRetrySeconds`,
 *     however many connections there are and however often they are lost; who asks meanwhile shares the question.
 * IR2 Nothing here fails: no answer, a broken one, a redirect, one that is too long or too late says nothing. What was
 *     said before stays.
 */
import type { Limits } from "../limits.ts"
import { nothingSaid, readRelayInformation, type RelayInformation } from "../protocol/relay-information.ts"
import type { ClockShape } from "./clock.ts"

export interface RelayInformationShape {
  /** At once where it is known lately enough. Never rejects. */
  readonly of: (url: string) => RelayInformation | Promise<RelayInformation>
}

export type ReadDocument = (options: {
  readonly url: string
  readonly clock: ClockShape
  readonly limits: Pick<Limits, "informationMsMax" | "relayInformationBytesMax">
}) => Promise<unknown>

interface Known {
  said: RelayInformation
  /** Not asked again before; unix milliseconds. */
  untilMs: number
  /** When that was decided: a clock that was set back makes it due. */
  sinceMs: number
  asking: Promise<RelayInformation> | undefined
}

export const openRelayInformation = (options: {
  readonly clock: ClockShape
  readonly limits: Pick<
    Limits,
    "informationSeconds" | "informationRetrySeconds" | "informationMsMax" | "relayInformationBytesMax"
  >
  readonly read?: ReadDocument
}): RelayInformationShape => {
  const { clock, limits, read = readDocument } = options
  const relays = new Map<string, Known>()

  const ask = async (url: string, known: Known): Promise<RelayInformation> => {
    const document = await read({ url, clock, limits })
    const seconds = document === undefined ? limits.informationRetrySeconds : limits.informationSeconds
    if (document !== undefined) known.said = readRelayInformation(document)
    known.sinceMs = clock.nowMs()
    known.untilMs = known.sinceMs + seconds * 1000
    known.asking = undefined
    return known.said
  }

  return {
    of: (url) => {
      const known = relays.get(url) ?? { said: nothingSaid, untilMs: -Infinity, sinceMs: -Infinity, asking: undefined }
      relays.set(url, known)
      const nowMs = clock.nowMs()
      if (known.sinceMs <= nowMs && nowMs < known.untilMs) return known.said
      return (known.asking ??= ask(url, known))
    },
  }
}

/** The document, or undefined where there is none that can be read. Never rejects. */
export const readDocument: ReadDocument = async ({ url, clock, limits }) => {
  const ended = new AbortController()
  const cancel = clock.after(limits.informationMsMax, () => ended.abort())
  try {
    const headers = { accept: "application/nostr+json" }
    // A relay does not choose whom else we call.
    const response = await fetch(url.replace(/^ws/, "http"), { headers, signal: ended.signal, redirect: "error" })
    if (!response.ok || response.body === null) return undefined
    const parts: Uint8Array[] = []
    let bytes = 0
    for await (const part of response.body) {
      bytes += part.length
      if (bytes > limits.relayInformationBytesMax) return undefined
      parts.push(part)
    }
    return JSON.parse(Buffer.concat(parts).toString("utf8")) as unknown
  } catch {
    // IR2
    return undefined
  } finally {
    cancel()
    ended.abort()
  }
}
