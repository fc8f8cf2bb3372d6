/**
 * Where orders about the roster are carried out, whoever brings them: the control socket, a wizard that an operator
 * told, or a process of its own while nothing runs.
 */
import { Schema } from "effect"
import { isQuestion, type Order } from "../protocol/orders.ts"
import type { Roster } from "../protocol/roster.ts"
import type { StoreShape } from "../store/store.ts"
import { aboutChannel } from "./charter.ts"
import { decide } from "./orders.ts"
import { RosterRefused, type RosterKeeper } from "./roster-keeper.ts"
import { answerOf } from "./roster-text.ts"

/** What was ordered cannot be; the message says what to do instead. */
export class OrderRefused extends Schema.TaggedError<OrderRefused>()("OrderRefused", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

export interface Carried {
  readonly said: string
  /** Of the roster then in force. */
  readonly version: number
}

/** Asks, or writes the next version where the order changes something. Rejects with OrderRefused, RosterRefused. */
export const carryOut = async (
  order: Order,
  self: string,
  { rosters, store }: { readonly rosters: Pick<RosterKeeper, "amend" | "inForce">; readonly store: StoreShape },
): Promise<Carried> => {
  if (isQuestion(order)) {
    const roster = needed(rosters.inForce())
    return { said: answerOf(order, roster, store), version: roster.version }
  }
  let said = ""
  let before = 0
  const roster = await rosters.amend(async (inForce, { makeChannel }) => {
    const held = needed(inForce)
    const decision = decide(held, order, self)
    if ("refused" in decision) throw new OrderRefused({ reason: decision.refused })
    said = decision.said
    before = held.version
    if (!("creates" in decision)) return decision.changes
    const id = await makeChannel(aboutChannel(decision.creates, held.relays))
    return [{ type: "add-channel", name: decision.creates, id }]
  })
  const how = roster.version === before ? "nothing to change" : `roster version ${roster.version}`
  return { said: `${said} (${how})`, version: roster.version }
}

const needed = (roster: Roster | undefined): Roster => {
  if (roster === undefined)
    throw new RosterRefused({
      reason: "no roster is in force here yet: it is made by the first start, or read from a relay",
    })
  return roster
}
