/**
 * A copy of the relay's database while it runs, the newest KEEP of them kept. Restore: README.md.
 *
 *   node backup.ts DATABASE FOLDER        KEEP=14
 *
 * VACUUM INTO reads one moment of the database in one transaction and holds nobody up. `cp` would miss what is still in
 * the -wal file or catch a page half written; SQLite's online backup begins anew at each write by another process.
 * Nothing takes an old copy's place before it is whole, sound, and on the disk.
 */
import { closeSync, createReadStream, createWriteStream, existsSync, fsyncSync, mkdirSync, openSync } from "node:fs"
import { readdirSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { createGzip } from "node:zlib"
import SQLite from "better-sqlite3"

const [database = "", folder = ""] = process.argv.slice(2)
const keep = Number(process.env["KEEP"] ?? "14")

const fail = (message: string): never => {
  process.stderr.write(`backup: ${message}\n`)
  process.exit(1)
}

if (folder === "") fail("node backup.ts DATABASE FOLDER")
if (!existsSync(database)) fail(`there is no database at ${database}`)
if (!Number.isInteger(keep) || keep < 1) fail(`KEEP is how many copies are kept, at least 1`)

process.umask(0o077)
mkdirSync(folder, { recursive: true })
const name = join(folder, `relay-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, "")}.db`)
const part = `${name}.part`
try {
  copy(database, part)
  const fault = faultOf(part)
  if (fault !== undefined) fail(`the copy is not sound: ${fault}; the older ones are kept`)
  await pipeline(createReadStream(part), createGzip(), createWriteStream(`${part}.gz`, { mode: 0o600 }))
  sync(`${part}.gz`)
  renameSync(`${part}.gz`, `${name}.gz`)
  sync(folder)
} finally {
  for (const left of [part, `${part}-journal`, `${part}.gz`]) rmSync(left, { force: true })
}
// Names sort by date.
const copies = readdirSync(folder).filter((file) => /^relay-\d{8}T\d{6}Z\.db\.gz$/.test(file))
for (const old of copies.toSorted().slice(0, -keep)) rmSync(join(folder, old))
process.stdout.write(`${name}.gz\n`)

function copy(from: string, to: string): void {
  const source = new SQLite(from, { fileMustExist: true, timeout: 10_000 })
  source.prepare("VACUUM INTO ?").run(to)
  source.close()
}

function faultOf(file: string): string | undefined {
  const opened = new SQLite(file, { readonly: true })
  const said = opened.pragma("integrity_check", { simple: true }) as string
  opened.close()
  return said === "ok" ? undefined : said
}

function sync(path: string): void {
  const handle = openSync(path, "r")
  fsyncSync(handle)
  closeSync(handle)
}
