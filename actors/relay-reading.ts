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
 *                 ├────► pausing ─► waiting    CLOSED for now, or not committed: read again from the cursor
 *                 └────► resting ─► waiting    the relay has no room for it to stay open: read again after `pollSeconds`
 *   asking, overdue, live ─► waiting   read again on demand
 *
 * Where the relay does NIP-77 and we hold something, the gap is not read page by page: once the live REQ stands, the
 * relay is asked for the ids that we lack, and then for those.
 *
 * RR1 The next lane is asked for only after the former's stored events are taken, or it is refused or overdue.
 * RR2 A subscription's cursor moves only while all its lanes are live: first to the time at which its first REQ was
 *     sent, then with what comes in. Where some of them rest it moves when they are read, to the time of their REQs.
 * RR3 `read` is called once for each reading of a subscription, when none of its lanes is waiting or asking. Where it was
 *     called although a lane was refused or overdue, it is called again when that lane is read after all; and when the
 *     relay refuses, for now or for good, what it gave until then.
 * RR4 A lane that is read again on demand stays live by its former REQ until the new one is sent, and what it is reading
 *     then ends nothing.
 * RR5 A gap that cannot be reconciled to its end is read page by page; a relay that does not do there what it says is
 *     not asked so again on this connection.
 * RR6 What the relay says of itself (NIP-11) is kept to: how many REQs are open, how long one is, what `limit` it has.
 */
import type { ChanceShape } from "../src/services/chance.ts"
import type { ClockShape } from "../src/services/clock.ts"
import type { Limits } from "../src/limits.ts"
import { parseEvent } from "../src/protocol/event.ts"
import type { RelayInformation } from "../src/protocol/relay-information.ts"
import type { Difference } from "./relay-difference.ts"
import { createGap, frameBytes, type Gap } from "./relay-gap.ts"
import { refusalOf } from "./relay-frames.ts"
import type { Intake, Request } from "./relay-intake.ts"
import { fitting, matches, type Batch, type Filter, type Subscription } from "./subscription.ts"

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
    | "reconnectStableSeconds"
    | "retryMsMin"
    | "uncommittedMsMax"
    | "suspendSeconds"
    | "pollSeconds"
    | "requestIdsMax"
    | "reconcileBytesMax"
    | "reconcileNeedMax"
    | "reconcileRoundsMax"
  >
  /** What the relay says of itself. */
  readonly information: () => RelayInformation
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
  /** Of a reconciliation (NIP-77). False: there is none of that name. */
  readonly reconciled: (request: string, message: unknown) => boolean
  readonly unreconciled: (request: string, reason: string) => boolean
  /** The relay said something for people, which may be its only answer. */
  readonly noticed: (text: string) => void
  /** The relay wants AUTH and does not say for what. */
  readonly unauthenticated: () => void
  readonly failed: (subscription: string, error: unknown) => void
  /** The connection is gone. */
  readonly reset: () => void
}

type LaneState =
  | "waiting"
  | "asking"
  | "overdue"
  | "live"
  | "pausing"
  | "resting"
  | "uncommitted"
  | "unauthenticated"
  | "stopped"

interface Asked extends Request {
  readonly id: string
  readonly lane: Lane
  /** EOSE has come. */
  ended: boolean
  received: number
  /** The reading that ends with this page. */
  isLast: Gap | undefined
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
  /** What it has still to read. */
  gap: Gap | undefined
  /** Unix seconds. */
  since: number
  sentMs: number
  liveMs: number
  /** There is no room for it to stay open. */
  polled: boolean
  /** The live request, and the one for the page. */
  asked: Asked[]
  disarm: () => void
}

const settled: ReadonlySet<LaneState> = new Set<LaneState>(["live", "resting", "overdue", "pausing", "stopped"])
const isRead = ({ state }: Lane): boolean => state === "live" || state === "resting"

const unread = {
  state: "waiting",
  tries: 0,
  owing: false,
  gap: undefined,
  since: 0,
  sentMs: 0,
  liveMs: 0,
  polled: false,
  disarm: (): void => {},
} as const satisfies Partial<Lane>

