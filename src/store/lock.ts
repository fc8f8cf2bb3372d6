/**
 * One process for each home. The lock is an open `BEGIN EXCLUSIVE` on a file of its own: the system lets it go the moment
 * the holder dies, however it dies, and no stale file has to be judged.
 *
 * L1 At most one process holds a home, and no two holders within a process.
 * L2 The handle stays referenced until it is released: one that is garbage-collected lets the lock go.
 * L3 `lock.db` is opened by nothing else here: closing any other handle on it drops the lock (POSIX). Who copies a home
 *    leaves it out.
 *
 * `holder.json` beside it says who holds the lock, for people and other processes; it is information, never the lock.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import SQLite from "better-sqlite3"
import { Schema } from "effect"
import { type ClockShape, nowSeconds } from "../services/clock.ts"
import { brokenBy } from "./sqlite.ts"

/** Another process has this home. What it says of itself may be missing while it is just starting. */
export class HomeHeld extends Schema.TaggedError<HomeHeld>()("HomeHeld", {
  home: Schema.String,
  pid: Schema.optional(Schema.Number),
  /** Unix seconds. */
  since: Schema.optional(Schema.Number),
}) {
  override get message(): string {
    const who = this.pid === undefined ? "another process" : `process ${this.pid}`
    const since = this.since === undefined ? "" : ` since ${new Date(this.since * 1000).toISOString()}`
    const stop = this.pid === undefined ? "stop it" : `stop it (kill ${this.pid})`
    return `${this.home} is in use by ${who}${since}: ${stop}, or start with another --home`
  }
}

export interface HomeLock {
  /** Gives the home free; a second call does nothing. */
  readonly release: () => void
}

/** Takes the home, making its folder if need be, without waiting. Throws HomeHeld, or DatabaseBroken. */
export const takeLock = (home: string, clock: ClockShape): HomeLock => {
  const file = join(home, "lock.db")
  const handle = lockFile(home, file)
  handles.add(handle)
  try {
    writeHolder(home, { pid: process.pid, since: nowSeconds(clock) })
  } catch (error) {
    free(handle)
    throw brokenBy(holderFile(home), "cannot be written", error)
  }
  return {
    release: () => {
      if (!handles.has(handle)) return
      rmSync(holderFile(home), { force: true })
      free(handle)
    },
  }
}

const Holder = Schema.Struct({ pid: Schema.Number, since: Schema.Number })
type Holder = typeof Holder.Type

/** Who last took this home; it holds it only if a `takeLock` would throw HomeHeld. */
export const readHolder = (home: string): Holder | undefined => {
  try {
    return Schema.decodeUnknownSync(Schema.fromJsonString(Holder))(readFileSync(holderFile(home), "utf8"))
  } catch {
    return undefined
  }
}

/** See L2. */
const handles = new Set<SQLite.Database>()

const lockFile = (home: string, file: string): SQLite.Database => {
  let handle: SQLite.Database | undefined
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 })
    handle = new SQLite(file, { timeout: 0 })
    handle.exec("BEGIN EXCLUSIVE")
    return handle
  } catch (error) {
    handle?.close()
    if ((error as { readonly code?: string }).code === "SQLITE_BUSY") throw new HomeHeld({ home, ...readHolder(home) })
    throw brokenBy(file, "cannot be locked", error)
  }
}

const free = (handle: SQLite.Database): void => {
  handles.delete(handle)
  handle.close()
}

const holderFile = (home: string): string => join(home, "holder.json")

const writeHolder = (home: string, holder: Holder): void => {
  const draft = `${holderFile(home)}.new`
  writeFileSync(draft, `${JSON.stringify(holder)}\n`)
  renameSync(draft, holderFile(home))
}
