/**
 * One pure step of a durable actor: a snapshot and an event give the next snapshot and the intents. No I/O, no clock.
 */
import { initialTransition, transition, type AnyMachineSnapshot, type AnyStateMachine } from "xstate"
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
  told(initialTransition(machine, event["input"]))

export const step = (machine: AnyStateMachine, snapshot: AnyMachineSnapshot, event: ActorEvent): Step => {
  if (snapshot.status !== "active") return { snapshot, intents: [], refused: true }
  return told(transition(machine, snapshot, event))
}

/** A stored row to a snapshot. Throws where the state is unknown to the machine. */
export const restore = (machine: AnyStateMachine, state: string, context: unknown): AnyMachineSnapshot =>
  machine.resolveState({ value: state, context })

export const stateOf = (snapshot: AnyMachineSnapshot): string =>
  typeof snapshot.value === "string" ? snapshot.value : JSON.stringify(snapshot.value)

const told = ([snapshot, actions]: readonly [
  AnyMachineSnapshot,
  readonly { type: string; params: unknown }[],
]): Step => {
  if (snapshot.status === "error") throw snapshot.error
  const intents: Intent[] = []
  let refused = false
  for (const { type, params } of actions) {
    if (type === "refuse") refused = true
    else if (!type.startsWith("xstate.")) intents.push({ type, params: (params ?? {}) as Intent["params"] })
  }
  return { snapshot, intents, refused }
}
