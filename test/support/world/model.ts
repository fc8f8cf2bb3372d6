/**
 * What must hold in a world, held against all that can be seen of it: the relays' ledger, the wire, the executors, the
 * disk. It knows nothing of how the runtime works inside. The first violation ends the world.
 *
 * It holds, by the numbers of the edge cases:
 *   P1 P2 P22  one chain of receipts for each command and target, unforked, with one end; nothing after it
 *   P2 P3      nothing is said to a relay before it is durable; everything owed reaches every relay that keeps its word
 *   P4 P5 P25  each reading begins at the cursor less the look-back, at the floor where there is no cursor; inclusive
 *   P6 P28     no cursor is ahead of the clock, nor ahead of an event that came before it and is not committed
 *   P7 P29     nothing forged, no stranger's, nobody's without authority is ever taken up or run
 *   P2 P31     one run of a command at a time; what may not be repeated is run again only by a person's word
 *   P16 P25    what is stale, past its deadline, below the floor or ended does not run
 *   P26        a second instance of a key runs nothing
 */
import type SQLite from "better-sqlite3"
import type { NostrEvent } from "../../../src/protocol/event.ts"
import { readHeartbeat } from "../../../src/protocol/heartbeat.ts"
import { Kind } from "../../../src/protocol/kinds.ts"
import { checkChain, readReceipt, type Receipt } from "../../../src/protocol/receipt.ts"
import { isEnd } from "../../../src/protocol/status.ts"
import { ask } from "./disk.ts"
import type { Author, Plan } from "./plan.ts"

/** A command that somebody wrote, or had forged. */
export interface Issued {
  readonly name: string
  readonly event: NostrEvent
  readonly author: Author
  readonly body: string
  /** Names of wizards. */
  readonly targets: readonly string[]
  readonly deadlineMs: number | undefined
}

export interface Model {
  readonly violations: readonly string[]
  readonly violate: (message: string) => void
  readonly issue: (issued: Issued) => void
  readonly issued: (name: string) => Issued | undefined
  readonly byId: (id: string) => Issued | undefined
  readonly all: () => readonly Issued[]
  /** The ids of events that a home owes, as they become durable. */
  readonly durable: (eventId: string) => void
  /** A process sends an event to a relay. */
  readonly told: (event: NostrEvent, relay: string) => void
  /** A relay took an event from a client. */
  readonly taken: (event: NostrEvent, relay: string) => void
  readonly receipts: (command: string, wizard: string) => readonly Receipt[]
  readonly isEnded: (command: string, wizard: string) => boolean
  readonly retried: (command: string, wizard: string) => void
  readonly runs: Runs
  readonly instanceIsTwin: (instance: string) => void
  /** Says what has not come to its end yet. */
  readonly unsettled: (look: Look) => readonly string[]
  /** Once everything is settled. */
  readonly verdict: (look: Look) => void
}

export interface Runs {
  readonly began: (run: {
    readonly life: object
    readonly key: string
    readonly isTwin: boolean
    readonly authorised: boolean
    readonly nowMs: number
  }) => void
  readonly over: (key: string) => void
  /** A process is gone, and what it ran. */
  readonly gone: (life: object) => void
}

/** What of the world is looked at in the end. */
export interface Look {
  readonly db: SQLite.Database
  /** Ids that a relay holds, by its address, of the relays that keep what they take. */
  readonly held: ReadonlyMap<string, ReadonlySet<string>>
  readonly honest: readonly string[]
  readonly pubkeyOf: (wizard: string) => string
}

