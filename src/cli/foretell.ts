/** What each wizard would make of a command, were it sent: the judgement of `intake/judge.ts`, for a person. */
import { judge } from "../intake/judge.ts"
import type { Limits } from "../limits.ts"
import type { UnsignedEvent } from "../protocol/event.ts"
import type { Roster } from "../protocol/roster.ts"
import { printVerb } from "../protocol/verbs.ts"

export interface Foretold {
  readonly outcome: "take" | "reject" | "ignore"
  /** Nobody's where the event is ignored. */
  readonly wizard?: string
  readonly class?: string
  /** The row of the table by which the wizard is meant. */
  readonly rule?: string
  /** `work`, or the verb. */
  readonly act?: string
  /** Whether a person must approve it before it begins. No rule of this version asks for that; an executor may, later. */
  readonly approval?: false
  readonly reason?: string
  readonly warnings?: readonly string[]
}

export const foretell = (
  event: UnsignedEvent,
  roster: Roster,
  nowMs: number,
  limits: Pick<Limits, "commandBytesMax" | "futureSecondsMax">,
): readonly Foretold[] => {
  const wizards = roster.wizards.map(({ name }) => name)
  // No signature is looked at: that is the verifier's, before anything is judged.
  return judge({ event: { ...event, sig: "" }, roster, wizards, nowMs, limits }).map((verdict): Foretold => {
    if (verdict.outcome === "ignore") return { outcome: "ignore", reason: verdict.reason }
    const { wizard, rule } = verdict
    const is = { wizard, class: roster.wizards.find(({ name }) => name === wizard)?.class ?? "", rule }
    if (verdict.outcome === "reject") return { outcome: "reject", ...is, reason: verdict.reason }
    const { work, warnings } = verdict
    const act = work.type === "task" ? "work" : printVerb(work.verb)
    return { outcome: "take", ...is, act, approval: false, warnings }
  })
}

export const lineOf = ({ outcome, wizard, class: is, rule, act, reason, warnings = [] }: Foretold): string => {
  if (outcome === "ignore") return `nobody: ${reason}`
  const who = `${wizard} (${is})`
  if (outcome === "reject") return `${who} would refuse it: ${reason} [${rule}]`
  const as = act === "work" ? "work" : `the verb ${act}`
  return [`${who} would take it as ${as}, without approval [${rule}]`, ...warnings].join("\n  ")
}
