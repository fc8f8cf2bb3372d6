/**
 * One process for each home, and for each database that is served. The lock is an open `BEGIN EXCLUSIVE` on a file of its own: the system lets it go the moment
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

export interface Lock {
  /** Gives the home free; a second call does nothing. */
  readonly release: () => void
}

/** Another process, or another relay in this one, has this database open. */
export class DatabaseHeld extends Schema.TaggedError<DatabaseHeld>()("DatabaseHeld", { file: Schema.String }) {
  override get message(): string {
    return `${this.file} is in use by another process, and two that serve one database would not hear of each other's events: stop it, or name another file`
  }
}

/** Takes a database that one process alone may serve, by a file beside it. Throws DatabaseHeld, or DatabaseBroken. */
export const takeDatabase = (file: string): Lock => {
  const handle = openExclusive(`${file}-lock`, () => new DatabaseHeld({ file }))
  handles.add(handle)
  return {
    release: () => {
      if (handles.has(handle)) free(handle)
    },
  }
}

/** Takes the home, making its folder if need be, without waiting. Throws HomeHeld, or DatabaseBroken. */
export const takeLock = (home: string, clock: ClockShape): Lock => {
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
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw brokenBy(file, "cannot be locked", error)
  }
  return openExclusive(file, () => new HomeHeld({ home, ...readHolder(home) }))
}

const openExclusive = (file: string, held: () => Error): SQLite.Database => {
  let handle: SQLite.Database | undefined
  try {
    handle = new SQLite(file, { timeout: 0 })
    handle.exec("BEGIN EXCLUSIVE")
    return handle
  } catch (error) {
    handle?.close()
    if ((error as { readonly code?: string }).code === "SQLITE_BUSY") throw held()
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
