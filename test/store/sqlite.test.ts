import { execFileSync } from "node:child_process"
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import SQLite from "better-sqlite3"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { migrations } from "../../src/store/migrations.ts"
import { DatabaseBroken, DatabaseTooNew, openDatabase, type Database } from "../../src/store/sqlite.ts"
import { openStore } from "../../src/store/store.ts"

let folder: string
let file: string
const opened: Database[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sqlite-"))
  file = join(folder, "a.db")
})
afterEach(() => {
  for (const database of opened.splice(0)) database.close()
  rmSync(folder, { recursive: true })
})

const table = "CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT"
const open = (options: Partial<Parameters<typeof openDatabase>[0]> = {}): Database => {
  const database = openDatabase({ file, migrations: [table], ...options })
  opened.push(database)
  return database
}
const words = (database: Database): unknown[] =>
  database
    .statement("SELECT text FROM word ORDER BY id")
    .all()
    .map((row) => (row as { text: string }).text)
const add = (database: Database, text: string): void =>
  void database.statement("INSERT INTO word (text) VALUES (?)").run(text)
const versionOf = (database: Database): unknown => database.statement("PRAGMA user_version").get()
/** What `body` threw. */
const thrown = (body: () => unknown): Error => {
  try {
    body()
  } catch (error) {
    return error as Error
  }
  throw new Error("it did not throw")
}

describe("migrations", () => {
  it("run once each, in order, over what is there", () => {
    const first = open()
    add(first, "old")
    first.close()
    const second = open({ migrations: [table, "ALTER TABLE word ADD COLUMN note TEXT; UPDATE word SET note = 'seen'"] })
    expect(versionOf(second)).toEqual({ user_version: 2 })
    expect(second.statement("SELECT text, note FROM word").all()).toEqual([{ text: "old", note: "seen" }])
    second.close()
    const third = open({ migrations: [table, "ALTER TABLE word ADD COLUMN note TEXT; UPDATE word SET note = 'seen'"] })
    expect(words(third)).toEqual(["old"])
  })

  it("that fail change nothing, and leave the file to be opened by the version before", () => {
    const first = open()
    add(first, "kept")
    first.close()
    const broken = [table, "DELETE FROM word; CREATE TABLE word (id INTEGER)"]
    expect(() => open({ migrations: broken })).toThrow(/table word already exists/)
    const again = open()
    expect(versionOf(again)).toEqual({ user_version: 1 })
    expect(words(again)).toEqual(["kept"])
  })

  it("of the runtime's own store make a database that opens again", () => {
    openStore(file).database.close()
    const store = openStore(file)
    opened.push(store.database)
    expect(versionOf(store.database)).toEqual({ user_version: migrations.length })
    expect(store.command.list(1)).toEqual([])
  })
})

describe("a database from a newer version", () => {
  it("is refused with what to do, and left as it is to the last byte, whichever way it was written", () => {
    for (const mode of ["wal", "delete"]) {
      const name = join(folder, `${mode}.db`)
      const foreign = new SQLite(name)
      foreign.pragma(`journal_mode = ${mode}`)
      foreign.exec(`${table}; PRAGMA user_version = 7`)
      foreign.close()
      const before = readFileSync(name)
      const error = thrown(() => open({ file: name }))
      expect(error).toBeInstanceOf(DatabaseTooNew)
      expect(error).toMatchObject({ file: name, found: 7, known: 1 })
      expect(error.message).toMatch(/newer version .*install that version, or start with another --home/)
      expect(readFileSync(name).equals(before)).toBe(true)
    }
  })

  it("is refused as well where the version is still in the write-ahead log", () => {
    const foreign = new SQLite(file)
    foreign.pragma("journal_mode = wal")
    foreign.exec(`${table}; PRAGMA user_version = 7`)
    const before = readFileSync(file)
    expect(() => open()).toThrow(DatabaseTooNew)
    expect(readFileSync(file).equals(before)).toBe(true)
    foreign.close()
  })
})

describe("what is no database", () => {
  it("is refused with its name: garbage, a folder, a file in a folder that is not there", () => {
    const garbage = join(folder, "garbage.db")
    writeFileSync(garbage, "not a database, though it is long enough to look like a file of some kind\n".repeat(50))
    mkdirSync(join(folder, "folder.db"))
    for (const name of [garbage, join(folder, "folder.db"), join(folder, "no", "such.db")]) {
      for (const readonly of [false, true]) {
        const error = thrown(() => openStore(name, { readonly }))
        expect(error).toBeInstanceOf(DatabaseBroken)
        expect(error.message.startsWith(`${name}: `)).toBe(true)
      }
    }
    expect(thrown(() => openStore(garbage)).message).toContain("move it away, or name another --home")
    expect(readFileSync(garbage, "utf8")).toMatch(/^not a database/)
  })

  it("an empty file is taken into use by a writer, and refused to a reader", () => {
    writeFileSync(file, "")
    expect(thrown(() => openStore(file, { readonly: true })).message).toContain("runtime start does that")
    const store = openStore(file)
    opened.push(store.database)
    expect(store.journal.last()).toBe(0)
  })
})

