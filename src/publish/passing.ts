/**
 * Which outgoing events matter only for a while. Receipts, artifacts and answers go out until a relay has answered; a
 * sign that something is under way says nothing to a person who can read how it ended.
 */
import { Kind } from "../protocol/kinds.ts"
import { isEnd, type Status } from "../protocol/status.ts"
import type { Outgoing } from "../engine/commands.ts"
import type { OutboxRow, StoreShape } from "../store/store.ts"

/** Kinds of events that are dropped once the end of their command is owed. The end's own reaction is not: it tells it. */
const passingKinds: ReadonlySet<number> = new Set([Kind.reaction])

/** Whether it need not be sent any more. */
export const isPassed = (store: StoreShape, row: OutboxRow): boolean => {
  if (!passingKinds.has((JSON.parse(row.payload) as Outgoing).kind)) return false
  if (store.command.get(row.actor)?.ended !== 1) return false
  const state = store.journal.stateAt(row.position)
  return state !== undefined && !isEnd(state as Status)
}
