/**
 * Reads the subscriptions of one connection: in the order of the list, one after the other, each to the end of what the
 * relay stores, and live from the first moment on.
 *
 * A lane is one filter of one subscription (a page's end can be told for one filter only). Its first REQ stays open for
 * live events, while further pages are asked for beside it, so nothing falls between stored and live.
 *
 *   waiting ─► asking ─► live          a page's EOSE asks for the next page or ends the reading
 *                 │└────► overdue ─► live      no EOSE in time: the next lane's turn; a late EOSE still counts
 *                 ├────► stopped       the relay said never: until AUTH, another roster, or `suspendSeconds`
 *                 └────► pausing ─► waiting    CLOSED for now, or not committed: read again from the cursor
 *   asking, overdue, live ─► waiting   read again on demand
 *
 * RR1 The next lane is asked for only after the former's stored events are taken, or it is refused or overdue.
 * RR2 A subscription's cursor moves only while all its lanes are live: first to the time at which its first REQ was
 *     sent, then with what comes in.
 * RR3 `read` is called once for each reading of a subscription, when none of its lanes is waiting or asking. Where it was
 *     called although a lane was refused or overdue, it is called again when that lane is read after all; and when the
 *     relay refuses for good what it gave until then.
 * RR4 A lane that is read again on demand stays live by its former REQ until the new one is sent, and what it is reading
 *     then ends nothing.
 */
import type { ChanceShape } from "../src/services/chance.ts"
import type { ClockShape } from "../src/services/clock.ts"
import type { Limits } from "../src/limits.ts"
import { parseEvent } from "../src/protocol/event.ts"
import { beginPaging, turnPage, windowFilter, type Paging } from "./paging.ts"
import { refusalOf } from "./relay-frames.ts"
import type { Intake, Request } from "./relay-intake.ts"
import { matches, type Batch, type Filter, type Subscription } from "./subscription.ts"

export interface ReadingDeps {
  readonly url: string
  readonly clock: ClockShape
  readonly chance: ChanceShape
  readonly limits: Pick<
    Limits,
    | "pageRowsMax"
    | "historyWaitSecondsMax"
    | "reconnectMsMin"
    | "reconnectMsMax"
    | "retryMsMin"
    | "uncommittedMsMax"
    | "suspendSeconds"
  >
  readonly intake: Intake
  readonly subscriptions: () => readonly Subscription[]
  readonly send: (frame: readonly unknown[]) => void
  readonly take: (batch: Batch) => Promise<void>
  /** `whole` where every lane was read, none refused or overdue. */
  readonly read: (subscription: string, whole: boolean) => void
  /** False: we are authenticated already. */
  readonly demandAuth: () => boolean
  /** No lane is waiting or asking. */
  readonly caughtUp: () => void
  /** A lane is to be asked for again: call `proceed` when that is allowed. */
  readonly again: () => void
  readonly noted: (message: string) => void
  readonly guard: (call: () => void) => () => void
}

export interface Reading {
  /** Brings the lanes in line with the list and goes on reading. */
  readonly proceed: () => void
  /** What the relay refused for good may be asked for again. */
  readonly revive: () => void
  /** That subscription is to be read again from its cursor. What waits or pauses will be anyway. */
  readonly reread: (subscription: string) => void
  /** False: no such request, or not an event that it asked for. `bytes` is what it takes on the socket. */
  readonly event: (request: string, event: unknown, bytes: number) => boolean
  readonly ended: (request: string, finished: boolean) => void
  readonly refused: (request: string, message: string) => void
  /** The relay wants AUTH and does not say for what. */
  readonly unauthenticated: () => void
  readonly failed: (subscription: string, error: unknown) => void
  /** The connection is gone. */
  readonly reset: () => void
}

type LaneState = "waiting" | "asking" | "overdue" | "live" | "pausing" | "uncommitted" | "unauthenticated" | "stopped"

interface Asked extends Request {
  readonly id: string
  readonly lane: Lane
  /** EOSE has come. */
  ended: boolean
  received: number
  /** The reading that ends with this page. */
  isLast: Paging | undefined
  readonly events: { id: string; created_at: number }[]
}

interface Lane {
  readonly key: string
  readonly filter: Filter
  source: Subscription
  state: LaneState
  tries: number
  /** `read` was called without what this lane has still to read. */
  owing: boolean
  paging: Paging | undefined
  sentMs: number
  /** The live request, and the one for the page. */
  asked: Asked[]
  disarm: () => void
}

const settled: ReadonlySet<LaneState> = new Set<LaneState>(["live", "overdue", "pausing", "stopped"])

