/**
 * Who of this home reads the council's roster at a relay: one wizard for all of them. A roster names everybody, so a
 * thousand wizards that each read it would move it a thousand times.
 *
 * RR1 At each relay one wizard reads; where its connection is lost, the next that asks does.
 * RR2 No wizard asks a relay for commands before the roster there is read, refused, or overdue.
 * RR3 Where the one cannot read it whole (a relay may bar its key), each reads for itself.
 */

export interface RosterReaders {
  /** Whether that wizard, which is connected, is to read the roster there. */
  readonly reads: (url: string, wizard: string) => boolean
  /** Its reading is over; `whole` where it was neither refused nor overdue. */
  readonly over: (url: string, wizard: string, whole: boolean) => void
  /** Its connection is gone. */
  readonly lost: (url: string, wizard: string) => void
  /** Whether nobody need wait for the roster there. */
  readonly isOver: (url: string) => boolean
  /** Hears of each relay at which something changed. Returns what ends it. */
  readonly watch: (hear: (url: string) => void) => () => void
}

interface Reader {
  wizard: string | undefined
  state: "reading" | "read" | "failed"
}

export const openRosterReaders = (): RosterReaders => {
  const readers = new Map<string, Reader>()
  const watchers = new Set<(url: string) => void>()
  const of = (url: string): Reader => {
    const held = readers.get(url)
    if (held !== undefined) return held
    const none: Reader = { wizard: undefined, state: "reading" }
    readers.set(url, none)
    return none
  }
  const change = (url: string, to: Partial<Reader>): void => {
    Object.assign(of(url), to)
    for (const hear of watchers) hear(url)
  }
  return {
    reads: (url, wizard) => {
      const reader = of(url)
      reader.wizard ??= wizard
      return reader.wizard === wizard || reader.state === "failed"
    },
    over: (url, wizard, whole) => {
      const state = whole ? "read" : "failed"
      const reader = of(url)
      if (reader.wizard === wizard && reader.state !== state) change(url, { state })
    },
    lost: (url, wizard) => {
      if (of(url).wizard === wizard) change(url, { wizard: undefined, state: "reading" })
    },
    isOver: (url) => of(url).state !== "reading",
    watch: (hear) => {
      watchers.add(hear)
      return () => void watchers.delete(hear)
    },
  }
}
