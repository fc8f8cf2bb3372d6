/**
 * The doing half of `machines/relay-connection.ts`: one socket of one identity to one relay.
 *
 *   socket ─► frame ─┬─ EVENT, EOSE, CLOSED ─► reading ─► intake ─► take
 *                    ├─ OK ─► auth, outgoing
 *                    └─ AUTH ─► auth ─► machine
 *
 * Owns the parts and the timers that the machine asks for. What it reads it hands to `take` and forgets: it holds no
 * cursor, and no events of its own.
 *
 * A broken invariant in a callback fails the actor, where its supervisor sees it; it never reaches the process.
 */
import { createActor, type AnyActor } from "xstate"
import { machine, type RelayConnectionEvent, type RelayConnectionTimer } from "../machines/relay-connection.ts"
import type { Signer } from "../src/identity/signer.ts"
import type { VerifierShape } from "../src/identity/verifier.ts"
import type { Limits } from "../src/limits.ts"
import type { NostrEvent } from "../src/protocol/event.ts"
import { nothingSaid, refusalBy, type RelayInformation } from "../src/protocol/relay-information.ts"
import type { ChanceShape } from "../src/services/chance.ts"
import { nowSeconds, type ClockShape } from "../src/services/clock.ts"
import type { SocketShape } from "../src/services/socket.ts"
import { doings } from "./doing.ts"
import { createAuth, type Auth } from "./relay-auth.ts"
import { readFrame, refusalOf, type Frame } from "./relay-frames.ts"
import { createIntake, type Intake } from "./relay-intake.ts"
import { createLink } from "./relay-link.ts"
import { createOutgoing, Undelivered, type Delivery, type Outgoing } from "./relay-outgoing.ts"
import { createReading, type Reading } from "./relay-reading.ts"
import type { Batch, Subscription } from "./subscription.ts"

export interface RelayConnectionDeps {
  readonly url: string
  /** Whose socket this is: public key, hex. */
  readonly identity: string
  readonly socket: SocketShape
  readonly clock: ClockShape
  readonly chance: ChanceShape
  readonly limits: Limits
  readonly verifier: VerifierShape
  /** For AUTH. */
  readonly signer: Signer
  /**
   * What the relay says of itself (NIP-11), asked for whenever it is dialled; nothing is said on the connection before it
   * is there. Never rejects. Without it the relay says nothing.
   */
  readonly information?: () => RelayInformation | Promise<RelayInformation>
  /** In the order in which they are read. Asked for again at each connection and `resubscribe`. */
  readonly subscriptions: () => readonly Subscription[]
  /** Resolves when the batch is durable. Rejects if it was not committed: that subscription is read again later. */
  readonly take: (batch: Batch) => Promise<void>
  /** That event is valid, and will be taken when what came before it is; `stored` if the relay held it. */
  readonly verified?: (subscription: string, event: NostrEvent, stored: boolean) => void
  /**
   * The stored events of a subscription are over and taken, or were refused, or did not end in time. Where they come
   * after all, it is called again; and when the relay refuses for good what it gave until then. `whole` where nothing
   * of them was refused or late.
   */
  readonly read: (subscription: string, whole: boolean) => void
  readonly changed: (report: RelayReport) => void
}

export type RelayState =
  | "idle"
  | "connecting"
  | "authenticating"
  | "catching-up"
  | "live"
  | "backing-off"
  | "suspended"
  | "closed"

export interface RelayReport {
  readonly url: string
  readonly state: RelayState
  /** Connections lost or failed since the last stable one. */
  readonly attempts: number
  readonly lastError: string | null
  /** Valid events taken, and events that the relay accepted. */
  readonly eventsIn: number
  readonly eventsOut: number
  /** Of the last ping; null before the first is answered. */
  readonly latencyMs: number | null
  /** Frames that were none, or that nobody had asked for. */
  readonly ignored: number
  /** Unix milliseconds since when it is in this state. */
  readonly sinceMs: number
}

