/**
 * The relay's own lists (NIP-86): whom and what it does not store, or alone stores, whatever the policies say; and what
 * it calls itself. They are kept in its database. They never decide who may command: that is the roster's.
 */
import type { Database } from "../store/sqlite.ts"

export const listNames = [
  "banned-pubkey",
  "allowed-pubkey",
  "banned-event",
  "allowed-kind",
  "banned-kind",
  "blocked-ip",
  /** `value` is the name of a setting, `reason` what it is set to. */
  "setting",
] as const
export type ListName = (typeof listNames)[number]

export interface Lists {
  readonly has: (list: ListName, value: string) => boolean
  readonly get: (list: ListName, value: string) => string | undefined
  readonly entries: (list: ListName) => readonly { readonly value: string; readonly reason: string }[]
  readonly isEmpty: (list: ListName) => boolean
  /** Durable with the storage's next sync. */
  readonly put: (list: ListName, value: string, reason: string) => void
  readonly remove: (list: ListName, value: string) => void
  /** Whether this is the first use of that id; it is remembered until `expires` (unix seconds). */
  readonly useOnce: (id: string, expires: number, nowSeconds: number) => boolean
}

/** Read once, and kept in memory beside the database. */
export const listsIn = ({ statement, transaction }: Database): Lists => {
  const held = new Map<ListName, Map<string, string>>(listNames.map((name) => [name, new Map()]))
  for (const { list, value, reason } of statement("SELECT list, value, reason FROM lists").all() as Entry[])
    held.get(list)?.set(value, reason)
  const of = (list: ListName): Map<string, string> => held.get(list) as Map<string, string>

  return {
    has: (list, value) => of(list).has(value),
    get: (list, value) => of(list).get(value),
    entries: (list) => [...of(list)].map(([value, reason]) => ({ value, reason })),
    isEmpty: (list) => of(list).size === 0,
    put: (list, value, reason) => {
      statement("INSERT OR REPLACE INTO lists (list, value, reason) VALUES (?, ?, ?)").run(list, value, reason)
      of(list).set(value, reason)
    },
    remove: (list, value) => {
      statement("DELETE FROM lists WHERE list = ? AND value = ?").run(list, value)
      of(list).delete(value)
    },
    useOnce: (id, expires, nowSeconds) =>
      transaction(() => {
        statement("DELETE FROM calls WHERE expires < ?").run(nowSeconds)
        return statement("INSERT OR IGNORE INTO calls (id, expires) VALUES (?, ?)").run(id, expires).changes === 1
      }),
  }
}

interface Entry {
  readonly list: ListName
  readonly value: string
  readonly reason: string
}
