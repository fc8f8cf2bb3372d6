/**
 * Judges a command's whole story from signed events alone: who ordered it, whether they might by the roster version that
 * each receipt names, what was done about it, and what came out. Pure: signatures are checked already, and what lies in
 * a repository is looked at elsewhere.
 *
 * ST1 A receipt or artifact counts only by the key that its own roster version gives that wizard; others are passed over,
 *     and counted.
 * ST2 What cannot be judged from what is here is said to be unchecked, never to hold.
 * ST3 The verdict depends on the set of events, not on their order or copies.
 */
import { emptyChain, offer, rosterInForce, rosterVersion, type RosterChain } from "../identity/roster.ts"
import { npubOf } from "../identity/keys.ts"
import { kinshipOf } from "../intake/lineage.ts"
import { mayGoOn } from "../intake/rights.ts"
import { targetsOf } from "../intake/who-is-meant.ts"
import type { Limits } from "../limits.ts"
import { readArtifact, type Artifact } from "../protocol/artifact.ts"
import { readCommand } from "../protocol/command.ts"
import { tagValues, type NostrEvent } from "../protocol/event.ts"
import { Kind } from "../protocol/kinds.ts"
import { parseLeading } from "../protocol/mentions.ts"
import { checkChain, readReceipt, type Receipt } from "../protocol/receipt.ts"
import { looksLikeRoster, standing, wizardByName, type Roster } from "../protocol/roster.ts"

export interface Finding {
  readonly result: "holds" | "fails" | "unchecked"
  /** What was looked at. */
  readonly check: "command" | "roster" | "receipts" | "authority" | "lineage" | "artifact" | "deletion" | "time"
  readonly wizard?: string
  readonly says: string
}

export interface Story {
  readonly findings: readonly Finding[]
  /** The artifacts that were reported, for whoever has the repositories. */
  readonly artifacts: readonly Artifact[]
}

/** `events` are verified; those that have nothing to do with the command are passed over. */
export const judgeStory = (
  id: string,
  council: string,
  events: readonly NostrEvent[],
  limits: Pick<Limits, "childDepthMax">,
): Story => {
  const all = [...new Map(events.map((event) => [event.id, event])).values()].toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const command = all.find((event) => event.id === id)
  const chain = chainOf(all, council)
  const inForce = rosterInForce(chain)
  const receipts = all.flatMap((event) => readReceipt(event) ?? []).filter((receipt) => receipt.command === id)
  const artifacts = all.flatMap((event) => readArtifact(event) ?? []).filter((artifact) => artifact.command === id)
  const isOwn = (receipt: Receipt): boolean => keyOf(chain, receipt.roster, receipt.wizard) === receipt.pubkey
  const own = receipts.filter(isOwn)
  const wizards = [...new Set(own.map(({ wizard }) => wizard))].toSorted()
  const findings: Finding[] = [commandFinding(command), rosterFinding(chain)]
  const missing = [...new Set(receipts.map(({ roster }) => roster))].filter(
    (n) => rosterVersion(chain, n) === undefined,
  )
  if (missing.length > 0)
    findings.push(
      unchecked("roster", `receipts name version ${missing.join(", ")}, which is not here: they count for nothing`),
    )
  if (receipts.length > own.length)
    findings.push(
      unchecked("receipts", `${receipts.length - own.length} by keys that are not their wizard's are passed over`),
    )
  if (own.length === 0)
    findings.push(unchecked("receipts", "there are none by a wizard of the roster: nothing is known to have been done"))
  const told: Artifact[] = []
  for (const wizard of wizards) {
    const line = own.filter((receipt) => receipt.wizard === wizard).toSorted((a, b) => a.n - b.n)
    const key = line[0]?.pubkey
    const made = artifacts.filter((artifact) => artifact.wizard === wizard && artifact.pubkey === key)
    findings.push(
      ...[
        receiptsFinding(line, command),
        ...(command === undefined ? [] : authorityFindings(wizard, line, command, chain, all, limits)),
        ...timeFindings(line, command),
        ...artifactFindings(line, made),
      ].map((finding) => ({ ...finding, wizard })),
    )
    told.push(...made)
    if (key !== undefined && inForce !== undefined && standing(inForce, key) === "revoked")
      findings.push({
        ...unchecked("receipts", "its key was revoked later; whether it was in other hands by then, nobody can tell"),
        wizard,
      })
  }
  const deletions = all.filter(
    (event) => event.kind === Kind.deletion && event.pubkey === command?.pubkey && tagValues(event, "e").includes(id),
  )
  if (deletions.length > 0)
    findings.push(
      unchecked("deletion", "its author deleted it; that cancels what had not ended, and changes nothing else"),
    )
  findings.push(unchecked("time", "dates, and which roster version was in force by then, are their authors' word"))
  return { findings, artifacts: told }
}

const holds = (check: Finding["check"], says: string): Finding => ({ result: "holds", check, says })
const fails = (check: Finding["check"], says: string): Finding => ({ result: "fails", check, says })
const unchecked = (check: Finding["check"], says: string): Finding => ({ result: "unchecked", check, says })

