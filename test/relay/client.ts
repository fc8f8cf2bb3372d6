/** A relay client for tests: keeps every message, and waits for one instead of waiting a time. */
import { makeAuthEvent } from "nostr-tools/nip42"
import { finalizeEvent, generateSecretKey, verifyEvent } from "nostr-tools/pure"
import type { VerifierShape } from "../../src/identity/verifier.ts"
import { limits, type Limits } from "../../src/limits.ts"
import type { EventTemplate, NostrEvent } from "../../src/protocol/event.ts"
import { type RelayOptions, type RelayServer, serveRelay } from "../../src/relay/relay.ts"
import { systemClock } from "../../src/services/clock.ts"
import { webSocket } from "../../src/services/socket.ts"

type Message = readonly unknown[]

export interface TestClient {
  /** Everything that came, in order. */
  readonly received: Message[]
  readonly sendText: (text: string) => void
  readonly send: (...message: readonly unknown[]) => void
  /** The first message, past or to come, that fits. */
  readonly until: (fits: (message: Message) => boolean) => Promise<Message>
  /** Sends an event; the OK's verdict and text. */
  readonly publish: (event: NostrEvent) => Promise<{ readonly ok: unknown; readonly message: unknown }>
  /** Subscribes; the events before EOSE. */
  readonly req: (id: string, ...filters: readonly object[]) => Promise<readonly NostrEvent[]>
  /** The events that came for a subscription. */
  readonly eventsOf: (id: string) => readonly NostrEvent[]
  /** The first message that comes from now on for a request and has one of these names. */
  readonly next: (id: string, ...names: readonly string[]) => Promise<Message>
  /** Asks how many; the number, or the text of CLOSED. */
  readonly count: (id: string, ...filters: readonly object[]) => Promise<unknown>
  /** Subscribes where a refusal is expected; its text. */
  readonly refused: (id: string, ...filters: readonly object[]) => Promise<unknown>
  /** Proves to hold a key (NIP-42). */
  readonly authenticate: (
    key: Uint8Array,
    relay?: string,
  ) => Promise<{ readonly ok: unknown; readonly message: unknown }>
  readonly pause: () => void
  readonly resume: () => void
  readonly close: () => void
  /** The close code, when it comes. */
  readonly closed: Promise<number>
}

export const connect = (url: string): Promise<TestClient> =>
  new Promise((resolve, reject) => {
    const received: Message[] = []
    const waiting = new Set<() => void>()
    const gone = Promise.withResolvers<number>()
    const socket = webSocket.connect(
      url,
      {
        opened: () => resolve(client),
        message: (text) => {
          received.push(JSON.parse(text) as Message)
          for (const look of waiting) look()
        },
        pong: () => undefined,
        closed: (code, reason) => {
          reject(new Error(reason))
          gone.resolve(code)
        },
      },
      { frameBytesMax: 64 * 1024 * 1024, connectMsMax: 5000 },
    )
    const until: TestClient["until"] = (fits) =>
      new Promise((found) => {
        let seen = 0
        const look = (): void => {
          for (; seen < received.length; seen++) {
            const message = received[seen] as Message
            if (!fits(message)) continue
            waiting.delete(look)
            found(message)
            return
          }
        }
        waiting.add(look)
        look()
      })
    const eventsOf: TestClient["eventsOf"] = (id) =>
      received.filter((m) => m[0] === "EVENT" && m[1] === id).map((m) => m[2] as NostrEvent)
    const send: TestClient["send"] = (...message) => socket.send(JSON.stringify(message))
    const next: TestClient["next"] = (id, ...names) => {
      const from = received.length
      return until((m) => m[1] === id && names.includes(m[0] as string) && received.indexOf(m) >= from)
    }
    const client: TestClient = {
      received,
      sendText: socket.send,
      send,
      until,
      publish: async (event) => {
        const from = received.length
        send("EVENT", event)
        const [, , ok, message] = await until((m) => m[0] === "OK" && m[1] === event.id && received.indexOf(m) >= from)
        return { ok, message }
      },
      req: async (id, ...filters) => {
        const from = received.length
        send("REQ", id, ...filters)
        const eose = await until((m) => m[0] === "EOSE" && m[1] === id && received.indexOf(m) >= from)
        return received
          .slice(from, received.indexOf(eose))
          .filter((m) => m[0] === "EVENT" && m[1] === id)
          .map((m) => m[2] as NostrEvent)
      },
      eventsOf,
      next,
      count: async (id, ...filters) => {
        send("COUNT", id, ...filters)
        const [name, , answer] = await next(id, "COUNT", "CLOSED")
        return name === "COUNT" ? (answer as { readonly count: number }).count : answer
      },
      refused: async (id, ...filters) => {
        send("REQ", id, ...filters)
        return (await next(id, "CLOSED"))[2]
      },
      authenticate: async (key, relay = url) => {
        const [, challenge] = await until((m) => m[0] === "AUTH")
        const event = signed(makeAuthEvent(relay, challenge as string), key)
        send("AUTH", event)
        const [, , ok, message] = await next(event.id, "OK")
        return { ok, message }
      },
      pause: socket.pause,
      resume: socket.resume,
      close: () => socket.close(),
      closed: gone.promise,
    }
  })

export const plainVerifier: VerifierShape = {
  backend: "nostr-tools",
  // A copy: nostr-tools remembers its verdict on the object.
  verify: async (events) => events.map((event) => verifyEvent({ ...event, tags: event.tags.map((tag) => [...tag]) })),
}

/** For tests that are not about signatures and need many events. */
export const trustingVerifier: VerifierShape = {
  backend: "nostr-tools",
  verify: async (events) => events.map(() => true),
}

export const startRelay = (
  options: Partial<Omit<RelayOptions, "limits">> & { readonly limits?: Partial<Limits> } = {},
) =>
  serveRelay({
    port: 0,
    file: ":memory:",
    verifier: plainVerifier,
    clock: systemClock,
    ...options,
    limits: { ...limits, ...options.limits },
  }) satisfies Promise<RelayServer>

export const aliceKey = generateSecretKey()

/** A signed event; `created_at` is now unless given. */
export const signed = (template: Partial<EventTemplate>, key: Uint8Array = aliceKey): NostrEvent => {
  const { kind = 1, created_at = Math.floor(systemClock.nowMs() / 1000), tags = [], content = "" } = template
  const { id, pubkey, sig } = finalizeEvent({ kind, created_at, tags: tags.map((tag) => [...tag]), content }, key)
  return { id, pubkey, created_at, kind, tags, content, sig }
}

/** An event with a right id and no signature to speak of, for parts that check none. */
export const unsigned = (event: Omit<NostrEvent, "sig">): NostrEvent => ({ ...event, sig: "0".repeat(128) })
