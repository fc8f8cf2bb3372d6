/**
 * Judges an event whose id and signature are good: is it a command for a wizard that runs here, and may its author
 * give it? Pure; what follows from a verdict is done elsewhere.
 *
 * The checks, in this order: the author's standing · the kind · who is meant · unknown names · the author's right to
 * this act here (`rights.ts`) · targets that disagree · the date · the text's length · an empty text · the tags' faults.
 * Whoever may not command learns nothing at all, so the author comes before everything that could be answered.
 *
 * J1 Nothing is taken but by a right of `rights.ts`. Of those who have none only a member, and a wizard by a child, are
 *    told so (`forbidden`).
 * J2 At most one verdict for each wizard, and none for a wizard that does not run here. Where there is none to give,
 *    one `ignore` says why.
 * J3 A name that nobody has is answered by the roster's first tempo wizard alone; where that one is meant itself, it
 *    takes its own part with a warning, so that it has one chain of receipts.
 * J4 A deadline that is past is taken: that the command expires is the machine's to say. So are age and repetition.
 * J5 No event makes it throw.
 */
import type { Limits } from "../limits.ts"
import { readCommand, type Command, type Lineage, type Priority } from "../protocol/command.ts"
import type { NostrEvent } from "../protocol/event.ts"
import { readHeartbeat } from "../protocol/heartbeat.ts"
import { Kind } from "../protocol/kinds.ts"
import { placeOf } from "../protocol/place.ts"
import { standing, type Roster } from "../protocol/roster.ts"
import { parseVerb, type Verb } from "../protocol/verbs.ts"
import { rightOf, type Act } from "./rights.ts"
import { isReadForCommands, targetsOf, type Form, type Meant } from "./who-is-meant.ts"

export interface JudgeInput {
  readonly event: NostrEvent
  /** The roster in force. */
  readonly roster: Roster
  /** The names that are run here. */
  readonly wizards: readonly string[]
  readonly nowMs: number
  readonly limits: Pick<Limits, "commandBytesMax" | "futureSecondsMax">
  /** Of a wizard's child whose parent and root were verified; without it a wizard's text is never a command. */
  readonly child?: Lineage | LineageFault
  /** Why this author may give no more now. */
  readonly tooMany?: string
}

/** A child that is not what it says of itself. */
export interface LineageFault {
  readonly fault: string
}

export type Work = { readonly type: "verb"; readonly verb: Verb } | { readonly type: "task" }

export interface Take {
  readonly outcome: "take"
  readonly wizard: string
  readonly form: Form
  /** The text without its leading mentions. */
  readonly body: string
  readonly work: Work
  readonly priority: Priority
  /** Unix milliseconds; it may be past (J4). */
  readonly deadlineMs?: number
  /** The id of the command that this one goes on with. */
  readonly parent?: string
  /** To be told to the author, each in a sentence. */
  readonly warnings: readonly string[]
  /** The row of the table by which the wizard is meant. */
  readonly rule: string
}

export interface Reject {
  readonly outcome: "reject"
  readonly wizard: string
  readonly form: Form
  /** A sentence that says what is wrong and what to do. */
  readonly reason: string
  readonly rule: string
  /** Not malformed, but without the right: answered once in `refusalSeconds`, however often it is tried. */
  readonly forbidden: boolean
}

export interface Ignore {
  readonly outcome: "ignore"
  readonly reason: IgnoreReason
}

export type IgnoreReason =
  /** The author: not in the roster, revoked in it, or a wizard whose text is no child. */
  | "stranger"
  | "revoked"
  | "wizard"
  /** A heartbeat, receipt or artifact of a wizard. */
  | "own-kind"
  /** No form of command. */
  | "not-a-command"
  /** A note that names nobody first. */
  | "conversation"
  /** A command for wizards that do not run here. */
  | "not-for-us"

export type Verdict = Take | Reject | Ignore