/** Older versions first, so that nothing has to wait. */
const chainOf = (events: readonly NostrEvent[], council: string): RosterChain =>
  events
    .filter((event) => event.pubkey === council && looksLikeRoster(event))
    .toSorted((a, b) => Number(tagValues(a, "n")[0] ?? 0) - Number(tagValues(b, "n")[0] ?? 0))
    .reduce((chain, event) => offer(chain, event).chain, emptyChain(council))

const keyOf = (chain: RosterChain, version: number, wizard: string): string | undefined => {
  const roster = rosterVersion(chain, version)
  return roster === undefined ? undefined : wizardByName(roster, wizard)?.pubkey
}

const commandFinding = (command: NostrEvent | undefined): Finding =>
  command === undefined
    ? unchecked("command", "it is not on this relay (a private one never is): who ordered what is not known")
    : holds("command", `signed by ${npubOf(command.pubkey)}: ${command.content.split("\n")[0] ?? ""}`)

const rosterFinding = (chain: RosterChain): Finding =>
  chain.held.length === 0
    ? fails("roster", "no version by this council is here: nobody's authority can be judged (is --council right?)")
    : holds("roster", `versions 1 to ${chain.held.length} are unbroken and by the council`)

const receiptsFinding = (line: readonly Receipt[], command: NostrEvent | undefined): Finding => {
  const fault = checkChain(line)
  if (fault !== undefined) return fails("receipts", fault)
  const back = line.find((receipt, at) => receipt.roster < (line[at - 1]?.roster ?? 0))
  if (back !== undefined) return fails("receipts", `receipt ${back.n} goes back to roster version ${back.roster}`)
  if (command !== undefined && line[0]?.author !== command.pubkey)
    return fails("receipts", "they name another author than the command's")
  return holds("receipts", `${line.map(({ status }) => status).join(" → ")} (${line.length}, one chain)`)
}

/** What was taken up: by the version at that moment, and at each beginning of work. */
const authorityFindings = (
  wizard: string,
  line: readonly Receipt[],
  command: NostrEvent,
  chain: RosterChain,
  all: readonly NostrEvent[],
  limits: Pick<Limits, "childDepthMax">,
): readonly Finding[] => {
  const judged = line.filter(({ status }) => status === "acknowledged" || status === "working")
  const first = rosterVersion(chain, line[0]?.roster ?? 0)
  if (first === undefined) return []
  if (judged.length === 0) return [holds("authority", "nothing was begun")]
  const meant = targetsOf(command, first)?.wizards.includes(wizard) ?? false
  const kinship = kinshipOf(command, first, limits, (id) => all.find((event) => event.id === id))
  const lineage: readonly Finding[] =
    kinship.is === "child"
      ? [holds("lineage", `a wizard's child; its parent and root ${kinship.root.slice(0, 8)} are verified`)]
      : kinship.is === "false"
        ? [fails("lineage", kinship.fault)]
        : kinship.is === "unknown"
          ? [
              unchecked(
                "lineage",
                `its parents are not here: ${kinship.missing.map((id) => id.slice(0, 8)).join(", ")}`,
              ),
            ]
          : []
  if (kinship.is === "unknown") return lineage
  const child = kinship.is === "child" ? kinship.lineage : null
  const body = parseLeading(command.content).body
  const may = (roster: Roster): boolean =>
    mayGoOn(roster, command.pubkey, () => ({ author: command.pubkey, wizard, body, event: command, child }))
  const versions = [...new Set(judged.map(({ roster }) => roster))]
  const against = versions.filter((n) => {
    const roster = rosterVersion(chain, n)
    return roster !== undefined && !may(roster)
  })
  const who = standing(first, command.pubkey)
  return [
    ...lineage,
    ...(meant
      ? []
      : [unchecked("authority", `by its own text it was not said to ${wizard} (a reply, or a room, may have been)`)]),
    against.length > 0
      ? fails("authority", `by roster version ${against.join(", ")} its author (${who}) had no right to it`)
      : holds("authority", `its author is ${who} by roster version ${versions.join(", ")}, and may`),
  ]
}

const timeFindings = (line: readonly Receipt[], command: NostrEvent | undefined): readonly Finding[] => {
  const deadlineMs = command === undefined ? undefined : readCommand(command)?.deadlineMs
  const late = line.find(({ status, createdAt }) => status === "working" && createdAt * 1000 > (deadlineMs ?? Infinity))
  return late === undefined ? [] : [fails("time", `receipt ${late.n} begins the work after the deadline`)]
}

const artifactFindings = (line: readonly Receipt[], made: readonly Artifact[]): readonly Finding[] => {
  const isReported = line.at(-1)?.status === "artifact-reported"
  if (!isReported)
    return made.length === 0 ? [] : [fails("artifact", "there is one, although the chain does not end with it")]
  if (made.length === 0) return [unchecked("artifact", "it was reported, and is not on this relay")]
  return made.map(({ place, x, text }) =>
    place === undefined
      ? holds("artifact", `an answer, whose hash ${x.slice(0, 12)} fits its text: ${text.split("\n")[0] ?? ""}`)
      : holds("artifact", `commit ${place.commit} on ${place.branch} of ${place.repo} was reported by its key`),
  )
}