export const createReading = (deps: ReadingDeps): Reading => {
  let lanes: Lane[] = []
  let serial = 0
  const requests = new Map<string, Asked>()
  const reported = new Set<string>()
  /** RR5 */
  let reconciles = true

  const lanesOf = (name: string): readonly Lane[] => lanes.filter(({ source }) => source.name === name)

  const phaseOf = (name: string): "stored" | "live" | "live-without-cursor" => {
    const states = lanesOf(name).map(({ state }) => state)
    if (states.length > 0 && states.every((state) => state === "live")) return "live"
    return states.some((state) => state === "asking" || state === "waiting") ? "stored" : "live-without-cursor"
  }

  const nextId = (name: string): string => {
    const end = `/${serial++}`
    const { subscriptionIdCharsMax } = deps.information().bounds
    return name.slice(0, Math.max(0, Math.min(40, subscriptionIdCharsMax - end.length))) + end
  }

  const request = (lane: Lane, filter: Filter): void => {
    const name = lane.source.name
    const id = nextId(name)
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
      given: ({ id }) => lane.gap?.given(id) === true,
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
    forgetGap(lane, tell)
  }

  const forgetGap = (lane: Lane, tell = true): void => {
    lane.gap?.end(tell)
    lane.gap = undefined
  }

  const start = (lane: Lane): void => {
    const now = deps.clock.nowMs()
    const sinceMs = lane.source.sinceMs()
    lane.since = sinceMs === undefined ? 0 : Math.max(0, Math.floor(Math.min(sinceMs, now) / 1000))
    lane.state = "asking"
    lane.sentMs = now
    const former = lane.asked
    lane.asked = []
    forgetGap(lane)
    lane.gap = gapOf(lane)
    lane.gap.begin()
    for (const asked of former) drop(asked, true)
  }

  const gapOf = (lane: Lane): Gap => {
    const { reconciles: says, bounds } = deps.information()
    const { source, filter, since } = lane
    const mayReconcile = reconciles && says && !lane.polled
    const gap: Gap = createGap({
      ...deps,
      nextId: () => nextId(source.name),
      bounds,
      filter,
      since,
      held: (mayReconcile ? source.held?.(filter, since) : undefined) ?? [],
      request: (asked) => request(lane, asked),
      mark: (then) => {
        let isLast: Gap | undefined
        const checked = (): void => {
          then()
          if (gap.isOver()) isLast = gap
        }
        deps.intake.mark(checked, () => over(lane, isLast))
      },
      noted: (message) => deps.noted(`${source.name}: ${message}`),
      broken: () => {
        reconciles = false
      },
    })
    return gap
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
    for (const lane of own) lane.owing = !isRead(lane)
    deps.read(name, own.every(isRead))
  }

  const advance = (): void => {
    if (lanes.some(({ state }) => state === "asking")) return
    const next = lanes.find(({ state }) => state === "waiting")
    if (next === undefined) deps.caughtUp()
    else start(next)
  }

  /** Everything of this page that came before its EOSE is checked: the next one comes while this one is taken. */
  const turn = (asked: Asked, finished: boolean): void => {
    const { lane } = asked
    const { gap } = lane
    if (requests.get(asked.id) !== asked || gap === undefined) return
    const isFirst = asked === lane.asked[0]
    if (!isFirst || lane.polled) drop(asked, true)
    gap.turn({ events: asked.events, received: asked.received, finished }, isFirst)
    if (gap.isOver()) asked.isLast = gap
  }

  /** Everything of this page is taken, and of those before it. */
  const over = async (lane: Lane, isLast: Gap | undefined): Promise<void> => {
    if (isLast === undefined || lane.gap !== isLast) return
    forgetGap(lane)
    lane.state = "live"
    lane.liveMs = deps.clock.nowMs()
    if (lane.polled) rest(lane)
    if (lane.owing) reported.delete(lane.source.name)
    await complete(lane.source.name)
    advance()
  }

  const rest = (lane: Lane): void => {
    leave(lane, "resting")
    wakeAfter(lane, deps.limits.pollSeconds * 1000)
  }

  const complete = async (name: string): Promise<void> => {
    const all = lanesOf(name)
    if (all.length > 0 && all.every(isRead)) {
      // What is live has been so since; where one is read only now and then, it was read up to then.
      const resting = all.filter(({ state }) => state === "resting")
      const sentMs = (resting.length === 0 ? all : resting).map((lane) => lane.sentMs)
      const cursorMs = Math.min(deps.clock.nowMs(), ...sentMs)
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
    const isStable = deps.clock.nowMs() - lane.liveMs >= deps.limits.reconnectStableSeconds * 1000
    if (isRead(lane) && isStable) lane.tries = 0
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

  const wake = (lane: Lane): void => {
    lane.disarm()
    lane.state = "waiting"
  }
  const wakeAfter = (lane: Lane, ms: number): void => {
    const due = deps.guard(() => {
      wake(lane)
      deps.again()
    })
    lane.disarm = deps.clock.after(ms, due)
  }

  const failed = (name: string, error: unknown): void => {
    deps.noted(`${name} was not committed: ${String(error)}`)
    for (const lane of lanesOf(name)) {
      if (lane.asked.length === 0 && lane.state !== "resting") continue
      for (const asked of lane.asked) asked.dead = true
      pause(lane, "uncommitted")
      reported.delete(name)
    }
    advance()
  }

  const refuse = (lane: Lane, message: string): void => {
    const refusal = refusalOf(message)
    if (lane.state === "live") reported.delete(lane.source.name)
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

  const tellDifference = (id: string, tell: (difference: Difference) => void): boolean => {
    const difference = lanes.map(({ gap }) => gap?.difference()).find((each) => each?.id === id)
    if (difference !== undefined) tell(difference)
    return difference !== undefined
  }

  const sync = (): void => {
    const held = new Map(lanes.map((lane) => [lane.key, lane]))
    const wanted = new Map<string, Lane>()
    const { bounds } = deps.information()
    for (const source of deps.subscriptions())
      for (const filter of source.filters.flatMap((each) => fitting(each, bounds.messageBytesMax - frameBytes))) {
        const key = `${source.name} ${JSON.stringify(filter)}`
        const lane = held.get(key)
        if (lane === undefined) reported.delete(source.name)
        wanted.set(key, lane ?? { ...unread, key, filter, source, asked: [] })
        if (lane !== undefined) lane.source = source
        held.delete(key)
      }
    lanes = [...wanted.values()]
    for (const lane of held.values()) leave(lane, "stopped")
    // One REQ is for what is read beside those that stay open (RR6).
    const ranked = lanes.toSorted((a, b) => (b.source.rank ?? 0) - (a.source.rank ?? 0))
    for (const [at, lane] of ranked.entries()) {
      // How it is being read stays so to its end.
      if (lane.state === "asking" || lane.state === "overdue") continue
      lane.polled = at >= bounds.subscriptionsMax - 1
      if (lane.polled && lane.state === "live") rest(lane)
      if (!lane.polled && lane.state === "resting") wake(lane)
    }
  }

  return {
    proceed: () => {
      sync()
      advance()
    },
    revive: () => {
      for (const lane of lanes) {
        if (lane.state === "stopped" || lane.state === "unauthenticated") wake(lane)
      }
    },
    reread: (name) => {
      const being = lanesOf(name).filter(({ state }) => ["asking", "overdue", "live", "resting"].includes(state))
      if (being.length === 0) return
      for (const lane of being) {
        wake(lane)
        for (const page of lane.asked.slice(1)) drop(page, true)
        forgetGap(lane)
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
        () => over(asked.lane, asked.isLast),
      )
    },
    refused: (id, message) => {
      const asked = requests.get(id)
      if (asked === undefined) return
      deps.noted(message)
      drop(asked, false)
      refuse(asked.lane, message)
    },
    reconciled: (id, message) => tellDifference(id, (difference) => difference.said(message)),
    unreconciled: (id, reason) => tellDifference(id, (difference) => difference.refused(reason)),
    noticed: (text) => {
      for (const { gap } of lanes) gap?.difference()?.noticed(text)
    },
    unauthenticated: () => {
      const lane = lanes.find(({ state }) => state === "asking")
      if (lane !== undefined) refuse(lane, "auth-required:")
    },
    failed,
    reset: () => {
      for (const lane of lanes) leave(lane, "stopped", false)
      lanes = []
      reconciles = true
      reported.clear()
    },
  }
}
