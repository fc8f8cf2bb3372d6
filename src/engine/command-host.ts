/**
 * The one seam between the runtime and whatever hosts its durable actors: deliver an event to an actor, read an actor.
 * The embedded host is the drain loop in `engine.ts`; a distributed one can stand behind the same interface and is held
 * to the same conformance suite (`test/engine/command-host.conformance.ts`).
 *
 * H1  A delivery resolves only when what it changed is durable.
 * H2  The same cause for the same actor changes nothing the second time.
 * H3  Inputs of one actor take effect in the order in which they were delivered.
 * H4  What a machine does not accept is `refused`, and nothing changes.
 * H5  A step that throws sets its input aside and faults its actor; every other input goes on.
 * H6  Effects are named actor/sequence/index and seen only when durable; the same step never names two alike.
 * H7  An actor that is not in memory is read back as it was.
 */
import { Context, Schema } from "effect"
import type { AnyStateMachine } from "xstate"

/** An event for an actor. `atMs` is stamped by the host where it is missing. */
export interface ActorEvent {
  readonly type: string
  readonly atMs?: number
  readonly [field: string]: unknown
}

export interface Envelope {
  /** `<kind>/<identity…>`; the first part names the machine. */
  readonly actor: string
  /** What makes this input this input: the id of an event, of an attempt's end, of a timer. */
  readonly cause: string
  /** `receive` makes an actor; its `input` is the machine's. */
  readonly event: ActorEvent
  /** Set by the alarm clock: the timer that this input comes from. A timer that was disarmed meanwhile is no input. */
  readonly timer?: { readonly name: string; readonly effect: string }
}

export type Outcome =
  /** It took effect. */
  | "applied"
  /** The actor had this cause before (or exists, for a `receive`). */
  | "duplicate"
  /** The state does not name it. */
  | "refused"
  /** There is no room for it now (a bound that is checked in the transaction); nothing was written. */
  | "deferred"
  /** The step threw, now or before; the input is a dead letter. */
  | "faulted"
  /** There is no such actor. */
  | "missing"

export interface ActorView {
  readonly actor: string
  readonly machine: string
  readonly version: number
  readonly seq: number
  readonly state: string
  readonly context: unknown
  readonly done: boolean
  readonly fault: string | null
}

/** What an actor wants from the world. */
export interface Effect {
  /** actor/sequence/index */
  readonly effect: string
  readonly position: number
  readonly kind: string
  readonly actor: string
  /** Whose it is to do; empty where it is anybody's. */
  readonly owner: string
  readonly payload: unknown
}

/** A kind of durable actor: its machine, and how what is stored by older versions of it is read. */
export interface ActorKind {
  readonly machine: AnyStateMachine
  readonly version: number
  /** The event that a timer of that name delivers. */
  readonly alarm: (timer: string) => ActorEvent
}

export interface CommandHostShape {
  /** One outcome for each envelope, in order, when they are durable. Waits where the mailbox is full. */
  readonly deliver: (envelopes: readonly Envelope[]) => Promise<readonly Outcome[]>
  readonly read: (actor: string) => Promise<ActorView | undefined>
}

export class CommandHost extends Context.Service<CommandHost, CommandHostShape>()("wizardly/engine/CommandHost") {}

/** The group could not be written; nothing of it took effect and nothing was promised. Deliver it again later. */
export class NotCommitted extends Schema.TaggedError<NotCommitted>()("NotCommitted", { reason: Schema.String }) {
  override get message(): string {
    return `not written: ${this.reason}`
  }
}

/** The host has stopped and takes nothing more. */
export class HostStopped extends Schema.TaggedError<HostStopped>()("HostStopped", {}) {
  override get message(): string {
    return "the engine has stopped"
  }
}

/** An actor was written by a machine version that this one knows no way from. */
export class NoMigration extends Schema.TaggedError<NoMigration>()("NoMigration", {
  actor: Schema.String,
  machine: Schema.String,
  found: Schema.Number,
  known: Schema.Number,
}) {
  override get message(): string {
    return `${this.actor} was written by version ${this.found} of the ${this.machine} machine; this one (${this.known}) has no migration from it: install the version that wrote it`
  }
}
