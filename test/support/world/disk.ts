/**
 * The disk of one home: SQLite in memory behind the store's own interface, which a process can lose hold of at any point.
 *
 * DK1 A crash of the process keeps every commit, a power cut those before the last sync and any number of later ones.
 * DK2 A process that is gone writes nothing more and hears of no sync.
 * DK3 Without room a transaction writes nothing and says so.
 */
import SQLite from "better-sqlite3"
import { migrations } from "../../../src/store/migrations.ts"
import type { Database, Statement } from "../../../src/store/sqlite.ts"

/** Where a process is stopped: before the nth write of a transaction, at either side of a commit, of a sync, or anywhere. */
export type StopPoint = "statement" | "before-commit" | "after-commit" | "before-sync" | "after-sync"

export interface DiskHooks {
  /** Whether the process ends here. */
  readonly stops: (point: StopPoint) => boolean
  /** It has ended. */
  readonly stop: () => void
  readonly hasRoom: () => boolean
  /** Whether a power cut may come now, so that each commit is to be remembered by itself. */
  readonly mayLosePower: () => boolean
  /** Calls when the disk has confirmed. */
  readonly confirm: (call: () => void) => void
  /** A transaction was committed; which cursors it moved. */
  readonly committed: (database: SQLite.Database, moved: readonly CursorMove[]) => void
  /** That event is owed, and a power cut does not change it. */
  readonly durable: (eventId: string) => void
}

export interface CursorMove {
  readonly identity: string
  readonly relay: string
  readonly subscription: string
  readonly atMs: number
}

export interface Disk {
  /** Opens it for a process. The former one must be gone. */
  readonly open: (hooks: DiskHooks) => Database
  /** The process is gone. `choose` picks how many of the commits since the last sync a power cut leaves. */
  readonly crash: (choose?: (most: number) => number) => void
  /** What is on it: a copy for later, or none. */
  readonly copy: () => Buffer | undefined
  /** Puts an older copy in its place, or an empty disk. */
  readonly replace: (image: Buffer | undefined) => void
  /** The last opened database, to be looked at. */
  readonly look: () => SQLite.Database | undefined
  readonly close: () => void
}

const gone = (): Error => Object.assign(new Error("the process is gone"), { code: "SQLITE_BUSY" })
const full = (): Error => Object.assign(new Error("the disk is full"), { code: "SQLITE_FULL" })

export const openDisk = (): Disk => {
  let image: Buffer | undefined
  let db: SQLite.Database | undefined
  let alive: { on: boolean } = { on: false }
  /** Images since the last sync, the synced one first. */
  let images: Buffer[] = []

  /** Of this database, over all its processes. */
  let plain = new Map<string, Statement>()
  const prepare = (sql: string): Statement => {
    const statement = plain.get(sql) ?? (db as SQLite.Database).prepare(sql)
    plain.set(sql, statement)
    return statement
  }

  /** As the former process left it, unless something else was put in its place. */
  const current = (): SQLite.Database => {
    if (db !== undefined && image === undefined) return db
    db?.close()
    db = new SQLite(image ?? emptyImage())
    image = undefined
    plain = new Map()
    return db
  }

  const open = (hooks: DiskHooks): Database => {
    const opened = current()
    const mine = { on: true }
    alive = mine
    let commits = 0
    images = []
    /** What came to be owed since the last sync began; at first all that the former life left. */
    let owed = ask(opened, "SELECT event_id FROM outbox WHERE kind = 'publish'").pluck().all() as string[]
    let owing: string[] = []
    const statements = new Map<string, Statement>()
    let moved: CursorMove[] = []
    const stopAt = (point: StopPoint): void => {
      if (!mine.on) throw gone()
      if (!hooks.stops(point)) return
      mine.on = false
      throw gone()
    }
    return {
      file: ":memory:",
      statement: (sql) => {
        let statement = statements.get(sql)
        if (statement === undefined) {
          statement = watched(prepare(sql), {
            before: () => stopAt("statement"),
            ...(sql.startsWith("INSERT INTO cursor") && {
              ran: ([identity, relay, subscription, atMs]: readonly unknown[]) =>
                void moved.push({ identity, relay, subscription, atMs } as CursorMove),
            }),
            ...(sql.startsWith("INSERT INTO outbox") && {
              ran: ([, , , kind, , , eventId]: readonly unknown[]) => {
                if (kind === "publish") owing.push(eventId as string)
              },
            }),
          })
          statements.set(sql, statement)
        }
        return statement
      },
      exec: (sql) => void opened.exec(sql),
      transaction: (body) => {
        if (!mine.on) throw gone()
        if (opened.inTransaction) return body()
        moved = []
        owing = []
        const remembers = hooks.mayLosePower()
        if (!remembers) images = []
        else if (images.length === 0) images.push(opened.serialize())
        opened.exec("BEGIN IMMEDIATE")
        let result
        try {
          result = body()
          if (!hooks.hasRoom()) throw full()
          stopAt("before-commit")
          opened.exec("COMMIT")
        } catch (error) {
          opened.exec("ROLLBACK")
          if (!mine.on) hooks.stop()
          throw error
        }
        commits++
        owed.push(...owing)
        if (remembers) images.push(opened.serialize())
        hooks.committed(opened, moved)
        if (hooks.stops("after-commit")) {
          mine.on = false
          hooks.stop()
          throw gone()
        }
        return result
      },
      sync: () =>
        new Promise((resolve) => {
          if (!mine.on) return
          if (hooks.stops("before-sync")) return hooks.stop()
          const upTo = commits
          const durable = owed
          owed = []
          hooks.confirm(() => {
            if (!mine.on) return
            // The last one is what is durable now, and what came after it.
            images.splice(0, Math.max(0, images.length - 1 - (commits - upTo)))
            durable.forEach(hooks.durable)
            if (hooks.stops("after-sync")) return hooks.stop()
            resolve()
          })
        }),
      backup: async () => {},
      close: () => {},
    }
  }

  return {
    open,
    crash: (choose) => {
      alive.on = false
      if (choose !== undefined && images.length > 0) image = images[choose(images.length)]
      images = []
    },
    copy: () => image ?? db?.serialize(),
    replace: (given) => {
      image = given ?? emptyImage()
    },
    look: () => db,
    close: () => {
      alive.on = false
      db?.close()
    },
  }
}

/** What a new home begins with. */
const emptyImage = (): Buffer => (migrated ??= migrate())
let migrated: Buffer | undefined
const migrate = (): Buffer => {
  const db = new SQLite(":memory:")
  for (const sql of migrations) db.exec(sql)
  db.pragma(`user_version = ${migrations.length}`)
  const image = db.serialize()
  db.close()
  return image
}

const watched = (
  statement: Statement,
  by: { readonly before: () => void; readonly ran?: (values: readonly unknown[]) => void },
): Statement =>
  ({
    get: (...values: unknown[]) => statement.get(...values),
    all: (...values: unknown[]) => statement.all(...values),
    run: (...values: unknown[]) => {
      by.before()
      by.ran?.(values)
      return statement.run(...values)
    },
  }) as unknown as Statement

const prepared = new WeakMap<SQLite.Database, Map<string, SQLite.Statement>>()

/** For whoever looks at a database from outside: each question is prepared once. */
export const ask = (db: SQLite.Database, sql: string): SQLite.Statement => {
  const known = prepared.get(db) ?? new Map<string, SQLite.Statement>()
  prepared.set(db, known)
  const statement = known.get(sql) ?? db.prepare(sql)
  known.set(sql, statement)
  return statement
}
