/**
 * Supervision: children are fibers that are started in order, watched, restarted, and stopped in reverse order.
 *
 *   run ─► child fails ─► one-for-one: that child          ─► backoff ─► started again, recorded
 *                         rest-for-one: it and those after it, stopped in reverse order, started in order
 *        ─► more than `restartsMax` in the last `restartWindowSeconds` ─► all stopped, `TooManyRestarts`: for the parent
 *           this is a child that failed
 *
 * S1 At most one fiber of a child lives: the former's scope is closed before the next starts.
 * S2 Children start in the order of the list and stop in reverse order.
 * S3 Escalation at the first restart that would be one too many within any window of that length, and not before.
 * S4 A throw (defect) is a failure like any other. `permanent` is restarted however it ended, `transient` after a
 *    failure, `temporary` never; what ended for good stays ended.
 * S5 However `run` ends, every child is stopped and its scope closed before it does.
 * S6 Every restart is recorded once, with its reason.
 */
import { Cause, Deferred, Effect, Exit, Fiber, Queue, Schema, type Scope } from "effect"
import type { Limits } from "../limits.ts"
import type { ClockShape } from "../services/clock.ts"

export class TooManyRestarts extends Schema.TaggedError<TooManyRestarts>()("TooManyRestarts", {
  path: Schema.String,
  reasons: Schema.Array(Schema.String),
}) {
  override get message(): string {
    return `${this.path} was restarted too often: ${this.reasons.join("; ")}`
  }
}

export class ChildExists extends Schema.TaggedError<ChildExists>()("ChildExists", { path: Schema.String }) {
  override get message(): string {
    return `${this.path} is supervised already`
  }
}

export interface Child {
  /** Unique among its siblings. */
  readonly name: string
  readonly run: Effect.Effect<void, unknown, Scope.Scope>
  readonly restart: "permanent" | "transient" | "temporary"
  /** Where the child is a supervisor itself. */
  readonly tree?: () => SupervisorTree
}

export interface Restart {
  /** `supervisor/child`. */
  readonly path: string
  readonly reason: string
  readonly atMs: number
  /** Of this child, since it was first started. */
  readonly count: number
}

export interface SupervisorOptions {
  /** Its own path, like `runtime/relays`. */
  readonly name: string
  readonly strategy: "one-for-one" | "rest-for-one"
  readonly children: readonly Child[]
  readonly limits: Pick<Limits, "restartsMax" | "restartWindowSeconds" | "restartMsMin" | "restartMsMax">
  readonly clock: ClockShape
  readonly record: (restart: Restart) => void
}

export type ChildState = "waiting" | "running" | "backing-off" | "ended"

/** For people and for the wire: plain data. */
export interface SupervisorTree {
  readonly name: string
  readonly strategy: "one-for-one" | "rest-for-one"
  readonly children: readonly {
    readonly name: string
    readonly restart: Child["restart"]
    readonly state: ChildState
    readonly restarts: number
    readonly lastReason: string | null
    readonly tree: SupervisorTree | null
  }[]
}

export interface SupervisorHandle {
  /** Ends when the last child has ended for good, or by `TooManyRestarts`. Without children it waits for some. */
  readonly run: Effect.Effect<void, TooManyRestarts>
  /** Starts it after those that are there; before `run`, with them. */
  readonly add: (child: Child) => Effect.Effect<void, ChildExists>
  /** Resolves when it is stopped and its scope closed. A name that is not there changes nothing. */
  readonly remove: (name: string) => Effect.Effect<void>
  readonly tree: () => SupervisorTree
}

interface Entry {
  readonly child: Child
  state: ChildState
  fiber: Fiber.Fiber<void, unknown> | undefined
  disarm: () => void
  restarts: number
  lastReason: string | null
  /** When it was restarted lately, unix milliseconds; its backoff grows with their number. */
  recent: readonly number[]
}

type Message =
  | {
      readonly type: "ended"
      readonly entry: Entry
      readonly fiber: Fiber.Fiber<void, unknown>
      readonly exit: Exit.Exit<void, unknown>
    }
  | { readonly type: "due"; readonly entry: Entry }
  | { readonly type: "started"; readonly entry: Entry }
  | { readonly type: "removed"; readonly entry: Entry; readonly gone: Deferred.Deferred<void> }

/** A supervisor as a child of another one. */
export const asChild = (name: string, handle: SupervisorHandle, restart: Child["restart"] = "permanent"): Child => ({
  name,
  run: handle.run,
  restart,
  tree: handle.tree,
})

export const supervisor = (options: SupervisorOptions): SupervisorHandle => {
  let entries: readonly Entry[] = options.children.map(entryOf)
  let inbox: Queue.Queue<Message> | undefined

  const run = Effect.gen(function* () {
    const box = yield* Queue.unbounded<Message>()
    inbox = box
    yield* Effect.onExit(
      turn(
        options,
        box,
        () => entries,
        (next) => (entries = next),
      ),
      () =>
        Effect.gen(function* () {
          inbox = undefined
          yield* stopAll(entries)
          // Whoever waits for a removal gets it: nothing runs any more.
          for (const message of yield* Queue.clear(box))
            if (message.type === "removed") yield* Deferred.succeed(message.gone, undefined)
        }),
    )
  })

  return {
    run,
    add: (child) =>
      Effect.suspend(() => {
        if (entries.some((entry) => entry.child.name === child.name))
          return Effect.fail(new ChildExists({ path: `${options.name}/${child.name}` }))
        const entry = entryOf(child)
        entries = [...entries, entry]
        if (inbox !== undefined) Queue.offerUnsafe(inbox, { type: "started", entry })
        return Effect.void
      }),
    remove: (name) =>
      Effect.gen(function* () {
        const entry = entries.find(({ child }) => child.name === name)
        if (entry === undefined) return
        entries = entries.filter((other) => other !== entry)
        if (inbox === undefined) return
        const gone = yield* Deferred.make<void>()
        Queue.offerUnsafe(inbox, { type: "removed", entry, gone })
        yield* Deferred.await(gone)
      }),
    tree: () => ({
      name: options.name,
      strategy: options.strategy,
      children: entries.map(({ child, state, restarts, lastReason }) => ({
        name: child.name,
        restart: child.restart,
        state,
        restarts,
        lastReason,
        tree: child.tree?.() ?? null,
      })),
    }),
  }
}