export const judge = (input: JudgeInput): readonly Verdict[] => {
  const { event, roster, wizards } = input
  const refused = authorRefusal(input)
  if (refused !== undefined) return ignore(refused)
  if (!isReadForCommands(event.kind)) return ignore("not-a-command")
  const meant = targetsOf(event, roster)
  if (meant === undefined) return ignore(event.kind === Kind.note ? "conversation" : "not-for-us")

  const here = new Set(wizards)
  const verdicts: Verdict[] = meant.wizards.filter((name) => here.has(name)).map((name) => judgeFor(name, meant, input))
  const tempo = answererOf(roster)
  if (meant.unknown.length > 0 && tempo !== undefined && here.has(tempo) && !meant.wizards.includes(tempo)) {
    const forbidden = refusalOf(tempo, "help", input)
    verdicts.push({
      outcome: "reject",
      wizard: tempo,
      form: meant.form,
      reason: forbidden ?? nobody(meant, roster),
      rule: meant.rule,
      forbidden: forbidden !== undefined,
    })
  }
  return verdicts.length === 0 ? ignore("not-for-us") : verdicts
}

const ignore = (reason: IgnoreReason): readonly Verdict[] => [{ outcome: "ignore", reason }]

const ownKinds: ReadonlySet<number> = new Set([Kind.profile, Kind.record, Kind.artifact, Kind.reaction])

const authorRefusal = ({ event, roster, child }: JudgeInput): IgnoreReason | undefined => {
  const author = standing(roster, event.pubkey)
  if (author === "operator" || author === "member") return undefined
  if (author !== "wizard") return author
  if (ownKinds.has(event.kind) || readHeartbeat(event) !== undefined) return "own-kind"
  return child === undefined || event.kind !== Kind.command ? "wizard" : undefined
}

/** Why the author may not, for one who is told. */
const refusalOf = (wizard: string, act: Act, { event, roster, child, tooMany }: JudgeInput): string | undefined => {
  if (child !== undefined && "fault" in child) return child.fault
  const place = placeOf(event, roster)
  const right = rightOf(roster, { author: event.pubkey, wizard, act, place, ...(child !== undefined && { child }) })
  return right.right === "refused" ? right.reason : tooMany
}

const judgeFor = (wizard: string, meant: Meant, input: JudgeInput): Take | Reject => {
  const { event, roster } = input
  const { form, rule, body } = meant
  const command = readCommand(event)
  const verb = parseVerb(body)
  const forbidden = refusalOf(wizard, verb?.name ?? "work", input)
  const reason = forbidden ?? fault(meant, command, input)
  if (reason !== undefined) return { outcome: "reject", wizard, form, reason, rule, forbidden: forbidden !== undefined }
  const unknownHere = meant.unknown.length > 0 && wizard === answererOf(roster)
  return {
    outcome: "take",
    wizard,
    form,
    body,
    work: verb === undefined ? { type: "task" } : { type: "verb", verb },
    priority: command?.priority ?? "normal",
    ...(command?.deadlineMs !== undefined && { deadlineMs: command.deadlineMs }),
    ...(command?.parent !== undefined && { parent: command.parent }),
    warnings: [...(command?.warnings ?? []), ...(unknownHere ? [nobody(meant, roster)] : [])],
    rule,
  }
}

/** Why nobody can obey it, in the order of the checks. */
const fault = (
  meant: Meant,
  command: Command | undefined,
  { event, nowMs, limits }: JudgeInput,
): string | undefined => {
  if (meant.disagree) {
    return `targets disagree: the p tags name ${list(meant.wizards)}, the text begins with somebody else; send it again with one of the two`
  }
  if (event.created_at > nowMs / 1000 + limits.futureSecondsMax) {
    return `it is dated more than ${limits.futureSecondsMax / 60} minutes ahead: set the clock of your device and send it again`
  }
  const bytes = Buffer.byteLength(event.content)
  if (bytes > limits.commandBytesMax) {
    return `it is ${bytes} bytes long, at most ${limits.commandBytesMax} are read: send less, or the address of the rest`
  }
  if (meant.body === "") return "there is nothing to do: write what to do behind the name, or help"
  return command?.fault
}

/** The wizard that answers for the council. */
const answererOf = (roster: Roster): string | undefined =>
  roster.wizards.find((wizard) => wizard.class === "tempo" && standing(roster, wizard.pubkey) === "wizard")?.name

const nobody = ({ unknown }: Meant, roster: Roster): string => {
  const known = roster.wizards.filter((wizard) => standing(roster, wizard.pubkey) === "wizard")
  return `nobody is called ${list(unknown)}; known: ${list(known.map(({ name }) => name))}`
}

/** A few names in a sentence. */
const list = (names: readonly string[]): string =>
  names.length <= namesShownMax
    ? names.join(", ")
    : `${names.slice(0, namesShownMax).join(", ")} and ${names.length - namesShownMax} more`

const namesShownMax = 20
