/**
 * One thing that a relay should do, and how it turns out.
 *
 * C1  A check is named by what the relay does when it is right, and passes only if it saw that.
 * C2  `required`: a relay that claims the NIP must do it, or clients lose events, see what they must not, or hang.
 *     `optional`: a courtesy, a recommendation, or the better of several lawful ways.
 * C3  A failure is one sentence: what was expected, and what came.
 */
import type { Relay } from "./relay.ts"

export type Level = "required" | "optional"

export interface Check {
  readonly name: string
  readonly level: Level
  /** Returns: passed. Throws Failed or Skipped; anything else thrown is a fault of the suite, and counts as failed. */
  readonly run: (relay: Relay) => Promise<void>
}

/** The checks of one NIP. */
export interface NipChecks {
  readonly nip: number
  readonly title: string
  /** Claimed in `supported_nips` by any of these; else the checks count as unsupported. None: it is always due. */
  readonly claimedBy: readonly number[]
  /** Changes what the relay does for everybody: runs last, one check after the other. */
  readonly isAlone?: boolean
  readonly checks: readonly Check[]
}

export type Verdict = "passed" | "failed" | "skipped" | "unsupported"

export interface Outcome {
  readonly nip: number
  readonly name: string
  readonly level: Level
  readonly verdict: Verdict
  /** Why it is not passed. */
  readonly reason?: string
  readonly ms: number
}

export class Failed extends Error {}
export class Skipped extends Error {}

export const required = (name: string, run: Check["run"]): Check => ({ name, level: "required", run })
export const optional = (name: string, run: Check["run"]): Check => ({ name, level: "optional", run })

/** Fails unless it holds. */
export function demand(holds: boolean, expected: string, came: string): asserts holds {
  if (!holds) throw new Failed(`expected ${expected}; came ${came}`)
}

export const skip = (reason: string): never => {
  throw new Skipped(reason)
}

/** A value as it may stand in a sentence. */
export const show = (value: unknown, charsMax = 160): string => {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value))
  return text.length > charsMax ? `${text.slice(0, charsMax)}…` : text
}
