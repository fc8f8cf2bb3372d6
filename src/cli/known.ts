/** What the store of a home knows, read without the lock: the roster in force, and where its relays are. */
import { existsSync } from "node:fs"
import { emptyChain, offer, rosterInForce } from "../identity/roster.ts"
import type { NostrEvent } from "../protocol/event.ts"
import type { Roster } from "../protocol/roster.ts"
import type { Home } from "../runtime/home.ts"
import { openStore, type StoreShape } from "../store/store.ts"
import { exit } from "./exit.ts"

/** Reads and closes. */
export const readStore = <A>(home: Home, read: (store: StoreShape) => A): A => {
  if (!existsSync(home.database)) {
    throw exit(
      "notFound",
      `there is nothing in ${home.dir} yet: runtime start --role timmy makes it, or name another --home`,
    )
  }
  const store = openStore(home.database, { readonly: true })
  try {
    return read(store)
  } finally {
    store.database.close()
  }
}

export const knownOf = (
  home: Home,
): { readonly roster: Roster | undefined; readonly relays: readonly string[] | undefined } => {
  if (!existsSync(home.database)) return { roster: undefined, relays: undefined }
  return readStore(home, (store) => {
    const council = store.setting.get("runtime", "council")
    const relays = store.setting.get("runtime", "relays")
    const chain = store.roster
      .all()
      .reduce((held, row) => offer(held, JSON.parse(row.event) as NostrEvent).chain, emptyChain(council ?? ""))
    return { roster: rosterInForce(chain), relays: relays === undefined ? undefined : (JSON.parse(relays) as string[]) }
  })
}

/** The roster in force, and what reads more of the same store. Throws with exit code 3. */
export const heldRoster = (
  home: Home,
): { readonly roster: Roster; readonly store: <A>(read: (store: StoreShape) => A) => A } => {
  const { roster } = knownOf(home)
  if (roster === undefined)
    throw exit("notFound", "no roster is in force here yet: it is made by the first start, or read from a relay")
  return { roster, store: (read) => readStore(home, read) }
}
