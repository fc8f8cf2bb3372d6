/**
 * Who is meant by an event: the protocol page's table as data, one row a form. A kind without a row is never read for
 * commands. Who may command is not judged here.
 *
 * T1 In a note only the leading mentions count; its `p` tags never do (a reply carries those of the whole thread).
 * T2 In a command the `p` tags that are wizards count; with none of these, its leading mentions.
 * T3 `@all` never disagrees: with such `p` tags it means those wizards, without them every wizard of the roster.
 * T4 A leading mention other than `@all` that is not among such `p` tags disagrees with them.
 * T5 A revoked key is no wizard, by whatever way it is named.
 */
import { readCommand } from "../protocol/command.ts"
import type { NostrEvent } from "../protocol/event.ts"
import { Kind } from "../protocol/kinds.ts"
import { parseLeading, printMention, type Leading, type Mention } from "../protocol/mentions.ts"
import { wizardByKey, wizardByName, type Roster, type WizardEntry } from "../protocol/roster.ts"

/** The form in which a command came; answers go back in the same. */
export type Form = "command" | "note"

export interface Meant {
  readonly form: Form
  /** The row that decided. */
  readonly rule: string
  /** Names, each once, in the order in which they are named; for `@all` the roster's. */
  readonly wizards: readonly string[]
  /** Mentions that name nobody, as they are written. */
  readonly unknown: readonly string[]
  readonly disagree: boolean
  readonly mentionsAll: boolean
  /** The text without its leading mentions. */
  readonly body: string
}

/** Undefined where no row reads the event, or the row finds nobody named. */
export const targetsOf = (event: NostrEvent, roster: Roster): Meant | undefined => {
  const row = rows.get(event.kind)
  const meant = row?.meant(event, parseLeading(event.content), roster)
  if (row === undefined || meant === undefined) return undefined
  return meant.wizards.length + meant.unknown.length === 0 ? undefined : { form: row.form, rule: row.rule, ...meant }
}

/** Whether events of that kind can be commands at all. */
export const isReadForCommands = (kind: number): boolean => rows.has(kind)

type Named = Omit<Meant, "form" | "rule">

interface Row {
  readonly form: Form
  readonly rule: string
  readonly meant: (event: NostrEvent, leading: Leading, roster: Roster) => Named
}

const leadingMeans = ({ mentions, body }: Leading, roster: Roster): Named => {
  const mentionsAll = mentions.some((mention) => mention.type === "all")
  const named = mentions.map((mention) => wizardOf(mention, roster))
  const everybody = mentionsAll ? roster.wizards.filter((wizard) => wizardByName(roster, wizard.name) === wizard) : []
  return {
    wizards: namesOf([...named, ...everybody]),
    unknown: unique(mentions.filter((mention, at) => mention.type === "name" && named[at] === undefined)),
    disagree: false,
    mentionsAll,
    body,
  }
}

const rows: ReadonlyMap<number, Row> = new Map<number, Row>([
  [
    Kind.command,
    {
      form: "command",
      rule: "command: p tags that are wizards, else leading mentions",
      meant: (event, leading, roster) => {
        const tagged = namesOf(readCommand(event)?.targets.map((key) => wizardByKey(roster, key)) ?? [])
        if (tagged.length === 0) return leadingMeans(leading, roster)
        const others = leading.mentions.filter((mention) => {
          const name = wizardOf(mention, roster)?.name
          return mention.type !== "all" && (name === undefined || !tagged.includes(name))
        })
        const mentionsAll = leading.mentions.some((mention) => mention.type === "all")
        return { wizards: tagged, unknown: [], disagree: others.length > 0, mentionsAll, body: leading.body }
      },
    },
  ],
  [
    Kind.note,
    {
      form: "note",
      rule: "note: leading mentions",
      meant: (_event, leading, roster) => leadingMeans(leading, roster),
    },
  ],
])

const wizardOf = (mention: Mention, roster: Roster): WizardEntry | undefined => {
  if (mention.type === "key") return wizardByKey(roster, mention.pubkey)
  return mention.type === "name" ? wizardByName(roster, mention.name) : undefined
}

const namesOf = (wizards: readonly (WizardEntry | undefined)[]): string[] => [
  ...new Set(wizards.flatMap((wizard) => (wizard === undefined ? [] : [wizard.name]))),
]

const unique = (mentions: readonly Mention[]): string[] => [...new Set(mentions.map(printMention))]
