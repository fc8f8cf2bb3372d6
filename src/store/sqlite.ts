/**
 * A SQLite database that is durable when it says so. With `lock.ts` and the thread of `checkpoints.ts`, all there is of
 * better-sqlite3.
 *
 * WAL; commits run under synchronous=NORMAL and `sync()` then calls fdatasync on the `-wal` file in the thread pool, so
 * the thread is free while the disk works. After `sync()` resolves every commit made before the call survives a power
 * cut. A failed sync is final (Linux may report the second try as success): the database refuses all further work.
 * Where that file cannot be opened (in memory) `sync()` is at once.
 *
 * Migrations are numbered by their place in the list and kept in `user_version`; a database from a newer version is
 * refused unread.
 */
import { closeSync, existsSync, fdatasync, openSync } from "node:fs"
import SQLite from "better-sqlite3"
import { Schema } from "effect"
import { openCheckpoints } from "./checkpoints.ts"

export class DatabaseTooNew extends Schema.TaggedError<DatabaseTooNew>()("DatabaseTooNew", {
  file: Schema.String,
  found: Schema.Number,
  known: Schema.Number,
}) {
  override get message(): string {
    return `${this.file} was written by a newer version (schema ${this.found}, this one knows ${this.known}): install that version, or start with another --home`
  }
}

export class DatabaseBroken extends Schema.TaggedError<DatabaseBroken>()("DatabaseBroken", {
  file: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `${this.file}: ${this.reason}`
  }
}

export type Statement = SQLite.Statement

export interface Database {
  readonly file: string
  /** Prepares once; the same text gives the same statement. */
  readonly statement: (sql: string) => Statement
  readonly exec: (sql: string) => void
  /** All or nothing. Nested calls join the outer transaction. Writers start with the lock in hand. */
  readonly transaction: <A>(body: () => A) => A
  /** Resolves when everything committed before the call is on the disk. */
  readonly sync: () => Promise<void>
  /** A consistent copy, made while in use. */
  readonly backup: (file: string) => Promise<void>
  readonly close: () => void
}

export interface DatabaseOptions {
  /** `:memory:`, or a path. */
  readonly file: string
  /** Each is the SQL from its number to the next. */
  readonly migrations: readonly string[]
  readonly readonly?: boolean
  /** `normal` may lose the last commits in a power cut (never in a crash of the process). Default `full`. */
  readonly durability?: "full" | "normal"
}

export const openDatabase = (options: DatabaseOptions): Database => {
  const { file, migrations } = options
  const readonly = options.readonly === true
  // Looked at first, so that what a newer version wrote is left as it is to the last byte.
  const found = existsSync(file) ? versionOf(file) : 0
  if (found > migrations.length) throw new DatabaseTooNew({ file, found, known: migrations.length })
  if (readonly && found < migrations.length)
    throw new DatabaseBroken({ file, reason: "has not been brought up to date: runtime start does that" })
  const { db, prepared: wal } = open(file, readonly, (opened) => {
    if (!readonly) migrate(opened, migrations, found)
    return readonly || options.durability === "normal" ? undefined : openWal(opened, file)
  })
  const statements = new Map<string, Statement>()
  const checkpoints = readonly || isMemory(file) ? undefined : openCheckpoints(file)
  const changes = db.prepare("SELECT total_changes()").pluck()
  let broken: DatabaseBroken | undefined
  let closed = false

  const commit = <A>(body: () => A): A => {
    db.exec("BEGIN IMMEDIATE")
    try {
      const result = body()
      db.exec("COMMIT")
      return result
    } catch (error) {
      if (db.inTransaction) db.exec("ROLLBACK")
      throw error
    }
  }

  return {
    file,
    statement: (sql) => {
      let statement = statements.get(sql)
      if (statement === undefined) {
        statement = db.prepare(sql)
        statements.set(sql, statement)
      }
      return statement
    },
    exec: (sql) => void db.exec(sql),
    transaction: (body) => {
      if (broken !== undefined) throw broken
      if (db.inTransaction) return body()
      const result = commit(body)
      checkpoints?.changed(changes.get() as number)
      return result
    },
    sync: () =>
      new Promise((resolve, reject) => {
        if (broken !== undefined) return reject(broken)
        if (wal === undefined) return resolve()
        fdatasync(wal, (error) => {
          // One that failed meanwhile may have hidden what this one did not write.
          if (error === null) return broken === undefined ? resolve() : reject(broken)
          broken = new DatabaseBroken({ file, reason: `the disk did not confirm a write (${error.message}); stopping` })
          reject(broken)
        })
      }),
    backup: async (target) => void (await db.backup(target)),
    close: () => {
      if (closed) return
      closed = true
      checkpoints?.close()
      db.close()
      if (wal !== undefined) closeSync(wal)
    },
  }
}