const entryOf = (child: Child): Entry => ({
  child,
  state: "waiting",
  fiber: undefined,
  disarm: () => {},
  restarts: 0,
  lastReason: null,
  recent: [],
})

/** The life of a running supervisor: one message after the other. */
const turn = Effect.fnUntraced(function* (
  options: SupervisorOptions,
  inbox: Queue.Queue<Message>,
  listed: () => readonly Entry[],
  list: (entries: readonly Entry[]) => void,
) {
  const { limits, clock } = options
  const windowMs = limits.restartWindowSeconds * 1000
  let failures: readonly { readonly atMs: number; readonly reason: string }[] = []

  /** While an earlier one is being restarted, those after it wait for it. */
  const startWaiting = Effect.fnUntraced(function* () {
    for (const entry of listed())
      if (entry.state === "waiting" && !heldBack(options, listed(), entry)) yield* start(entry, inbox)
  })

  yield* startWaiting()
  for (;;) {
    const message = yield* Queue.take(inbox)
    const { entry } = message
    if (message.type === "removed") {
      yield* stop(entry)
      yield* Deferred.succeed(message.gone, undefined)
      yield* startWaiting()
    } else if (message.type === "started") {
      yield* startWaiting()
    } else if (message.type === "due") {
      if (entry.state !== "backing-off" || !listed().includes(entry)) continue
      for (const each of following(options, listed(), entry)) yield* start(each, inbox)
    } else if (message.fiber === entry.fiber) {
      entry.fiber = undefined
      const reason = reasonOf(message.exit)
      if (endsForGood(entry.child.restart, message.exit)) {
        entry.state = "ended"
        entry.lastReason = reason
        if (entry.child.restart === "temporary") list(listed().filter((other) => other !== entry))
        if (listed().every(({ state }) => state === "ended")) return
        continue
      }
      const atMs = clock.nowMs()
      const recent = (times: readonly number[]) => times.filter((time) => time > atMs - windowMs)
      failures = [...failures.filter((failure) => failure.atMs > atMs - windowMs), { atMs, reason }]
      entry.lastReason = reason
      entry.state = "backing-off"
      if (failures.length > limits.restartsMax)
        return yield* new TooManyRestarts({ path: options.name, reasons: failures.map((failure) => failure.reason) })
      yield* stopAll(following(options, listed(), entry).slice(1))
      entry.recent = [...recent(entry.recent), atMs]
      entry.restarts++
      options.record({ path: `${options.name}/${entry.child.name}`, reason, atMs, count: entry.restarts })
      const pauseMs = Math.min(limits.restartMsMax, limits.restartMsMin * 2 ** (entry.recent.length - 1))
      entry.disarm = clock.after(pauseMs, () => Queue.offerUnsafe(inbox, { type: "due", entry }))
    }
  }
})

/** The child and what has to be started with it, in order. What ended for good stays ended. */
const following = (options: SupervisorOptions, entries: readonly Entry[], entry: Entry): readonly Entry[] =>
  options.strategy === "one-for-one"
    ? [entry]
    : entries.slice(entries.indexOf(entry)).filter((other) => other === entry || other.state !== "ended")

const heldBack = (options: SupervisorOptions, entries: readonly Entry[], entry: Entry): boolean =>
  options.strategy === "rest-for-one" &&
  entries.slice(0, entries.indexOf(entry)).some(({ state }) => state === "backing-off")

const start = (entry: Entry, inbox: Queue.Queue<Message>): Effect.Effect<void> =>
  Effect.uninterruptible(
    Effect.gen(function* () {
      entry.disarm()
      entry.state = "running"
      const fiber = yield* Effect.forkDetach(Effect.interruptible(Effect.scoped(entry.child.run)))
      entry.fiber = fiber
      fiber.addObserver((exit) => Queue.offerUnsafe(inbox, { type: "ended", entry, fiber, exit }))
    }),
  )

const stop = Effect.fnUntraced(function* (entry: Entry) {
  entry.disarm()
  const fiber = entry.fiber
  entry.fiber = undefined
  if (entry.state !== "ended") entry.state = "waiting"
  if (fiber !== undefined) yield* Fiber.interrupt(fiber)
})

const stopAll = (entries: readonly Entry[]): Effect.Effect<void> =>
  Effect.forEach(entries.toReversed(), stop, { discard: true })

const endsForGood = (restart: Child["restart"], exit: Exit.Exit<void, unknown>): boolean =>
  restart === "temporary" || (restart === "transient" && Exit.isSuccess(exit))

const reasonOf = (exit: Exit.Exit<void, unknown>): string => {
  if (Exit.isSuccess(exit)) return "ended"
  if (Cause.hasInterruptsOnly(exit.cause)) return "interrupted"
  const error = Cause.squash(exit.cause)
  return error instanceof Error ? error.message : String(error)
}
