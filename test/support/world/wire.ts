/**
 * What one process asks relays for and is given, held against its cursors on the disk (P4, P5, P6, P25, P28).
 */
import type SQLite from "better-sqlite3"
import { limits } from "../../../src/limits.ts"
import type { NostrEvent } from "../../../src/protocol/event.ts"
import { ask, type CursorMove } from "./disk.ts"
import type { Model } from "./model.ts"
import type { WireHears } from "./network.ts"

export interface WireWatch {
  /** Of one more socket. */
  readonly listen: (url: string) => WireHears
  readonly moved: (db: SQLite.Database, move: CursorMove, nowMs: number) => void
}

export const watchWire = (options: {
  readonly model: Model
  readonly db: () => SQLite.Database | undefined
  readonly nowMs: () => number
  /** Their names by their keys. */
  readonly wizards: ReadonlyMap<string, string>
  readonly honest: ReadonlySet<string>
  /** Where the clock is set by others, a moment of the past may come again. */
  readonly steps: boolean
}): WireWatch => {
  const { model, db, nowMs, wizards, honest, steps } = options
  /** By identity and relay: genuine commands that came and were not seen to be committed. */
  const came = new Map<string, { readonly id: string; readonly atMs: number }[]>()
  /** What was asked before in this life: the first time looks back the whole way. */
  const deep = new Set<string>()

  const asked = (identity: string, url: string, text: string): void => {
    const [, , filter] = JSON.parse(text) as [string, string, { readonly since?: number; readonly until?: number }]
    const question = `${identity} ${url} ${"authors" in filter ? "by whom" : "to whom"}`
    const store = db()
    if (filter.until !== undefined || store === undefined) return
    const cursor = cursorOf(store, identity, url)
    const floor = floorOf(store, identity, url)
    if (cursor === undefined) {
      deep.add(question)
      if (floor !== undefined && (filter.since ?? 0) > floor)
        model.violate(`P4: the first reading of ${url} begins ${(filter.since ?? 0) - floor} s above the floor`)
      return
    }
    const lookBack = deep.has(question) ? limits.lookBackSecondsQuick : limits.lookBackSecondsMax
    deep.add(question)
    const latest = Math.floor((Math.min(cursor, nowMs()) - lookBack * 1000) / 1000)
    if ((filter.since ?? 0) > latest)
      model.violate(`P4 P5: ${url} is read from ${(filter.since ?? 0) - latest} s after the cursor less the look-back`)
  }

  const given = (identity: string, url: string, text: string): void => {
    const [, , event] = JSON.parse(text) as [string, string, { readonly id: string }]
    const issued = model.byId(event.id)
    if (issued === undefined || JSON.stringify(event) !== JSON.stringify(issued.event)) return
    const key = `${identity} ${url}`
    const list = came.get(key) ?? []
    list.push({ id: event.id, atMs: nowMs() })
    came.set(key, list)
  }

  return {
    listen: (url) => {
      let identity = ""
      return {
        sent: (text) => {
          // Whose socket it is shows by what it asks for first.
          if (text.startsWith('["REQ","own/')) identity = authorIn(text)
          else if (text.startsWith('["REQ","commands/')) asked(identity, url, text)
          else if (text.startsWith('["EVENT",')) model.told((JSON.parse(text) as [string, NostrEvent])[1], url)
        },
        received: (text) => text.startsWith('["EVENT","commands/') && given(identity, url, text),
      }
    },
    moved: (store, { identity, relay, subscription, atMs }, now) => {
      if (steps) return
      if (atMs > now)
        model.violate(`P6: the cursor of ${subscription} at ${relay} is ${atMs - now} ms ahead of the clock`)
      if (subscription !== "commands") return
      const key = `${identity} ${relay}`
      if (!honest.has(relay)) return
      const waiting = came.get(key) ?? []
      const earlier = waiting.filter((one) => one.atMs < atMs)
      if (earlier.length === 0) return
      came.set(
        key,
        waiting.filter((one) => one.atMs >= atMs),
      )
      const floor = Math.max(floorOf(store, identity, relay) ?? 0, rosterSince(store))
      const wizard = wizards.get(identity) ?? ""
      for (const { id } of earlier) {
        const one = model.byId(id)
        if (one === undefined || model.mayLapse(one) || one.event.created_at < floor || isCommitted(store, id, wizard))
          continue
        model.violate(`P28: the cursor of ${wizard} at ${relay} passed ${one.name}, which is not committed`)
      }
    },
  }
}

const cursorOf = (store: SQLite.Database, identity: string, relay: string): number | undefined =>
  ask(store, "SELECT at_ms FROM cursor WHERE identity = ? AND relay = ? AND subscription = 'commands'")
    .pluck()
    .get(identity, relay) as number | undefined

const floorOf = (store: SQLite.Database, identity: string, relay: string): number | undefined =>
  ask(store, "SELECT at FROM floor WHERE identity = ? AND relay = ?").pluck().get(identity, relay) as number | undefined

const rosterSince = (store: SQLite.Database): number =>
  Math.floor(Number(ask(store, "SELECT min(at_ms) FROM roster").pluck().get() ?? 0) / 1000) - limits.firstReadSecondsMax

const isCommitted = (store: SQLite.Database, id: string, wizard: string): boolean =>
  ask(
    store,
    "SELECT 1 FROM actor WHERE name = @actor UNION ALL SELECT 1 FROM dead_letter WHERE actor = @actor UNION ALL SELECT 1 FROM seen WHERE id = @id AND wizard = @wizard LIMIT 1",
  ).get({ actor: `command/${id}/${wizard}`, id, wizard }) !== undefined

const authorIn = (text: string): string =>
  (JSON.parse(text) as [string, string, { readonly authors: readonly string[] }])[2].authors[0] as string
