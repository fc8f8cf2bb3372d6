/**
 * What must hold in a world, held against all that can be seen of it: the relays' ledger, the wire, the executors, the
 * disk. It knows nothing of how the runtime works inside. The first violation ends the world.
 *
 * It holds, by the numbers of the edge cases (`test/world/README.md` says where each of the others is held):
 *   P1 P2 P22  one chain of receipts for each command and target, unforked, with one end; nothing after it
 *   P2 P3      nothing is said to a relay before it is durable; everything owed reaches every relay that keeps its word
 *   P4 P5 P25  each reading begins at the cursor less the look-back, at the floor where there is no cursor; inclusive
 *   P6 P28     no cursor is ahead of the clock, nor ahead of an event that came before it and is not committed
 *   P7 P29     nothing forged, no stranger's, no wizard's words, nobody's without authority is ever taken up or run
 *   P2 P31     one run of a command at a time; what may not be repeated is run again only by a person's word
 *   P14        of what replaces itself, no two versions bear one date
 *   P15        nothing is cancelled but by somebody who may, and then it is
 *   P16 P25    what is stale, past its deadline, below the floor or ended does not run
 *   P23        no more signs of life than beats and newcomers account for
 *   P26        a second instance of a key runs nothing
 */
import type SQLite from "better-sqlite3"
import { tagValue, type NostrEvent } from "../../../src/protocol/event.ts"
import { readHeartbeat } from "../../../src/protocol/heartbeat.ts"
import { keepingOf, Kind } from "../../../src/protocol/kinds.ts"
import { readReceipt, type Receipt } from "../../../src/protocol/receipt.ts"
import { isEnd } from "../../../src/protocol/status.ts"
import type { Author, Plan } from "./plan.ts"
import { openRuns, type Runs } from "./runs.ts"
import { unsettled, verdict } from "./verdict.ts"

/** A command that somebody wrote, or had forged. */
export interface Issued {
  readonly name: string
  readonly event: NostrEvent
  readonly author: Author
  readonly body: string
  /** Names of wizards. */
  readonly targets: readonly string[]
  readonly deadlineMs: number | undefined
  /** The id of the command that it is to cancel. */
  readonly cancels?: string
}

export interface Model extends Ledger {
  readonly violations: readonly string[]
  readonly issue: (issued: Issued) => void
  readonly issued: (name: string) => Issued | undefined
  /** The ids of events that a home owes, as they become durable. */
  readonly durable: (eventId: string) => void
  /** A process sends an event to a relay. */
  readonly told: (event: NostrEvent, relay: string) => void
  /** A relay took an event from a client. */
  readonly taken: (event: NostrEvent, relay: string) => void
  readonly runs: Runs
  readonly instanceIsTwin: (instance: string) => void
  /** Says what has not come to its end yet. */
  readonly unsettled: (look: Look) => readonly string[]
  /** Once everything is settled. */
  readonly verdict: (look: Look) => void
}

/** What was written, and what the relays were told of it. */
export interface Ledger {
  readonly plan: Plan
  readonly violate: (message: string) => void
  readonly all: () => readonly Issued[]
  readonly byId: (id: string) => Issued | undefined
  /** In their order. */
  readonly receipts: (command: string, wizard: string) => readonly Receipt[]
  readonly isEnded: (command: string, wizard: string) => boolean
  readonly mayRun: (issued: Issued) => boolean
  /** Its author loses the right to it at some time, so it may end, or never begin. */
  readonly mayLapse: (issued: Issued) => boolean
}

/** What of the world is looked at in the end. */
export interface Look {
  readonly db: SQLite.Database
  /** Ids that a relay holds, by its address, of the relays in use. */
  readonly held: ReadonlyMap<string, ReadonlySet<string>>
  /** Those that keep what they take and were used all the time. */
  readonly honest: readonly string[]
  /** Those that keep what they take and came later: since when. */
  readonly late: ReadonlyMap<string, number>
  readonly pubkeyOf: (wizard: string) => string
}