/** A version of 0 is a file without any; what is no database is DatabaseBroken. */
const versionOf = (file: string): number => {
  const { db, prepared } = open(file, true, (opened) => opened.pragma("user_version", { simple: true }) as number)
  db.close()
  return prepared
}

/** Opens and prepares; where either fails nothing is left open. Throws DatabaseBroken. */
const open = <A>(
  file: string,
  readonly: boolean,
  prepare: (db: SQLite.Database) => A,
): { db: SQLite.Database; prepared: A } => {
  let db: SQLite.Database | undefined
  try {
    db = new SQLite(file, readonly ? { readonly: true, fileMustExist: true } : {})
    db.pragma("busy_timeout = 5000")
    if (!readonly) {
      db.pragma("journal_mode = WAL")
      db.pragma("synchronous = NORMAL")
      db.pragma("fullfsync = ON")
      db.pragma("checkpoint_fullfsync = ON")
      db.pragma("foreign_keys = ON")
      db.pragma(`wal_autocheckpoint = ${logPagesMax}`)
    }
    return { db, prepared: prepare(db) }
  } catch (error) {
    db?.close()
    throw brokenBy(file, "is no database that can be used", error)
  }
}

/** What a person can do about it, where the cause tells; else `what` went wrong. */
export const brokenBy = (file: string, what: string, error: unknown): DatabaseBroken => {
  const { code = "", message } = error as { readonly code?: string; readonly message: string }
  return new DatabaseBroken({ file, reason: `${advice[code] ?? what} (${message})` })
}

/** Pages of the whole log. More: each commit copies what the checkpoint thread has not, and the log begins anew. */
const logPagesMax = 8192

const full = "the disk is full: make room and start again"

const advice: Readonly<Record<string, string>> = {
  SQLITE_FULL: full,
  ENOSPC: full,
  SQLITE_NOTADB: "is no database: move it away, or name another --home",
  SQLITE_CORRUPT: "is damaged: bring a copy back",
}

const migrate = (db: SQLite.Database, migrations: readonly string[], found: number): void => {
  for (let version = found; version < migrations.length; version++) {
    db.exec("BEGIN IMMEDIATE")
    try {
      // Another process may have been first; then there is nothing left to do.
      if ((db.pragma("user_version", { simple: true }) as number) === version) {
        db.exec(migrations[version] as string)
        db.pragma(`user_version = ${version + 1}`)
      }
      db.exec("COMMIT")
    } catch (error) {
      if (db.inTransaction) db.exec("ROLLBACK")
      throw error
    }
  }
}

/** The file exists from the first transaction on, for as long as the database is open, and is never replaced. */
const openWal = (db: SQLite.Database, file: string): number | undefined => {
  if (isMemory(file)) return undefined
  // One that a backup made is no WAL database until now, and where there was nothing to migrate nothing has been read.
  db.prepare("SELECT count(*) FROM sqlite_schema").get()
  return openSync(`${file}-wal`, "r+")
}

const isMemory = (file: string): boolean => file === ":memory:" || file === ""
