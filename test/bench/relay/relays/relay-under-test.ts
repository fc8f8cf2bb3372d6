/** What a relay is to the benchmark. A new one: a file here and a line in `relays.ts`. */
import type { Prepared } from "../events.ts"
import type { Running } from "../process.ts"

export interface RelayUnderTest {
  readonly name: string
  /** What an OK promises about the disk. */
  readonly durability: string
  /** Answers OK and forgets: a ceiling, not a relay. */
  readonly forgets?: true
  /** Why it cannot be measured here, and how to get it; undefined if it can. */
  readonly missing: () => string | undefined
  readonly start: (dir: string) => Promise<Running>
  /** Puts the events into the database of a stopped relay that had started there once. */
  readonly fill?: (dir: string, prepared: Prepared) => void
}
