/**
 * A client of a relay that is being examined. Trusts nothing: every wait ends, by what it waits for or by a sentence
 * that says what came instead.
 */
import { WebSocket } from "ws"
import type { NostrEvent } from "../../src/protocol/event.ts"
import { demand, Failed, show, skip } from "./check.ts"
import { hex32, now, type Person, person } from "./person.ts"

export type Message = readonly unknown[]

export interface Ok {
  readonly ok: unknown
  readonly message: unknown
  readonly frame: Message
}

/** What came for a REQ until EOSE or CLOSED. */
export interface Answer {
  readonly events: readonly NostrEvent[]
  /** The reason of CLOSED. */
  readonly closed?: string
  readonly eose?: Message
}

export interface AuthParts {
  readonly kind?: number
  readonly created_at?: number
  readonly relay?: string
  readonly challenge?: string
}

export interface Connection {
  /** Everything that came, in order. Text that is no JSON list stands as ["(no list)", text]. */
  readonly received: readonly Message[]
  readonly isOpen: () => boolean
  readonly send: (...message: readonly unknown[]) => void
  readonly sendText: (text: string | Buffer) => void
  /** The first message from the given position on that fits. */
  readonly until: (what: string, fits: (message: Message) => boolean, from?: number, ms?: number) => Promise<Message>
  /** The same, or nothing if it does not come in time. */
  readonly seen: (fits: (message: Message) => boolean, from?: number, ms?: number) => Promise<Message | undefined>
  readonly publish: (event: NostrEvent) => Promise<Ok>
  readonly publishRaw: (id: string, json: string) => Promise<Ok>
  /** Publishes all at once; fails unless each is answered OK true. */
  readonly store: (...events: readonly NostrEvent[]) => Promise<void>
  /** REQ until EOSE or CLOSED; the subscription stays open. */
  readonly open: (id: string, ...filters: readonly unknown[]) => Promise<Answer>
  /** REQ, and CLOSE after EOSE. */
  readonly ask: (...filters: readonly unknown[]) => Promise<Answer>
  /** The same for a filter that may be refused: NOTICE counts as CLOSED. */
  readonly askOdd: (...filters: readonly unknown[]) => Promise<Answer>
  /** The same where an answer is due: fails on CLOSED. */
  readonly query: (...filters: readonly unknown[]) => Promise<readonly NostrEvent[]>
  readonly eventsOf: (id: string) => readonly NostrEvent[]
  /** The relay's challenge: waited for, and provoked if it does not come by itself. */
  readonly challenge: () => Promise<string>
  readonly authEvent: (who: Person, parts?: AuthParts) => Promise<NostrEvent>
  readonly sendAuth: (event: NostrEvent) => Promise<Ok>
  /** Fails unless the relay takes it. */
  readonly authenticate: (who: Person) => Promise<void>
  readonly close: () => void
}

/** One answer. */
const answerMs = 4_000