export interface RelayConnection {
  readonly actor: AnyActor
  /** Resolves with the relay's word; rejects with `Undelivered` where there is none. */
  readonly publish: (event: NostrEvent) => Promise<Delivery>
  /**
   * There is reason to ask anew (a roster version): the list of subscriptions may have changed, and what was refused is
   * asked for again too, of a relay that was left alone as well. What is in the list unchanged is not read again.
   */
  readonly resubscribe: () => void
  /** The list changed, and nothing else: what was refused stays so, and a relay that is left alone is. */
  readonly relist: () => void
  /**
   * Reads that subscription again from its `sinceMs()`, also from the middle of a reading; `read` tells its end. Its
   * live events go on coming. Nothing to do where it is not being read now: the next reading starts there anyway.
   */
  readonly reread: (subscription: string) => void
  readonly status: () => RelayReport
  /** The machine was asleep, or the network is back: no backoff, and a look whether the socket still lives. */
  readonly wake: () => void
  /** Resolves when the socket is closed and what was being taken is taken. */
  readonly close: () => Promise<void>
}

interface Doing {
  readonly open: () => void
  readonly shut: () => void
  readonly authenticate: () => void
  readonly read: () => void
  readonly arm: (timer: RelayConnectionTimer, ms: number) => void
  readonly disarm: (timer: RelayConnectionTimer) => void
  readonly refuse: (event: string) => void
}

const doing = doings<Doing>()

const live = machine.provide({
  actions: {
    open: ({ self }) => doing.of(self).open(),
    shut: ({ self }) => doing.of(self).shut(),
    authenticate: ({ self }) => doing.of(self).authenticate(),
    read: ({ self }) => doing.of(self).read(),
    arm: ({ self }, { timer, ms }) => doing.of(self).arm(timer, ms),
    disarm: ({ self }, { timer }) => doing.of(self).disarm(timer),
    fail: (_, { reason }) => {
      throw new Error(reason)
    },
    refuse: ({ self }, { event }) => doing.of(self).refuse(event),
  },
})

