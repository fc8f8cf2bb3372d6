/**
 * Replay: folds an actor's journal through its machine again, and says where it does not come out the same. Writes
 * nothing, owes nothing. Only rows of the machine's own version can be folded; older ones are told as they were stored.
 */
import type { JournalRow } from "../store/store.ts"
import type { ActorEvent, ActorKind } from "./command-host.ts"
import { begin, stateOf, step } from "./step.ts"
import type { AnyMachineSnapshot } from "xstate"

export interface Replayed {
  readonly row: JournalRow
  readonly event: ActorEvent
  /** The state that came out of the fold; the row holds what came out when it happened. */
  readonly state: string
  readonly same: boolean
}

export interface Fold {
  readonly steps: readonly Replayed[]
  /** After the last row; undefined where there is none, or where another version wrote the first. */
  readonly snapshot: AnyMachineSnapshot | undefined
}

export const replay = (kind: ActorKind, rows: readonly JournalRow[]): Fold => {
  let snapshot: AnyMachineSnapshot | undefined
  const steps = rows.map((row): Replayed => {
    const event = JSON.parse(row.event) as ActorEvent
    if (row.version !== kind.version || (snapshot === undefined && row.seq > 1))
      return { row, event, state: row.state, same: true }
    const next = snapshot === undefined ? begin(kind.machine, event) : step(kind.machine, snapshot, event)
    snapshot = next.snapshot
    const state = stateOf(snapshot)
    return { row, event, state, same: state === row.state && next.refused === (row.refused === 1) }
  })
  return { steps, snapshot }
}
