import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import SQLite from "better-sqlite3"
import { describe, expect, it, onTestFinished } from "vitest"
import { openDatabase, type Database } from "../../src/store/sqlite.ts"

const table = "CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT"
/** Enough for a copy, and not for the commit to make one. */
const rows = 9_000

const folder = (): string => {
  const dir = mkdtempSync(join(tmpdir(), "checkpoints-"))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}
const open = (file: string): Database => {
  const database = openDatabase({ file, migrations: [table] })
  onTestFinished(database.close)
  return database
}
const fill = (database: Database): void =>
  database.transaction(() => {
    for (let n = 0; n < rows; n++) database.statement("INSERT INTO word (text) VALUES (?)").run("x".repeat(100))
  })
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await pause(5)
}
const isCopied = (file: string): boolean => statSync(file).size > rows * 100
/** What it is once nobody has it open, read by SQLite alone. */
const inspect = (file: string): unknown => {
  const database = new SQLite(file)
  try {
    return [
      database.pragma("integrity_check", { simple: true }),
      database.prepare("SELECT count(*) AS n FROM word").get(),
    ]
  } finally {
    database.close()
  }
}

const run = (...args: readonly string[]) =>
  promisify(execFile)(process.execPath, [...args, "--input-type=module", "-e", program, sqlite, join(folder(), "a.db")])
const sqlite = new URL("../../src/store/sqlite.ts", import.meta.url).href
const program = `
const { openDatabase } = await import(process.argv[1])
const database = openDatabase({ file: process.argv[2], migrations: [${JSON.stringify(table)}] })
const insert = database.statement("INSERT INTO word (text) VALUES ('x')")
database.transaction(() => { for (let n = 0; n < ${rows}; n++) insert.run() })
console.log("committed")
`

describe("checkpoints", () => {
  it("the log is copied without a commit that does it, in each database of a process", async () => {
    const dir = folder()
    const files = ["a.db", "b.db"].map((name) => join(dir, name))
    const databases = files.map(open)
    databases.forEach(fill)
    await until(() => files.every(isCopied))
    databases.forEach((database) => database.close())
    expect(files.map(inspect)).toEqual(files.map(() => ["ok", { n: rows }]))
  })

  it("K1: closed while the log is copied, and opened again at once, it holds everything", async () => {
    const file = join(folder(), "a.db")
    for (let round = 1; round <= 5; round++) {
      const database = open(file)
      fill(database)
      // Somewhere between a thread that is only starting and a copy that is done.
      await pause(round * 15)
      database.close()
    }
    const last = open(file)
    last.exec("INSERT INTO word (text) VALUES ('last')")
    await last.sync()
    last.close()
    expect(inspect(file)).toEqual(["ok", { n: 5 * rows + 1 }])
  })

  it("K1: what was committed is told as committed where no thread can be had", async () => {
    const permitted = ["--permission", "--allow-fs-read=*", "--allow-fs-write=*", "--allow-addons"]
    await expect(run(...permitted)).resolves.toMatchObject({ stdout: "committed\n" })
  })

  it("a process that ends by itself is not held by the thread", async () => {
    await expect(run()).resolves.toEqual({ stdout: "committed\n", stderr: "" })
  })
})
