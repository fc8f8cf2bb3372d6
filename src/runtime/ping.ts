/** How a relay answers right now: how long it takes to be there and to answer, and what it says of itself (NIP-11). */
import { Option, Schema } from "effect"
import type { Limits } from "../limits.ts"
import type { ClockShape } from "../services/clock.ts"
import { readDocument } from "../services/relay-information.ts"
import type { SocketShape } from "../services/socket.ts"

export class RelayUnreachable extends Schema.TaggedError<RelayUnreachable>()("RelayUnreachable", {
  url: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `${this.url} cannot be reached: ${this.reason}`
  }
}

export interface Pinged {
  readonly url: string
  readonly connectMs: number
  /** From a REQ to its end. */
  readonly answerMs: number
  /** `EOSE`, or why there is none: it may ask who we are, and is there all the same. */
  readonly answer: string
  readonly information: Information | null
}

const Information = Schema.Struct({
  name: Schema.optionalKey(Schema.String),
  software: Schema.optionalKey(Schema.String),
  version: Schema.optionalKey(Schema.String),
  supported_nips: Schema.optionalKey(Schema.Array(Schema.Union([Schema.Number, Schema.String]))),
  limitation: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown)),
})
type Information = typeof Information.Type

export interface PingOptions {
  readonly url: string
  readonly socket: SocketShape
  readonly clock: ClockShape
  readonly limits: Pick<Limits, "frameInBytesMax" | "connectMsMax" | "relayInformationBytesMax" | "informationMsMax">
}

/** Rejects with RelayUnreachable. */
export const pingRelay = async (options: PingOptions): Promise<Pinged> => {
  const times = await measure(options)
  return { url: options.url, ...times, information: await informationOf(options) }
}

const measure = ({ url, socket, clock, limits }: PingOptions): Promise<Omit<Pinged, "url" | "information">> =>
  new Promise((resolve, reject) => {
    const beganMs = clock.nowMs()
    let openedMs: number | undefined
    const fail = (reason: string): void => {
      cancel()
      reject(new RelayUnreachable({ url, reason }))
      connection.close(1006)
    }
    const cancel = clock.after(2 * limits.connectMsMax, () => fail("it says nothing"))
    const connection = socket.connect(
      url,
      {
        opened: () => {
          openedMs = clock.nowMs()
          connection.send(JSON.stringify(["REQ", "ping", { limit: 0 }]))
        },
        message: (text) => {
          const answer = answerOf(text)
          if (answer === undefined || openedMs === undefined) return
          cancel()
          resolve({ connectMs: openedMs - beganMs, answerMs: clock.nowMs() - openedMs, answer })
          connection.close()
        },
        pong: () => {},
        closed: (code, reason) => fail(reason === "" ? `closed with ${code}` : reason),
      },
      { frameBytesMax: limits.frameInBytesMax, connectMsMax: limits.connectMsMax },
    )
  })

/** What ends the REQ; undefined for anything else. */
const answerOf = (text: string): string | undefined => {
  try {
    const [type, id, message] = JSON.parse(text) as unknown[]
    if (id !== "ping") return undefined
    if (type === "EOSE") return "EOSE"
    return type === "CLOSED" ? `CLOSED ${String(message ?? "")}`.trimEnd() : undefined
  } catch {
    return undefined
  }
}

/** Null where it tells nothing of itself, or nothing that can be read. */
const informationOf = async (options: PingOptions): Promise<Information | null> =>
  Option.getOrNull(Schema.decodeUnknownOption(Information)(await readDocument(options)))