export const openRelayConnection = (deps: RelayConnectionDeps): RelayConnection => {
  const { clock, limits, url } = deps
  const link = createLink(deps, {
    opened: () => void opened().catch(crash),
    message: (text) => receive(text),
    lost: (code, reason, stableMs) => tell({ type: "dropped", code, reason, chance: deps.chance.next(), stableMs }),
    guard: (call) => guard(call),
  })
  let information = nothingSaid
  /** Of the socket that is being dialled; another one makes it old. */
  let inquiry: Promise<void> | undefined
  const inquire = (): void => {
    const said = deps.information?.() ?? nothingSaid
    inquiry = undefined
    if ("bounds" in said) information = said
    else inquiry = said.then((each) => void (information = each))
  }
  const opened = async (): Promise<void> => {
    const mine = inquiry
    if (mine !== undefined) {
      await mine
      if (mine !== inquiry) return
      inquiry = undefined
    }
    tell({ type: "opened" })
  }
  const timers = new Map<RelayConnectionTimer, () => void>()
  let ignored = 0
  let lastError: string | null = null
  let sinceMs = clock.nowMs()
  let state: RelayState = "idle"

  const crash = (error: unknown): void => tell({ type: "crash", reason: String(error) })
  const guard = (call: () => void) => (): void => {
    try {
      call()
    } catch (error) {
      crash(error)
    }
  }

  const auth: Auth = createAuth({
    ...deps,
    send: link.send,
    challenged: () => tell({ type: "challenged" }),
    authenticated: () => {
      reading.revive()
      outgoing.authenticated()
      tell({ type: "authenticated" })
    },
    refused: (reason) => tell({ type: "auth-refused", reason, chance: deps.chance.next() }),
  })
  const outgoing: Outgoing = createOutgoing({ url, clock, limits, send: link.send, demandAuth: auth.demand })
  const intake: Intake = createIntake({
    ...deps,
    throttle: link.throttle,
    failed: (subscription, error) => reading.failed(subscription, error),
    crash,
  })
  const reading: Reading = createReading({
    ...deps,
    intake,
    information: () => information,
    send: link.send,
    demandAuth: auth.demand,
    caughtUp: () => tell({ type: "caught-up" }),
    again: () => tell({ type: "resubscribe" }),
    noted: (message) => {
      lastError = message
    },
    guard,
  })

  const receive = (text: string): void => {
    const bytes = Buffer.byteLength(text)
    const frame = bytes > limits.eventBytesMax + frameBytes ? undefined : readFrame(text)
    if (frame === undefined || !handle(frame, bytes)) ignored++
  }
  const handle = (frame: Frame, bytes: number): boolean => {
    if (frame.type === "EVENT") return reading.event(frame.request, frame.event, bytes)
    if (frame.type === "EOSE") reading.ended(frame.request, frame.hints.includes("finish"))
    else if (frame.type === "CLOSED") reading.refused(frame.request, frame.message)
    else if (frame.type === "AUTH") auth.challenge(frame.challenge)
    else if (frame.type === "NOTICE") notice(frame.message)
    else if (frame.type === "NEG-MSG") return reading.reconciled(frame.request, frame.message)
    else if (frame.type === "NEG-ERR") return reading.unreconciled(frame.request, frame.message)
    else if (!auth.ok(frame.id, frame.accepted, frame.message)) outgoing.ok(frame.id, frame.accepted, frame.message)
    return true
  }
  const notice = (message: string): void => {
    lastError = message
    if (refusalOf(message) === "auth") reading.unauthenticated()
    else reading.noticed(message)
  }

  const release = (reason: string): void => {
    inquiry = undefined
    link.hangUp()
    auth.reset()
    reading.reset()
    outgoing.drop(reason)
  }

  const report = (): RelayReport => {
    const context = actor.getSnapshot().context
    const counts = { eventsIn: intake.taken(), eventsOut: outgoing.delivered(), ignored }
    const reason = lastError ?? context.lastError
    return {
      url,
      state,
      attempts: context.attempts,
      lastError: reason,
      ...counts,
      latencyMs: link.latencyMs(),
      sinceMs,
    }
  }

  const actor = createActor(live, { input: limits })
  doing.give(actor, {
    open: () => {
      inquire()
      link.dial()
    },
    shut: () => release("the connection is closed"),
    authenticate: () => auth.answer(),
    read: () => reading.proceed(),
    arm: (timer, ms) => {
      const due = guard(() => tell({ type: timer }))
      timers.set(timer, clock.after(ms, due))
    },
    disarm: (timer) => timers.get(timer)?.(),
    refuse: (event) => {
      lastError = `${event} means nothing now`
    },
  })
  const tell = (event: RelayConnectionEvent): void => {
    if (actor.getSnapshot().status === "active") actor.send(event)
  }
  const over = (): void => {
    for (const disarm of timers.values()) disarm()
    release("the connection is closed")
  }
  actor.subscribe({
    next: (snapshot) => {
      const next = stateOf(snapshot.value)
      if (next === state) return
      state = next
      sinceMs = clock.nowMs()
      if (state === "live") lastError = null
      else lastError = snapshot.context.lastError ?? lastError
      guard(() => deps.changed(report()))()
    },
    error: over,
    complete: over,
  })
  actor.start()
  tell({ type: "connect" })

  return {
    actor,
    publish: async (event) => {
      if (!isConnected(state)) throw new Undelivered({ relay: url, reason: `not connected (${state})` })
      const refusal = refusalBy(information.bounds, event, nowSeconds(clock))
      return refusal === undefined ? outgoing.publish(event) : { accepted: false, message: refusal }
    },
    resubscribe: () => {
      reading.revive()
      tell({ type: "resubscribe" })
    },
    relist: () => {
      if (isConnected(state)) tell({ type: "resubscribe" })
    },
    reread: reading.reread,
    status: report,
    wake: () => {
      if (state === "backing-off") tell({ type: "retry" })
      else link.probe()
    },
    close: async () => {
      tell({ type: "close" })
      actor.stop()
      await Promise.all([link.gone(), intake.idle()])
    },
  }
}

/** Whether there is a socket that takes what is sent. */
export const isConnected = (state: RelayState): boolean =>
  state === "authenticating" || state === "catching-up" || state === "live"

/** What an EVENT frame adds to its event. */
const frameBytes = 128

/** The leaf of the state, which is its name for people. */
const stateOf = (value: unknown): RelayState =>
  (typeof value === "string" ? value : Object.values(value as Record<string, string>)[0]) as RelayState
