/** The relay that is examined, as a check sees it: a URL, what the relay says of itself, and fresh connections. */
import { type Connection, connectTo } from "./connection.ts"
import { Failed } from "./check.ts"
import { person, type Person } from "./person.ts"

export interface Facts {
  /** ws:// or wss:// */
  readonly url: string
  /** The URL that the relay knows itself by, for AUTH (NIP-42). */
  readonly authUrl: string
  /** The URL that the relay knows itself by, for management calls (NIP-98). None: the suite tries both forms. */
  readonly adminUrl?: string
  /** Who may call the relay's management (NIP-86). */
  readonly admin?: Person
  /** Its NIP-11 document, where it has one. */
  readonly document: Readonly<Record<string, unknown>> | undefined
}

export interface Relay extends Facts {
  readonly httpUrl: string
  readonly claims: (nip: number) => boolean
  /** A number of the document's `limitation`. */
  readonly limitation: (name: string) => number | undefined
  /** A fresh connection, closed when the check ends. */
  readonly connect: () => Promise<Connection>
}

/** The same relay for one check; `release` closes what the check opened. */
export const relayFor = (facts: Facts): { readonly relay: Relay; readonly release: () => void } => {
  const opened: Connection[] = []
  let released = false
  return {
    relay: {
      ...facts,
      httpUrl: httpUrl(facts.url),
      claims: (nip) => claimedNips(facts.document).includes(nip),
      limitation: (name) => {
        const limitation = facts.document?.["limitation"] as Record<string, unknown> | undefined
        const value = limitation?.[name]
        return typeof value === "number" ? value : undefined
      },
      connect: async () => {
        const connection = await connectTo(facts.url, facts.authUrl)
        if (released) connection.close()
        opened.push(connection)
        return connection
      },
    },
    release: () => {
      released = true
      for (const connection of opened) connection.close()
    },
  }
}

/** Its NIP-11 document, or nothing. */
export const readDocument = async (url: string): Promise<Facts["document"]> => {
  try {
    const response = await fetch(httpUrl(url), {
      headers: { accept: "application/nostr+json" },
      signal: AbortSignal.timeout(4_000),
    })
    const value: unknown = await response.json()
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

export const claimedNips = (document: Facts["document"]): readonly number[] => {
  const nips = document?.["supported_nips"]
  return Array.isArray(nips) ? nips.filter((nip): nip is number => typeof nip === "number") : []
}

/**
 * Waits until what was published before must have reached the observer: a later event has. Before a stored answer is
 * compared, the publisher waits too: an event that was just taken may come live, in front of EOSE.
 */
export const settled = async (observer: Connection, publisher: Connection): Promise<void> => {
  const nobody = person()
  const event = nobody.event()
  await observer.open("settled", { authors: [nobody.pubkey] })
  await publisher.store(event)
  const came = await observer.seen((m) => m[0] === "EVENT" && m[1] === "settled")
  if (came === undefined) throw new Failed("expected a live event after the others; came none in 4 s")
  await new Promise((resolve) => setTimeout(resolve, 60))
  observer.send("CLOSE", "settled")
}

const httpUrl = (url: string): string => url.replace(/^ws/, "http")