describe("a transaction", () => {
  it("is all or nothing, and the next one is as if it had not been", () => {
    const database = open()
    expect(() =>
      database.transaction(() => {
        add(database, "lost")
        throw new Error("no")
      }),
    ).toThrow("no")
    expect(words(database)).toEqual([])
    database.transaction(() => add(database, "kept"))
    expect(words(database)).toEqual(["kept"])
  })

  it("within another joins it: what throws inside takes all of it back", () => {
    const database = open()
    expect(() =>
      database.transaction(() => {
        add(database, "outer")
        database.transaction(() => add(database, "inner"))
        throw new Error("no")
      }),
    ).toThrow("no")
    expect(words(database)).toEqual([])
  })

  it("gives what its body gives, and a statement is prepared once for one text", () => {
    const database = open()
    expect(database.transaction(() => 42)).toBe(42)
    expect(database.statement("SELECT 1")).toBe(database.statement("SELECT 1"))
  })
})

describe("sync", () => {
  it("resolves when what was committed is on the disk; in memory at once", async () => {
    const database = open()
    add(database, "a")
    await expect(database.sync()).resolves.toBeUndefined()
    await expect(open({ file: ":memory:" }).sync()).resolves.toBeUndefined()
  })

  it.skipIf(process.platform !== "linux")(
    "that failed is final: nothing more is promised, nothing written",
    async () => {
      const database = open()
      add(database, "before")
      // The disk goes away under it, as far as this can be done from here: its own handle of the log is closed, and the
      // next file gets its number, so that another try would succeed.
      closeSync(handlesOf(`${file}-wal`).at(-1) as number)
      await expect(database.sync()).rejects.toThrow(/the disk did not confirm a write/)
      openSync(join(folder, "other"), "w")
      await expect(database.sync()).rejects.toBeInstanceOf(DatabaseBroken)
      expect(() => database.transaction(() => add(database, "after"))).toThrow(DatabaseBroken)
      expect(words(database)).toEqual(["before"])
    },
  )
})

/** This process's open handles of a file, in the order of their numbers. */
const handlesOf = (name: string): number[] =>
  readdirSync("/proc/self/fd")
    .filter((handle) => existsSync(`/proc/self/fd/${handle}`) && readlinkSync(`/proc/self/fd/${handle}`) === name)
    .map(Number)
    .sort((a, b) => a - b)

describe("a reader", () => {
  it("sees what another process has committed, while that one goes on writing", () => {
    const database = open()
    database.transaction(() => add(database, "first"))
    const read = (): unknown =>
      JSON.parse(
        execFileSync(
          process.execPath,
          ["--input-type=module", "-e", readerCode, new URL("../../src/store/sqlite.ts", import.meta.url).href, file],
          { encoding: "utf8" },
        ),
      )
    expect(read()).toEqual({ words: 1, write: "attempt to write a readonly database" })
    database.transaction(() => add(database, "second"))
    expect(read()).toMatchObject({ words: 2 })
  })
})

const readerCode = `
const { openDatabase } = await import(process.argv[1])
const db = openDatabase({ file: process.argv[2], migrations: [${JSON.stringify(table)}], readonly: true })
let write = "done"
try { db.exec("DELETE FROM word") } catch (error) { write = error.message }
console.log(JSON.stringify({ words: db.statement("SELECT * FROM word").all().length, write }))
db.close()
`

describe("a backup", () => {
  it("made by VACUUM INTO, which is no WAL database, opens and syncs", async () => {
    open().exec(`INSERT INTO word (text) VALUES ('kept'); VACUUM INTO '${join(folder, "copy.db")}'`)
    const copy = open({ file: join(folder, "copy.db") })
    expect(copy.statement("SELECT text FROM word").all()).toEqual([{ text: "kept" }])
    copy.exec("INSERT INTO word (text) VALUES ('new')")
    await copy.sync()
  })

  it("holds what was committed, made while in use", async () => {
    const database = open()
    add(database, "a")
    await database.backup(join(folder, "copy.db"))
    add(database, "b")
    const copy = open({ file: join(folder, "copy.db") })
    expect(words(copy)).toEqual(["a"])
  })
})