export const connectTo = async (url: string, authUrl: string): Promise<Connection> => {
  const socket = new WebSocket(url, {
    perMessageDeflate: false,
    maxPayload: 64 * 1024 * 1024,
    handshakeTimeout: answerMs,
  })
  const received: Message[] = []
  const looking = new Set<() => void>()
  let ended = ""
  const look = (): void => {
    for (const one of looking) one()
  }
  socket.on("message", (data) => {
    received.push(parseList((data as Buffer).toString("utf8")))
    look()
  })
  await new Promise<void>((resolve, reject) => {
    socket.once("open", resolve)
    socket.on("error", (error) => reject(new Failed(`expected a connection; came ${error.message || "an error"}`)))
  })
  socket.once("close", (code) => {
    ended = `the connection's end (${code})`
    look()
  })

  const wait = (fits: (message: Message) => boolean, from: number, ms: number): Promise<Message | string> =>
    new Promise((resolve) => {
      let position = from
      const settle = (value: Message | string): void => {
        clearTimeout(timer)
        looking.delete(one)
        resolve(value)
      }
      const one = (): void => {
        for (; position < received.length; position++) {
          const message = received[position] as Message
          if (fits(message)) return settle(message)
        }
        if (ended !== "") settle(ended)
      }
      const timer = setTimeout(() => settle(cameInstead(received.slice(from), ms)), ms)
      looking.add(one)
      one()
    })

  const sendText: Connection["sendText"] = (text) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(text)
  }
  const send: Connection["send"] = (...message) => sendText(JSON.stringify(message))
  const until: Connection["until"] = async (what, fits, from = 0, ms = answerMs) => {
    const found = await wait(fits, from, ms)
    if (typeof found === "string") throw new Failed(`expected ${what}; came ${found}`)
    return found
  }
  const seen: Connection["seen"] = async (fits, from = 0, ms = answerMs) => {
    const found = await wait(fits, from, ms)
    return typeof found === "string" ? undefined : found
  }
  const okFor = async (id: string, from: number, what: string): Promise<Ok> => {
    const frame = await until(`an OK for ${what}`, (m) => m[0] === "OK" && m[1] === id, from)
    return { ok: frame[2], message: frame[3], frame }
  }
  const publishRaw: Connection["publishRaw"] = (id, json) => {
    const from = received.length
    sendText(`["EVENT",${json}]`)
    return okFor(id, from, "an EVENT")
  }
  let subscriptions = 0
  const request = async (id: string, filters: readonly unknown[], isNoticeEnough: boolean): Promise<Answer> => {
    const from = received.length
    send("REQ", id, ...filters)
    const end = await until(
      `EOSE or CLOSED for ${show(filters)}`,
      (m) => ((m[0] === "EOSE" || m[0] === "CLOSED") && m[1] === id) || (isNoticeEnough && m[0] === "NOTICE"),
      from,
    )
    const events = received
      .slice(from, received.indexOf(end))
      .filter((m) => m[0] === "EVENT" && m[1] === id)
      .map((m) => m[2] as NostrEvent)
    if (end[0] === "EOSE") return { events, eose: end }
    return { events, closed: String(end[0] === "NOTICE" ? end[1] : end[2]) }
  }
  const open: Connection["open"] = (id, ...filters) => request(id, filters, false)
  const ask: Connection["ask"] = async (...filters) => {
    const id = `ask-${++subscriptions}`
    const answer = await open(id, ...filters)
    if (answer.closed === undefined) send("CLOSE", id)
    return answer
  }
  const challengeSeen = (m: Message): boolean => m[0] === "AUTH" && typeof m[1] === "string"
  const challenge: Connection["challenge"] = async () => {
    const by = async (ms: number) => (await seen(challengeSeen, 0, ms)) !== undefined
    if (!(await by(300))) {
      send("REQ", "provoke", { kinds: [4, 1059], "#p": [hex32()], limit: 1 })
      if (!(await by(700))) send("EVENT", person().event({ tags: [["-"]] }))
      if (!(await by(1_500)))
        throw new Failed(
          "expected a challenge, on connecting or when private kinds are asked for or a protected event is published; came none",
        )
      send("CLOSE", "provoke")
    }
    return received.findLast(challengeSeen)?.[1] as string
  }
  const authEvent: Connection["authEvent"] = async (who, parts = {}) =>
    who.event({
      kind: parts.kind ?? 22242,
      created_at: parts.created_at ?? now(),
      content: "",
      tags: [
        ["relay", parts.relay ?? authUrl],
        ["challenge", parts.challenge ?? (await challenge())],
      ],
    })
  const sendAuth: Connection["sendAuth"] = (event) => {
    const from = received.length
    send("AUTH", event)
    return okFor(event.id, from, "an AUTH")
  }

  return {
    received,
    isOpen: () => socket.readyState === WebSocket.OPEN,
    send,
    sendText,
    until,
    seen,
    publish: (event) => publishRaw(event.id, JSON.stringify(event)),
    publishRaw,
    store: async (...events) => {
      const from = received.length
      for (const event of events) send("EVENT", event)
      for (const event of events) {
        const { ok, frame } = await okFor(event.id, from, `an EVENT of kind ${event.kind}`)
        demand(ok === true, `OK true for a sound event of kind ${event.kind}`, show(frame))
      }
    },
    open,
    ask,
    askOdd: (...filters) => request(`ask-${++subscriptions}`, filters, true),
    query: async (...filters) => {
      const { events, closed } = await ask(...filters)
      demand(closed === undefined, `events and EOSE for ${show(filters)}`, `CLOSED ${show(closed)}`)
      return events
    },
    eventsOf: (id) => received.filter((m) => m[0] === "EVENT" && m[1] === id).map((m) => m[2] as NostrEvent),
    challenge,
    authEvent,
    sendAuth,
    authenticate: async (who) => {
      const { ok, frame } = await sendAuth(await authEvent(who))
      if (ok !== true && /rate-limited/.test(show(frame))) skip(`the relay limits AUTH: ${show(frame)}`)
      demand(ok === true, "OK true for a right AUTH", show(frame))
    },
    close: () => socket.terminate(),
  }
}

const parseList = (text: string): Message => {
  try {
    const value: unknown = JSON.parse(text)
    if (Array.isArray(value)) return value
  } catch {
    // No JSON: told below.
  }
  return ["(no list)", text]
}

const cameInstead = (messages: readonly Message[], ms: number): string =>
  messages.length === 0
    ? `nothing in ${ms / 1000} s`
    : `in ${ms / 1000} s only ${messages
        .slice(-2)
        .map((m) => show(m, 100))
        .join(", ")}`
