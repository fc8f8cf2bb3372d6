/**
 * One pure step of a durable actor: a snapshot and an event give the next snapshot and the intents. No I/O, no clock.
 *
 * XState's `transition()` does the same, but makes an actor, and with it an initial state, for each call: a third of the
 * engine's time. Here the scope that a pure step needs is made once for each machine. Durable machines spawn nothing, so
 * no step leaves anything in it.
 */
import { createActor, type AnyActorScope, type AnyMachineSnapshot, type AnyStateMachine } from "xstate"
import type { ActorEvent } from "./command-host.ts"

export interface Intent {
  readonly type: string
  readonly params: Readonly<Record<string, unknown>>
}

export interface Step {
  readonly snapshot: AnyMachineSnapshot
  readonly intents: readonly Intent[]
  readonly refused: boolean
}

/** The `receive` that makes an actor. */
export const begin = (machine: AnyStateMachine, event: ActorEvent): Step =>
  collect(machine, (scope) => machine.getInitialSnapshot(scope, event["input"]))

export const step = (machine: AnyStateMachine, snapshot: AnyMachineSnapshot, event: ActorEvent): Step => {
  if (snapshot.status !== "active") return { snapshot, intents: [], refused: true }
  return collect(machine, (scope) => machine.transition(snapshot, event, scope))
}

/** A stored row to a snapshot. Throws where the state is unknown to the machine. */
export const restore = (machine: AnyStateMachine, state: string, context: unknown): AnyMachineSnapshot =>
  machine.resolveState({ value: state, context })

export const stateOf = (snapshot: AnyMachineSnapshot): string =>
  typeof snapshot.value === "string" ? snapshot.value : JSON.stringify(snapshot.value)

const scopes = new WeakMap<AnyStateMachine, AnyActorScope>()

const scopeOf = (machine: AnyStateMachine): AnyActorScope => {
  const held = scopes.get(machine)
  if (held !== undefined) return held
  const self = createActor(machine)
  const nothing = (): void => {}
  const scope: AnyActorScope = {
    self,
    system: self.system,
    id: "",
    sessionId: "",
    logger: nothing,
    defer: nothing,
    emit: nothing,
    stopChild: nothing,
    actionExecutor: nothing,
  }
  scopes.set(machine, scope)
  return scope
}

const collect = (machine: AnyStateMachine, move: (scope: AnyActorScope) => AnyMachineSnapshot): Step => {
  const intents: Intent[] = []
  let refused = false
  const snapshot = move({
    ...scopeOf(machine),
    actionExecutor: ({ type, params }) => {
      if (type === "refuse") refused = true
      else if (!type.startsWith("xstate.")) intents.push({ type, params: (params ?? {}) as Intent["params"] })
    },
  })
  if (snapshot.status === "error") throw snapshot.error
  return { snapshot, intents, refused }
}
