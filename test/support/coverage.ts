/**
 * Walks a statechart through everything it can do: every state and every transition of its definition, by `xstate/graph`
 * over given events. What is covered is counted from the definition, so a new transition that no test reaches is seen.
 */
import {
  getInitialMicrosteps,
  getMicrosteps,
  initialTransition,
  type AnyStateMachine,
  type AnyTransitionDefinition,
} from "xstate"
import { adjacencyMapToArray, getAdjacencyMap, getStateNodes } from "xstate/graph"

export interface Step {
  readonly from: string
  readonly event: { readonly type: string }
  readonly to: string
  readonly intents: readonly { readonly type: string; readonly params: unknown }[]
}

/** `state` or `parent.state`. */
export const nameOf = (value: unknown): string => {
  if (typeof value === "string") return value
  const [parent, child] = Object.entries(value as Record<string, unknown>)[0] ?? ["", ""]
  return `${parent}.${nameOf(child)}`
}

/** A transition of the definition, as text: source, event, which of its alternatives. */
const labelOf = (transition: AnyTransitionDefinition, index: number): string =>
  `${transition.source.path.join(".") || "(any)"} ${transition.eventType || "always"} #${index}`

const definedBy = (machine: AnyStateMachine): Map<AnyTransitionDefinition, string> => {
  const all = new Map<AnyTransitionDefinition, string>()
  for (const node of [machine.root, ...getStateNodes(machine.root)]) {
    for (const list of node.transitions.values()) list.forEach((each, index) => all.set(each, labelOf(each, index)))
    for (const [index, each] of (node.always ?? []).entries()) all.set(each, labelOf(each, index))
  }
  return all
}

/**
 * All steps that the events can make, and what of the definition they never touched.
 * `events` should hold each event in every variant that a guard tells apart; `stopWhen` bounds a context that counts.
 */
export const explore = (
  machine: AnyStateMachine,
  input: unknown,
  events: readonly { readonly type: string }[],
  stopWhen?: (context: Readonly<Record<string, unknown>>) => boolean,
): {
  readonly steps: readonly Step[]
  readonly missedStates: readonly string[]
  readonly missed: readonly string[]
} => {
  const defined = definedBy(machine)
  const missed = new Set(defined.values())
  const states = new Set(getStateNodes(machine.root).map((node) => node.path.join(".")))
  const enter = (value: unknown): void => {
    const parts = nameOf(value).split(".")
    parts.forEach((_, index) => states.delete(parts.slice(0, index + 1).join(".")))
  }
  const [initial] = initialTransition(machine, input as never)
  enter(nameOf(machine.root.initial.target[0]?.key))
  const arrival = { type: "xstate.init", input }
  const beginning = getInitialMicrosteps(machine, input as never).map(([snapshot]) => snapshot as typeof initial)
  for (const [at, { value }] of beginning.entries()) {
    enter(value)
    const before = beginning[at - 1]
    if (before !== undefined) missed.delete(defined.get(alwaysTaken(machine, defined, before, arrival)!) ?? "")
  }
  const map = getAdjacencyMap(machine, {
    events: events as never,
    input: input as never,
    stopWhen: (snapshot) => stopWhen?.((snapshot as { context: Readonly<Record<string, unknown>> }).context) ?? false,
    serializeState: (snapshot) => {
      const { value, context } = snapshot as { value: unknown; context: unknown }
      return JSON.stringify([value, context])
    },
  })
  const steps = adjacencyMapToArray(map).map(({ state, event, nextState }): Step => {
    const before = state as typeof initial
    for (const each of machine.getTransitionData(before, event as never)) missed.delete(defined.get(each) ?? "")
    const intents: Step["intents"][number][] = []
    let passed: typeof before | undefined
    for (const [taken, actions] of getMicrosteps(machine, before, event as never)) {
      const snapshot = taken as typeof initial
      enter(snapshot.value)
      for (const { type, params } of actions) intents.push({ type, params })
      if (passed !== undefined) missed.delete(defined.get(alwaysTaken(machine, defined, passed, event)!) ?? "")
      passed = snapshot
    }
    return { from: nameOf(before.value), event, to: nameOf((nextState as typeof initial).value), intents }
  })
  return { steps, missedStates: [...states], missed: [...missed] }
}

/** The eventless transition that a machine takes from where it stands: the first whose guard holds. */
const alwaysTaken = (
  machine: AnyStateMachine,
  defined: ReadonlyMap<AnyTransitionDefinition, string>,
  { value, context }: { readonly value: unknown; readonly context: unknown },
  event: { readonly type: string },
): AnyTransitionDefinition | undefined =>
  [...defined.keys()].find(({ eventType, source, guard }) => {
    if (eventType !== "" || source.path.join(".") !== nameOf(value)) return false
    if (guard === undefined) return true
    const holds = machine.implementations.guards[guard as string] as unknown as (args: unknown) => boolean
    return holds({ context, event })
  })
