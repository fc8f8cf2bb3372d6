/** What must have come of everything once a world is left in peace (P1, P2, P3, P15, P31). */
import { tagValue, type NostrEvent } from "../../../src/protocol/event.ts"
import { Kind } from "../../../src/protocol/kinds.ts"
import { checkChain } from "../../../src/protocol/receipt.ts"
import { isEnd } from "../../../src/protocol/status.ts"
import { ask } from "./disk.ts"
import type { Issued, Ledger, Look } from "./model.ts"

/** What has not come to its end yet, each in a few words. */
export const unsettled = (ledger: Ledger, look: Look): readonly string[] => {
  const isLost = ledger.plan.ops.some(({ type }) => type === "lose-home")
  return eachTarget(ledger).flatMap(([one, wizard]) => {
    if (isPoison(one) || ledger.isEnded(one.event.id, wizard)) return []
    const last = ledger.receipts(one.event.id, wizard).at(-1)
    // What a lost home had begun, the next takes up where a relay still has it, however old.
    const isThere = !isLost || (isOwed(ledger, one) && [...look.held.values()].some((ids) => ids.has(one.event.id)))
    if ((last === undefined || !isThere) && !must(ledger, one, wizard, look)) return []
    return [`${one.name} at ${wizard}: ${last?.status ?? "not taken up"}`]
  })
}

export const verdict = (ledger: Ledger, look: Look): void => {
  const { violate } = ledger
  for (const [one, wizard] of eachTarget(ledger)) if (!isPoison(one)) judgeChain(ledger, one, wizard, look)
  const open = ask(look.db, "SELECT count(*) FROM attempt WHERE ended_ms IS NULL").pluck().get()
  if (open !== 0) violate(`P31: ${String(open)} attempts are open in the end`)
  judgeOutbox(ledger, look)
}

const eachTarget = (ledger: Ledger): readonly (readonly [Issued, string])[] =>
  ledger.all().flatMap((one) => one.targets.map((wizard) => [one, wizard] as const))

const isRestored = ({ plan }: Pick<Ledger, "plan">): boolean =>
  plan.ops.some(({ type }) => type === "lose-home" || type === "restore-home")

const isPoison = ({ body }: Issued): boolean => body === "poison"

/** Whether its author has a right to it, whatever comes. */
const isOwed = (ledger: Ledger, one: Issued): boolean =>
  !ledger.mayLapse(one) && (one.author === "operator" || one.author === "deputy")

/** Whether it must have been taken up by now: some relay holds it, at or above the floor there. */
const must = (ledger: Ledger, one: Issued, wizard: string, { db, held, pubkeyOf }: Look): boolean => {
  if (!isOwed(ledger, one)) return false
  const identity = pubkeyOf(wizard)
  const since = Math.floor(Number(ask(db, "SELECT min(at_ms) FROM roster").pluck().get() ?? 0) / 1000) - 900
  return [...held].some(([relay, events]) => {
    const floor = ask(db, "SELECT at FROM floor WHERE identity = ? AND relay = ?").pluck().get(identity, relay)
    return events.has(one.event.id) && floor !== undefined && one.event.created_at >= Math.max(Number(floor), since)
  })
}

const judgeChain = (ledger: Ledger, one: Issued, wizard: string, { db }: Look): void => {
  const { violate } = ledger
  const chain = ledger.receipts(one.event.id, wizard)
  const end = chain.at(-1)
  if (end === undefined) return
  const name = `${one.name} at ${wizard}`
  const fault = checkChain(chain)
  // What only a relay that lies was told is gone with the home.
  if (fault !== undefined && !(isRestored(ledger) && ledger.plan.relays.some(({ honest }) => !honest)))
    violate(`P1: ${name}: ${fault}`)
  const row = ask(db, "SELECT state, ended FROM command WHERE id = ? AND wizard = ?").get(one.event.id, wizard) as
    | { state: string; ended: number }
    | undefined
  if (row !== undefined && (row.ended !== 1 || row.state !== end.status))
    violate(`P1: ${name} is ${row.state} in the store, and not so on the relays`)
  if (one.cancels === undefined || end.status !== "artifact-reported") return
  const of = ledger.receipts(one.cancels, wizard).at(-1)
  if (of !== undefined && of.status !== "cancelled") violate(`P15: ${name} says that it cancelled what is ${of.status}`)
}

const judgeOutbox = ({ plan, byId, receipts, violate }: Ledger, { db, held, honest, late }: Look): void => {
  const drops = plan.ops.some((op) => op.type === "dead-letters" && op.how === "drop")
  const dead = ask(db, "SELECT event_id, error FROM outbox WHERE state = 'dead'").all() as {
    event_id: string
    error: string
  }[]
  for (const { event_id, error } of dead) violate(`P3: ${event_id.slice(0, 8)} is a dead letter: ${error}`)
  const isWanted = ([relay]: readonly [string, unknown]): boolean => held.has(relay)
  const refused = (
    ask(db, "SELECT relay, count(*) FROM delivery WHERE state = 'refused' GROUP BY relay").raw().all() as [
      string,
      number,
    ][]
  ).filter(isWanted)
  for (const [relay, count] of refused) violate(`P3: ${count} of what was sent again is still refused by ${relay}`)
  // Told by a clock that ran ahead, in a life that the home forgot: a relay keeps that version of an artifact.
  const isOutdated = isRestored({ plan }) && plan.ops.some(({ type }) => type === "step-clock")
  const owed = (
    ask(db, "SELECT event_id, payload FROM outbox WHERE kind = 'publish'").all() as {
      event_id: string
      payload: string
    }[]
  )
    .map(({ event_id, payload }) => ({ ...(JSON.parse(payload) as Omit<NostrEvent, "id" | "sig">), id: event_id }))
    // That a command was acknowledged is of no use once its end is told.
    .filter(({ kind, content }) => content !== "👀" && !(isOutdated && kind === Kind.artifact))
  if (!drops)
    for (const relay of honest)
      for (const { id } of owed)
        if (held.get(relay)?.has(id) !== true) violate(`P3: ${relay} never got ${id.slice(0, 8)}`)
  for (const [relay, sinceMs] of late) {
    for (const event of owed) {
      const id = tagValue(event, "e") ?? ""
      const wizard = tagValue(event, "wizard") ?? ""
      const end = receipts(id, wizard).find(({ status }) => isEnd(status))
      if (event.kind !== Kind.record || byId(id) === undefined || end === undefined || end.createdAt * 1000 <= sinceMs)
        continue
      if (held.get(relay)?.has(event.id) !== true)
        violate(`P3: ${relay}, which was added before ${byId(id)?.name} ended, never got ${event.id.slice(0, 8)}`)
    }
  }
}
