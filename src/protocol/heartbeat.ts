/**
 * The heartbeat (kind 1): a wizard is alive, and how it is. It is one only by the key that the roster gives that
 * wizard; the tags alone mean nothing (a person who writes `#heartbeat` gets the same `t` tag from their client).
 *
 * H1 The first of a UTC day is a plain note, the others are replies to it (NIP-10), which home feeds hide.
 * H2 It expires (NIP-40), but late enough for a monitor to read it back.
 */
import { tagValue, tagValues, type EventTemplate, type UnsignedEvent } from "./event.ts"
import { Kind } from "./kinds.ts"

export interface Heartbeat {
  /** The wizard's name. */
  readonly wizard: string
  /** `idle`, `busy`, `paused`, … */
  readonly state: string
  /** Commands that wait. */
  readonly queue: number
  /** Counts this life's heartbeats. */
  readonly seq: number
  /** Seconds until the next. */
  readonly interval: number
  /** Which life of the wizard's key sends it. */
  readonly instance: string
  /** Unix seconds. */
  readonly createdAt: number
}

/** The day's first heartbeat that was sent. `createdAt` in unix seconds. */
export interface DayRoot {
  readonly id: string
  readonly createdAt: number
}

/** `keepSeconds`: how long relays keep it. `root` of another day is passed over. */
export const heartbeatTemplate = (
  fields: Heartbeat & { readonly keepSeconds: number; readonly root?: DayRoot },
): EventTemplate => ({
  kind: Kind.note,
  created_at: fields.createdAt,
  tags: [
    ["t", heartbeatMark],
    ["wizard", fields.wizard],
    ["state", fields.state],
    ["queue", String(fields.queue)],
    ["seq", String(fields.seq)],
    ["interval", String(fields.interval)],
    ["instance", fields.instance],
    ["expiration", String(fields.createdAt + fields.keepSeconds)],
    ...(fields.root !== undefined && isSameDay(fields.root.createdAt, fields.createdAt)
      ? [["e", fields.root.id, "", "root"]]
      : []),
  ],
  content: `${fields.wizard} is ${fields.state}, ${fields.queue === 0 ? "nothing" : fields.queue} waiting`,
})

/** The heartbeat that an event says it is, or undefined. */
export const readHeartbeat = (event: UnsignedEvent): Heartbeat | undefined => {
  if (event.kind !== Kind.note || !tagValues(event, "t").includes(heartbeatMark)) return undefined
  const wizard = tagValue(event, "wizard")
  const state = tagValue(event, "state")
  const instance = tagValue(event, "instance")
  const [queue, seq, interval] = ["queue", "seq", "interval"].map((name) => parseCount(tagValue(event, name)))
  if (wizard === undefined || state === undefined || instance === undefined) return undefined
  if (queue === undefined || seq === undefined || interval === undefined) return undefined
  return { wizard, state, queue, seq, interval, instance, createdAt: event.created_at }
}

/** Whether two moments (unix seconds) are on one UTC day. */
export const isSameDay = (a: number, b: number): boolean => Math.floor(a / 86_400) === Math.floor(b / 86_400)

const heartbeatMark = "heartbeat"

const parseCount = (text: string | undefined): number | undefined =>
  text !== undefined && /^(0|[1-9]\d{0,14})$/.test(text) ? Number(text) : undefined