export const openModel = (options: {
  readonly plan: Plan
  readonly bornSeconds: number
  readonly wizardKeys: ReadonlySet<string>
}): Model => {
  const { plan, bornSeconds, wizardKeys } = options
  const violations: string[] = []
  const names = new Map<string, Issued>()
  const ids = new Map<string, Issued>()
  const durable = new Set<string>()
  const chains = new Map<string, Map<number, Receipt>>()
  const known = new Set<string>()
  const twins = new Set<string>()
  const violate = (message: string): void => void violations.push(message)
  const chainOf = (key: string): Map<number, Receipt> =>
    chains.get(key) ?? (chains.set(key, new Map()).get(key) as Map<number, Receipt>)
  const isRevoked = plan.ops.some(({ type }) => type === "revoke-deputy")
  const isLost = plan.ops.some(({ type }) => type === "lose-home")
  const losesHome = plan.ops.some(({ type }) => type === "lose-home" || type === "restore-home")
  /** Nobody could have looked back further. */
  const historySeconds = bornSeconds - 3600 * 2 - 900
  const mayRun = ({ author, event }: Issued): boolean => author !== "stranger" && event.created_at >= historySeconds
  const isPoison = ({ body }: Issued): boolean => body === "poison"
  /** A wizard's word that its outbox owes: no profile, list of relays, roster or sign of life. */
  const isOwed = (event: NostrEvent): boolean =>
    wizardKeys.has(event.pubkey) &&
    event.kind !== Kind.profile &&
    event.kind !== Kind.relayList &&
    event.kind !== Kind.auth &&
    readHeartbeat(event) === undefined
  const isEnded = (key: string): boolean => [...(chains.get(key)?.values() ?? [])].some(({ status }) => isEnd(status))

  const takeReceipt = (receipt: Receipt, relay: string): void => {
    const key = keyOf(receipt.command, receipt.wizard)
    const command = ids.get(receipt.command)
    if (command === undefined)
      return violate(`P7: ${receipt.wizard} answers ${short(receipt.command)}, which nobody wrote`)
    if (!mayRun(command))
      violate(`P25 P29: ${receipt.wizard} answers ${command.name}, which is a stranger's or history`)
    if (!command.targets.includes(receipt.wizard))
      violate(`P1: ${receipt.wizard} answers ${command.name}, which is not for it`)
    if (twins.has(receipt.instance)) violate(`P26: a second instance of ${receipt.wizard} answers ${command.name}`)
    const chain = chainOf(key)
    const held = chain.get(receipt.n)
    if (held !== undefined && held.id !== receipt.id)
      return violate(
        `P1: the chain of ${command.name} at ${receipt.wizard} forks at ${receipt.n} (${held.status}, ${receipt.status}) on ${relay}`,
      )
    chain.set(receipt.n, receipt)
    const end = [...chain.values()].find(({ status }) => isEnd(status))
    if (end !== undefined && [...chain.keys()].some((n) => n > end.n))
      violate(`P1: the chain of ${command.name} at ${receipt.wizard} goes on after its end`)
  }

  const running = new Map<string, object>()
  /** Runs that ended nobody knows how, and the times that a person asked for one more. */
  const unknown = new Map<string, number>()
  const asked = new Map<string, number>()

  /** Whether it must have been taken up by now: some relay holds it, at or above the floor there. */
  const must = (one: Issued, wizard: string, { db, held, pubkeyOf }: Look): boolean => {
    if (one.author !== "operator" && (one.author !== "deputy" || isRevoked)) return false
    const identity = pubkeyOf(wizard)
    const since = Math.floor(Number(ask(db, "SELECT min(at_ms) FROM roster").pluck().get() ?? 0) / 1000) - 900
    return [...held].some(([relay, events]) => {
      const floor = ask(db, "SELECT at FROM floor WHERE identity = ? AND relay = ?").pluck().get(identity, relay)
      return events.has(one.event.id) && floor !== undefined && one.event.created_at >= Math.max(Number(floor), since)
    })
  }

  return {
    violations,
    violate,
    issue: (issued) => {
      names.set(issued.name, issued)
      ids.set(issued.event.id, issued)
    },
    issued: (name) => names.get(name),
    byId: (id) => ids.get(id),
    all: () => [...names.values()],
    durable: (id) => void durable.add(id),
    told: (event, relay) => {
      if (isOwed(event) && !durable.has(event.id))
        violate(`P2: ${relay} is told of ${short(event.id)} (kind ${event.kind}) before it is durable`)
    },
    taken: (event, relay) => {
      if (!isOwed(event)) return
      if (known.has(event.id)) return
      known.add(event.id)
      const receipt = readReceipt(event)
      if (receipt !== undefined) takeReceipt(receipt, relay)
    },
    receipts: (command, wizard) => [...(chains.get(keyOf(command, wizard))?.values() ?? [])].sort((a, b) => a.n - b.n),
    isEnded: (command, wizard) => isEnded(keyOf(command, wizard)),
    retried: (command, wizard) => {
      const key = keyOf(command, wizard)
      asked.set(key, (asked.get(key) ?? 0) + 1)
    },
    runs: {
      began: ({ life, key, isTwin, authorised, nowMs }) => {
        const [id = "", wizard] = key.split(" ")
        const command = ids.get(id)
        const name = `${command?.name ?? short(id)} at ${wizard}`
        if (command === undefined || !mayRun(command)) violate(`P7 P25 P29: ${name} runs, and may not`)
        if (isTwin) violate(`P26: a second instance runs ${name}`)
        if (!authorised) violate(`P29: ${name} runs although its author has no authority`)
        if (running.has(key)) violate(`P31: two runs of ${name} at a time`)
        if (isEnded(key)) violate(`P25: ${name} runs after its end`)
        if (
          command !== undefined &&
          chains.get(key) === undefined &&
          nowMs / 1000 - command.event.created_at > staleSeconds
        )
          violate(`P25: ${name} is stale, and runs`)
        if (command?.deadlineMs !== undefined && nowMs > command.deadlineMs + 10_000)
          violate(`P16: ${name} begins after its deadline`)
        const lost = unknown.get(key) ?? 0
        if (plan.repeat === "never" && lost > (asked.get(key) ?? 0) && !losesHome)
          violate(`P31: ${name} may not be repeated, and is, without a person's word`)
        running.set(key, life)
      },
      over: (key) => void running.delete(key),
      gone: (life) => {
        for (const [key, owner] of running) {
          if (owner !== life) continue
          running.delete(key)
          unknown.set(key, (unknown.get(key) ?? 0) + 1)
        }
      },
    },
    instanceIsTwin: (instance) => void twins.add(instance),
    unsettled: (look) =>
      [...names.values()]
        .filter((one) => !isPoison(one))
        .flatMap((one) =>
          one.targets.flatMap((wizard) => {
            const key = keyOf(one.event.id, wizard)
            if (isEnded(key)) return []
            const last = [...(chains.get(key)?.values() ?? [])].sort((a, b) => a.n - b.n).at(-1)
            // What a lost home had begun is below the floor of the next by now, and stays as it is.
            if ((last === undefined || isLost) && !must(one, wizard, look)) return []
            return [`${one.name} at ${wizard}: ${last?.status ?? "not taken up"}`]
          }),
        ),
    verdict: ({ db, held, honest }) => {
      for (const one of names.values()) {
        for (const wizard of one.targets) {
          const chain = [...(chains.get(keyOf(one.event.id, wizard))?.values() ?? [])]
          const fault = chain.length === 0 || isPoison(one) ? undefined : checkChain(chain)
          if (fault !== undefined) violate(`P1: ${one.name} at ${wizard}: ${fault}`)
          if (isPoison(one) || chain.length === 0) continue
          const row = ask(db, "SELECT state, ended FROM command WHERE id = ? AND wizard = ?").get(
            one.event.id,
            wizard,
          ) as { state: string; ended: number } | undefined
          if (row !== undefined && (row.ended !== 1 || row.state !== chain.sort((a, b) => a.n - b.n).at(-1)?.status))
            violate(`P1: ${one.name} at ${wizard} is ${row.state} in the store, and not so on the relays`)
        }
      }
      const open = ask(db, "SELECT count(*) FROM attempt WHERE ended_ms IS NULL").pluck().get()
      if (open !== 0) violate(`P31: ${String(open)} attempts are open in the end`)
      const dead = ask(db, "SELECT event_id, error FROM outbox WHERE state = 'dead'").all() as {
        event_id: string
        error: string
      }[]
      for (const { event_id, error } of dead) violate(`P3: ${short(event_id)} is a dead letter: ${error}`)
      // That a command was acknowledged is of no use once its end is told.
      const isLasting = `json_extract(payload, '$.content') <> '👀'`
      const owed = ask(db, `SELECT event_id FROM outbox WHERE kind = 'publish' AND state <> 'dead' AND ${isLasting}`)
        .pluck()
        .all() as string[]
      for (const relay of honest)
        for (const id of owed) if (held.get(relay)?.has(id) !== true) violate(`P3: ${relay} never got ${short(id)}`)
    },
  }
}

/** As the limits say; a command that is older when it is first seen never runs. */
const staleSeconds = 14 * 24 * 3600

export const keyOf = (command: string, wizard: string): string => `${command} ${wizard}`

const short = (id: string): string => id.slice(0, 8)
