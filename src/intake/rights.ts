/**
 * Who may do what: the protocol page's rules as one pure table. Standing of the author × class of the wizard × place ×
 * act → allowed, ignored in silence, or refused with a reason that is answered.
 *
 *   operator   everything, everywhere
 *   member     in a channel or room where both are: work and the verbs that read; `cancel` and `retry` of their own
 *   wizard     by the child form only: the same acts, and no more than the root's author might do there
 *   others     nothing, and they learn nothing
 *
 * RI1 Whoever is not in the roster, or is revoked in it, is ignored whatever they write.
 * RI2 What a wizard writes that is no child is ignored: models quote what they read.
 * RI3 A child has the intersection of its sender's rights and those of the root's author, judged where the root was said.
 * RI4 Monitors, and classes from a newer roster, read: they command nobody, and only an operator gives them work.
 * RI5 A private child counts from a tempo wizard alone, for work and `status check`: its root's author is not proven.
 */
import type { Lineage } from "../protocol/command.ts"
import type { NostrEvent } from "../protocol/event.ts"
import { isIn, namesOf, placeOf, type Place } from "../protocol/place.ts"
import { isWizardClass, standing, wizardByKey, wizardByName, type RosterContent } from "../protocol/roster.ts"
import { parseVerb, type VerbName } from "../protocol/verbs.ts"

/** What is wanted of a wizard. */
export type Act = VerbName | "work"

export type Right =
  | { readonly right: "allowed" }
  /** Only for commands of the same author. */
  | { readonly right: "own" }
  | { readonly right: "ignored"; readonly why: "stranger" | "revoked" | "wizard" }
  /** A sentence that says what to do. */
  | { readonly right: "refused"; readonly reason: string }

export interface Ask {
  /** A public key. */
  readonly author: string
  /** The name of the wizard that is meant. */
  readonly wizard: string
  readonly act: Act
  readonly place: Place
  /** Only of a child whose parent and root were verified. */
  readonly child?: Lineage
}

/** What reads and changes nothing. */
export const readingActs = ["status check", "help", "queue", "why", "show"] as const satisfies readonly Act[]
/** What one may do to one's own commands. */
export const ownActs = ["cancel", "retry"] as const satisfies readonly Act[]

export const rightOf = (roster: RosterContent, ask: Ask): Right => {
  const author = standing(roster, ask.author)
  switch (author) {
    case "operator":
      return allowed
    case "member":
      return memberRight(roster, ask)
    case "wizard":
      return ask.child === undefined ? { right: "ignored", why: "wizard" } : childRight(roster, ask, ask.child)
    case "revoked":
    case "stranger":
      return { right: "ignored", why: author }
  }
}

/** What was taken up, as far as its right goes. */
export interface Taken {
  readonly author: string
  readonly wizard: string
  /** Without the leading mentions. */
  readonly body: string
  readonly event: Pick<NostrEvent, "kind" | "tags" | "pubkey">
  readonly child?: Lineage | null
}

/** Whether what was taken up may still go on, by this roster. `more` is asked for only where the author does not settle it. */
export const mayGoOn = (roster: RosterContent, author: string, more: () => Taken): boolean => {
  if (standing(roster, author) === "operator") return true
  const { wizard, body, event, child } = more()
  const act = parseVerb(body)?.name ?? "work"
  const place = placeOf(event, roster)
  const { right } = rightOf(roster, { author, wizard, act, place, ...(child && { child }) })
  return right === "allowed" || right === "own"
}

const allowed: Right = { right: "allowed" }
const refused = (reason: string): Right => ({ right: "refused", reason })

const memberRight = (roster: RosterContent, { author, wizard, act, place }: Ask): Right => {
  const mine = namesOf(roster, author).map((name) => `#${name}`)
  if (!("name" in place)) return refused(`members command in their channels: write it in ${mine.join(" or ")}`)
  if (!isIn(roster, place, author)) return refused(`you are not in #${place.name}: write it in ${mine.join(" or ")}`)
  const target = wizardByName(roster, wizard)
  if (target === undefined || !isIn(roster, place, target.pubkey))
    return refused(`${wizard} is not in #${place.name}: ask an operator to invite it, or ask a wizard that is`)
  return actRight(target.class, act)
}

const childRight = (roster: RosterContent, ask: Ask, child: Lineage): Right => {
  const sender = wizardByKey(roster, ask.author)
  const target = wizardByName(roster, ask.wizard)
  if (sender === undefined || target === undefined || !works(sender.class))
    return refused(`a wizard of the class ${sender?.class ?? "unknown"} commands nobody`)
  if (child.private && sender.class !== "tempo") return refused("in private only a tempo wizard passes commands on")
  if (child.private && ask.act !== "work" && ask.act !== "status check")
    return refused(`a command that is passed on in private is work or status check, not ${ask.act}`)
  const own = actRight(target.class, ask.act)
  if (own.right === "refused") return own
  const root = rightOf(roster, { author: child.rootAuthor, wizard: ask.wizard, act: ask.act, place: child.rootPlace })
  if (root.right === "ignored") return refused("whoever gave the first command of this tree may not command")
  return root.right === "allowed" ? own : root
}

/** What may be asked of a wizard of that class by somebody who is no operator. */
const actRight = (className: string, act: Act): Right => {
  if ((readingActs as readonly Act[]).includes(act)) return allowed
  if ((ownActs as readonly Act[]).includes(act)) return { right: "own" }
  if (act !== "work") return refused(`${act} is for operators`)
  return works(className) ? allowed : refused(`a wizard of the class ${className} takes work from operators only`)
}

const works = (className: string): boolean => isWizardClass(className) && className !== "monitor"
