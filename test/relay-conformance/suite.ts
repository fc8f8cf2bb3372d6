/**
 * The suite: every NIP, a line each, and how they are run.
 *
 * S1  A NIP that the relay does not claim (NIP-11 `supported_nips`) is not run: its checks count as unsupported, which is
 *     no failure. NIP-01 and NIP-11 are always due. A NIP that is asked for by number is run in any case.
 * S2  A check has connections, keys and content of its own, and an end.
 */
import { type Check, Failed, type NipChecks, type Outcome, show, Skipped } from "./check.ts"
import { claimedNips, type Facts, relayFor } from "./relay.ts"
import { nip01 } from "./nip01.ts"
import { nip04 } from "./nip04.ts"
import { nip09 } from "./nip09.ts"
import { nip11 } from "./nip11.ts"
import { nip13 } from "./nip13.ts"
import { nip17 } from "./nip17.ts"
import { nip40 } from "./nip40.ts"
import { nip42 } from "./nip42.ts"
import { nip45 } from "./nip45.ts"
import { nip67 } from "./nip67.ts"
import { nip70 } from "./nip70.ts"
import { nip77 } from "./nip77.ts"
import { nip86 } from "./nip86.ts"

export const suite: readonly NipChecks[] = [
  nip01,
  nip04,
  nip09,
  nip11,
  nip13,
  nip17,
  nip40,
  nip42,
  nip45,
  nip67,
  nip70,
  nip77,
  nip86,
]

export interface Selection {
  /** Only these NIPs, claimed or not. */
  readonly nips?: readonly number[]
  /** Only checks whose name holds one of these texts. */
  readonly names?: readonly string[]
}

export const runSuite = async (facts: Facts, selection: Selection = {}): Promise<readonly Outcome[]> => {
  const { nips, names } = selection
  const claimed = claimedNips(facts.document)
  const chosen = suite
    .filter(({ nip }) => nips?.includes(nip) ?? true)
    .flatMap((section) =>
      section.checks
        .filter(({ name }) => names?.some((part) => name.includes(part)) ?? true)
        .map((check) => ({
          section,
          check,
          isDue:
            nips !== undefined ||
            section.claimedBy.length === 0 ||
            section.claimedBy.some((nip) => claimed.includes(nip)),
        })),
    )
  const outcomes = new Map<Check, Outcome>()
  const runAll = async (todo: readonly (typeof chosen)[number][], lanes: number): Promise<void> => {
    const queue = [...todo]
    const lane = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift())
        outcomes.set(next.check, await judge(facts, next))
    }
    await Promise.all(Array.from({ length: lanes }, lane))
  }
  await runAll(
    chosen.filter(({ section }) => section.isAlone !== true),
    lanesMax,
  )
  await runAll(
    chosen.filter(({ section }) => section.isAlone === true),
    1,
  )
  return chosen.map(({ check }) => outcomes.get(check) as Outcome)
}

/** Checks at a time: what waits in one is work time for another. */
const lanesMax = 6
const checkMsMax = 20_000

interface Due {
  readonly section: NipChecks
  readonly check: Check
  readonly isDue: boolean
}

const judge = async (facts: Facts, { section, check, isDue }: Due): Promise<Outcome> => {
  const about = { nip: section.nip, name: check.name, level: check.level }
  if (!isDue) return { ...about, verdict: "unsupported", reason: "not among supported_nips", ms: 0 }
  const from = performance.now()
  const { relay, release } = relayFor(facts)
  let timer: NodeJS.Timeout | undefined
  try {
    await Promise.race([
      check.run(relay),
      new Promise((_, reject) => {
        timer = setTimeout(
          () => reject(new Failed(`expected an end within ${checkMsMax / 1000} s; came none`)),
          checkMsMax,
        )
      }),
    ])
    return { ...about, verdict: "passed", ms: performance.now() - from }
  } catch (error) {
    const verdict = error instanceof Skipped ? "skipped" : "failed"
    const reason =
      error instanceof Failed || error instanceof Skipped ? error.message : `the check broke: ${show(String(error))}`
    return { ...about, verdict, reason, ms: performance.now() - from }
  } finally {
    clearTimeout(timer)
    release()
  }
}
