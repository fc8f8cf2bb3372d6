/**
 * Who of this home reads the council's roster at a relay: one wizard for all of them. A roster names everybody, so a
 * thousand wizards that each read it would move it a thousand times.
 *
 * RR1 At each relay one wizard reads; where its connection is lost, the next that asks does.
 * RR2 No wizard begins to ask a relay for commands before the roster there is read, refused, or overdue.
 * RR3 Where the one cannot read it whole (a relay may bar its key, now or later), each reads for itself, until one has.
 * RR4 A connection tells the end of a reading once, so it is kept for as long as that reading: whoever becomes the one
 *     may have read before, and would never tell it again. Who was refused keeps its turn, or it would ask anew at once.
 */

export interface RosterReaders {
  /** Whether that wizard, which is connected, is to read the roster there; else it lets go of its reading. */
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
  /** The one. */
  wizard: string | undefined
  /** Of each wizard whose reading is over, whether it was whole. */
  readonly over: Map<string, boolean>
}

/** Whether the one read it whole; undefined while that is open. */
const wholeOf = ({ wizard, over }: Reader): boolean | undefined => (wizard === undefined ? undefined : over.get(wizard))

export const openRosterReaders = (): RosterReaders => {
  const readers = new Map<string, Reader>()
  const watchers = new Set<(url: string) => void>()
  const of = (url: string): Reader => {
    const held = readers.get(url)
    if (held !== undefined) return held
    const none: Reader = { wizard: undefined, over: new Map() }
    readers.set(url, none)
    return none
  }
  const tell = (url: string): void => watchers.forEach((hear) => hear(url))
  return {
    reads: (url, wizard) => {
      const reader = of(url)
      reader.wizard ??= wizard
      if (reader.wizard === wizard || wholeOf(reader) === false || reader.over.get(wizard) === false) return true
      reader.over.delete(wizard)
      return false
    },
    over: (url, wizard, whole) => {
      const reader = of(url)
      const before = wholeOf(reader)
      reader.over.set(wizard, whole)
      if (whole && wholeOf(reader) === false) reader.wizard = wizard
      if (wholeOf(reader) !== before) tell(url)
    },
    lost: (url, wizard) => {
      const reader = of(url)
      reader.over.delete(wizard)
      if (reader.wizard !== wizard) return
      reader.wizard = undefined
      tell(url)
    },
    isOver: (url) => wholeOf(of(url)) !== undefined,
    watch: (hear) => {
      watchers.add(hear)
      return () => void watchers.delete(hear)
    },
  }
}