export const createReading = (deps: ReadingDeps): Reading => {
  let lanes: Lane[] = []
  let serial = 0
  const requests = new Map<string, Asked>()
  const reported = new Set<string>()

  const lanesOf = (name: string): readonly Lane[] => lanes.filter(({ source }) => source.name === name)

  const phaseOf = (name: string): "stored" | "live" | "live-without-cursor" => {
    const states = lanesOf(name).map(({ state }) => state)
    if (states.length > 0 && states.every((state) => state === "live")) return "live"
    return states.some((state) => state === "asking" || state === "waiting") ? "stored" : "live-without-cursor"
  }

  const request = (lane: Lane, filter: Filter): void => {
    const name = lane.source.name
    const id = `${name.slice(0, 40)}/${serial++}`
    const asked: Asked = {
      id,
      lane,
      subscription: name,
      dead: false,
      ended: false,
      received: 0,
      isLast: undefined,
      events: [],
      phase: () => phaseOf(name),
      given: ({ id }) => lane.paging?.known.has(id) === true,
      checked: (event, stored) => {
        if (stored) asked.events.push({ id: event.id, created_at: event.created_at })
      },
    }
    lane.asked.push(asked)
    requests.set(id, asked)
    lane.disarm()
    lane.disarm = deps.clock.after(
      deps.limits.historyWaitSecondsMax * 1000,
      deps.guard(() => overdue(lane)),
    )
    deps.send(["REQ", id, filter])
  }

  const drop = (asked: Asked, tell: boolean): void => {
    requests.delete(asked.id)
    asked.lane.asked = asked.lane.asked.filter((other) => other !== asked)
    if (tell) deps.send(["CLOSE", asked.id])
  }

  /** Lets go of a lane's requests. What came by them and still waits is taken, but moves no cursor and ends no page. */
  const leave = (lane: Lane, state: LaneState, tell = true): void => {
    lane.disarm()
    lane.disarm = () => {}
    for (const asked of lane.asked) drop(asked, tell)
    lane.state = state
    lane.paging = undefined
  }

  const start = (lane: Lane): void => {
    const now = deps.clock.nowMs()
    const sinceMs = lane.source.sinceMs()
    const since = sinceMs === undefined ? 0 : Math.max(0, Math.floor(Math.min(sinceMs, now) / 1000))
    lane.state = "asking"
    lane.sentMs = now
    lane.paging = beginPaging(lane.filter, since)
    const former = lane.asked
    lane.asked = []
    ask(lane)
    for (const asked of former) drop(asked, true)
  }

  const ask = (lane: Lane): void => {
    const window = lane.paging?.windows.at(-1)
    if (window !== undefined) request(lane, windowFilter(window, deps.limits.pageRowsMax))
  }

  const overdue = (lane: Lane): void => {
    if (lane.state !== "asking" && lane.state !== "unauthenticated") return
    deps.noted(`no EOSE for ${lane.source.name} within ${deps.limits.historyWaitSecondsMax} s`)
    if (lane.state === "asking") lane.state = "overdue"
    else stop(lane)
    settle(lane.source.name)
    advance()
  }

  const settle = (name: string): void => {
    const own = lanesOf(name)
    // None where the connection was lost while the last of it was taken.
    if (own.length === 0 || reported.has(name) || !own.every(({ state }) => settled.has(state))) return
    reported.add(name)
    for (const lane of own) lane.owing = lane.state !== "live"
    deps.read(
      name,
      own.every(({ state }) => state === "live"),
    )
  }

  const advance = (): void => {
    if (lanes.some(({ state }) => state === "asking")) return
    const next = lanes.find(({ state }) => state === "waiting")
    if (next === undefined) deps.caughtUp()
    else start(next)
  }

  /** Everything of this page that came before its EOSE is checked: the next one comes while this one is taken. */
  const turn = (asked: Asked, finished: boolean): void => {
    const lane = asked.lane
    if (requests.get(asked.id) !== asked || lane.paging === undefined) return
    lane.paging = turnPage(lane.paging, { events: asked.events, received: asked.received, finished })
    if (asked !== lane.asked[0]) drop(asked, true)
    if (lane.paging.windows.length > 0) ask(lane)
    else asked.isLast = lane.paging
  }

  /** Everything of this page is taken, and of those before it. */
  const over = async ({ lane, isLast }: Asked): Promise<void> => {
    if (isLast === undefined || lane.paging !== isLast) return
    lane.paging = undefined
    lane.state = "live"
    lane.tries = 0
    if (lane.owing) reported.delete(lane.source.name)
    await complete(lane.source.name)
    advance()
  }

  const complete = async (name: string): Promise<void> => {
    const all = lanesOf(name)
    if (phaseOf(name) === "live") {
      const cursorMs = Math.min(deps.clock.nowMs(), ...all.map(({ sentMs }) => sentMs))
      try {
        await deps.take({ subscription: name, relay: deps.url, events: [], cursorMs, phase: "stored" })
      } catch (error) {
        failed(name, error)
        return
      }
    }
    settle(name)
  }

  /** Read again from the cursor, later. Full jitter, as for a connection; what we could not keep is no relay's fault. */
  const pause = (lane: Lane, state: "pausing" | "uncommitted"): void => {
    leave(lane, state)
    const { reconnectMsMin, reconnectMsMax, retryMsMin, uncommittedMsMax } = deps.limits
    const [least, most] = state === "uncommitted" ? [retryMsMin, uncommittedMsMax] : [reconnectMsMin, reconnectMsMax]
    const ceiling = Math.min(most, least * 2 ** Math.min(++lane.tries, 52))
    wakeAfter(lane, least + deps.chance.next() * Math.max(0, ceiling - least))
  }

  const stop = (lane: Lane): void => {
    leave(lane, "stopped")
    reported.delete(lane.source.name)
    wakeAfter(lane, deps.limits.suspendSeconds * 1000)
  }

  const wakeAfter = (lane: Lane, ms: number): void => {
    const wake = deps.guard(() => {
      lane.state = "waiting"
      deps.again()
    })
    lane.disarm = deps.clock.after(ms, wake)
  }

  const failed = (name: string, error: unknown): void => {
    deps.noted(`${name} was not committed: ${String(error)}`)
    for (const lane of lanesOf(name)) {
      if (lane.asked.length === 0) continue
      for (const asked of lane.asked) asked.dead = true
      pause(lane, "uncommitted")
      reported.delete(name)
    }
    advance()
  }

  const refuse = (lane: Lane, message: string): void => {
    const refusal = refusalOf(message)
    if (refusal === "auth" && deps.demandAuth()) {
      leave(lane, "unauthenticated")
      lane.disarm = deps.clock.after(
        deps.limits.historyWaitSecondsMax * 1000,
        deps.guard(() => overdue(lane)),
      )
    } else if (refusal === "auth" || refusal === "never") stop(lane)
    else pause(lane, "pausing")
    settle(lane.source.name)
    advance()
  }

  const sync = (): void => {
    const held = new Map(lanes.map((lane) => [lane.key, lane]))
    const wanted = new Map<string, Lane>()
    for (const source of deps.subscriptions())
      for (const filter of source.filters) {
        const key = `${source.name} ${JSON.stringify(filter)}`
        const lane = held.get(key)
        if (lane === undefined) reported.delete(source.name)
        const nothing = { tries: 0, owing: false, paging: undefined, sentMs: 0, asked: [], disarm: () => {} }
        wanted.set(key, lane ?? { key, filter, source, state: "waiting", ...nothing })
        if (lane !== undefined) lane.source = source
        held.delete(key)
      }
    lanes = [...wanted.values()]
    for (const lane of held.values()) leave(lane, "stopped")
  }

  return {
    proceed: () => {
      sync()
      advance()
    },
    revive: () => {
      for (const lane of lanes) {
        if (lane.state !== "stopped" && lane.state !== "unauthenticated") continue
        lane.disarm()
        lane.state = "waiting"
      }
    },
    reread: (name) => {
      const being = lanesOf(name).filter(({ state }) => state === "asking" || state === "overdue" || state === "live")
      if (being.length === 0) return
      for (const lane of being) {
        lane.disarm()
        for (const page of lane.asked.slice(1)) drop(page, true)
        lane.paging = undefined
        lane.state = "waiting"
      }
      reported.delete(name)
      deps.again()
    },
    event: (id, value, bytes) => {
      const asked = requests.get(id)
      if (asked === undefined) return false
      if (!asked.ended) asked.received++
      const event = parseEvent(value)
      if (event === undefined || !matches(asked.lane.filter, event)) return false
      deps.intake.push(asked, event, !asked.ended, bytes)
      return true
    },
    ended: (id, finished) => {
      const asked = requests.get(id)
      if (asked === undefined || asked.ended) return
      asked.ended = true
      asked.lane.disarm()
      deps.intake.mark(
        () => turn(asked, finished),
        () => over(asked),
      )
    },
    refused: (id, message) => {
      const asked = requests.get(id)
      if (asked === undefined) return
      deps.noted(message)
      drop(asked, false)
      refuse(asked.lane, message)
    },
    unauthenticated: () => {
      const lane = lanes.find(({ state }) => state === "asking")
      if (lane !== undefined) refuse(lane, "auth-required:")
    },
    failed,
    reset: () => {
      for (const lane of lanes) leave(lane, "stopped", false)
      lanes = []
      reported.clear()
    },
  }
}