export const openModel = (options: {
  readonly plan: Plan
  readonly bornSeconds: number
  readonly nowMs: () => number
  readonly wizardKeys: ReadonlySet<string>
}): Model => {
  const { plan, bornSeconds, nowMs, wizardKeys } = options
  const violations: string[] = []
  const names = new Map<string, Issued>()
  const ids = new Map<string, Issued>()
  const durable = new Set<string>()
  const chains = new Map<string, Map<number, Receipt>>()
  const known = new Set<string>()
  const twins = new Set<string>()
  /** Versions of what replaces itself, by coordinate and date. */
  const versions = new Map<string, string>()
  const beats = new Map<string, number[]>()
  const violate = (message: string): void => void violations.push(message)
  const chainOf = (key: string): Map<number, Receipt> =>
    chains.get(key) ?? (chains.set(key, new Map()).get(key) as Map<number, Receipt>)
  const has = (type: Plan["ops"][number]["type"]): boolean => plan.ops.some((op) => op.type === type)
  const isRevoked = has("revoke-deputy")
  const isRestored = has("lose-home") || has("restore-home")
  /** Nobody could have looked back further. */
  const historySeconds = bornSeconds - 3600 * 2 - 900
  const isOurs = ({ author }: Issued): boolean => author === "operator" || author === "deputy"
  /** A wizard's word that its outbox owes: no profile, list of relays, roster, sign of life or word that looks like a person's. */
  const isOwed = (event: NostrEvent): boolean =>
    wizardKeys.has(event.pubkey) &&
    event.kind !== Kind.profile &&
    event.kind !== Kind.relayList &&
    event.kind !== Kind.auth &&
    !ids.has(event.id) &&
    readHeartbeat(event) === undefined
  const receipts = (command: string, wizard: string): readonly Receipt[] =>
    [...(chains.get(keyOf(command, wizard))?.values() ?? [])].sort((a, b) => a.n - b.n)
  const ledger: Ledger = {
    plan,
    violate,
    all: () => [...names.values()],
    byId: (id) => ids.get(id),
    receipts,
    isEnded: (command, wizard) => receipts(command, wizard).some(({ status }) => isEnd(status)),
    mayRun: (issued) => isOurs(issued) && issued.event.created_at >= historySeconds,
    mayLapse: ({ author }) => author === "deputy" && isRevoked,
  }

  const takeReceipt = (receipt: Receipt, relay: string): void => {
    const { command: id, wizard, status, n } = receipt
    const command = ids.get(id)
    if (command === undefined) return violate(`P7: ${wizard} answers ${id.slice(0, 8)}, which nobody wrote`)
    const name = `${command.name} at ${wizard}`
    if (!ledger.mayRun(command))
      violate(`P25 P29: ${name} is answered, which is a stranger's, a wizard's word or history`)
    if (!command.targets.includes(wizard)) violate(`P1: ${name} is answered, which is not for it`)
    if (twins.has(receipt.instance)) violate(`P26: ${name} is answered by a second instance`)
    const isAsked = (word: Issued): boolean =>
      isOurs(word) && (word.cancels === id || (word.body === "stop" && word.targets.includes(wizard)))
    if (status === "cancelled" && !ledger.mayLapse(command) && ![...names.values()].some(isAsked))
      violate(`P15 P29: ${name} is cancelled, and nobody who may has asked for it`)
    const chain = chainOf(keyOf(id, wizard))
    const held = chain.get(n)
    if (held !== undefined && held.id !== receipt.id)
      return violate(`P1: the chain of ${name} forks at ${n} (${held.status}, ${status}) on ${relay}`)
    chain.set(n, receipt)
    const end = [...chain.values()].find((one) => isEnd(one.status))
    if (end !== undefined && [...chain.keys()].some((at) => at > end.n))
      violate(`P1: the chain of ${name} goes on after its end`)
  }

  /** P14. A home that is lost knows no version before. */
  const replaced = (event: NostrEvent): void => {
    const keeping = keepingOf(event.kind)
    if (keeping !== "replaceable" && keeping !== "addressable") return
    const version = `${event.kind}:${event.pubkey}:${tagValue(event, "d") ?? ""} of ${event.created_at}`
    const held = versions.get(version)
    versions.set(version, event.id)
    if (held !== undefined && held !== event.id && !isRestored) violate(`P14: there are two versions of ${version}`)
  }

  const beaten = (event: NostrEvent): void => {
    const beat = readHeartbeat(event)
    if (beat === undefined || !wizardKeys.has(event.pubkey)) return
    const key = `${event.pubkey} ${beat.instance}`
    const recent = [...(beats.get(key) ?? []).filter((atMs) => atMs > nowMs() - 60_000), nowMs()]
    beats.set(key, recent)
    if (recent.length > beatsMax) violate(`P23: ${recent.length} signs of life of one instance in a minute`)
  }

  return {
    ...ledger,
    violations,
    issue: (issued) => {
      names.set(issued.name, issued)
      ids.set(issued.event.id, issued)
    },
    issued: (name) => names.get(name),
    durable: (id) => void durable.add(id),
    told: (event, relay) => {
      if (isOwed(event) && !durable.has(event.id))
        violate(`P2: ${relay} is told of ${event.id.slice(0, 8)} (kind ${event.kind}) before it is durable`)
      replaced(event)
    },
    taken: (event, relay) => {
      if (known.has(event.id)) return
      known.add(event.id)
      beaten(event)
      const receipt = isOwed(event) ? readReceipt(event) : undefined
      if (receipt !== undefined) takeReceipt(receipt, relay)
    },
    runs: openRuns(ledger, isRestored),
    instanceIsTwin: (instance) => void twins.add(instance),
    unsettled: (look) => unsettled(ledger, look),
    verdict: (look) => verdict(ledger, look),
  }
}

/** One for each change that is worth a word, and an answer for each newcomer. */
const beatsMax = 6

export const keyOf = (command: string, wizard: string): string => `${command} ${wizard}`
