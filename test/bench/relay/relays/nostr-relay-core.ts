/**
 * `@nostr-relay/core` of npm with its SQLite repository and its validator, behind `ws` as its documentation shows
 * (`core-server.ts`). It is installed into the folder that is given, or into one of the run's own.
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import SQLite from "better-sqlite3"
import { freePort, run } from "../process.ts"
import type { RelayUnderTest } from "./relay-under-test.ts"

const version = "0.0.40"
const server = join(import.meta.dirname, "core-server.ts")
const ownPackage = join(import.meta.dirname, "../../../../package.json")

export const nostrRelayCore = (given: string | undefined): RelayUnderTest => {
  let folder = given === undefined ? undefined : resolve(given)
  return {
    name: "@nostr-relay/core",
    durability: "SQLite WAL with better-sqlite3's default, synchronous=NORMAL: OK does not wait for the disk",
    missing: () => {
      try {
        folder ??= temporary()
        install(folder)
        return undefined
      } catch (error) {
        return `not installed, npm said: ${(error as Error).message.split("\n").at(-1) ?? ""}`
      }
    },
    start: async (dir) => {
      const port = await freePort()
      const args = [server, folder ?? "", databaseIn(dir), String(port)]
      return run({ command: process.execPath, args, cwd: dir, port })
    },
    fill: (dir, { events }) => {
      const database = new SQLite(databaseIn(dir))
      database.pragma("synchronous = OFF")
      const event = database.prepare(
        `INSERT INTO events (id, pubkey, author, kind, created_at, tags, content, sig, d_tag_value)
         VALUES (@id, @pubkey, @pubkey, @kind, @created_at, @tags, @content, @sig, NULL)`,
      )
      const tag = database.prepare(
        "INSERT OR IGNORE INTO generic_tags (tag, event_id, kind, author, created_at) VALUES (?, ?, ?, ?, ?)",
      )
      const text = database.prepare("INSERT INTO events_fts (id, content) VALUES (?, ?)")
      database.transaction(() => {
        for (const each of events) {
          event.run({ ...each, tags: JSON.stringify(each.tags) })
          for (const [name, value] of each.tags)
            tag.run(`${name}:${value}`, each.id, each.kind, each.pubkey, each.created_at)
          if (each.kind === 1) text.run(each.id, each.content)
        }
      })()
      database.close()
    },
  }
}

const databaseIn = (dir: string): string => join(dir, "core.db")

const temporary = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "wizardly-bench-core-"))
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** With the version of better-sqlite3 that we use: the one it asks for has no build for this Node without a compiler. */
const install = (folder: string): void => {
  if (existsSync(join(folder, "node_modules/@nostr-relay/core"))) return
  mkdirSync(folder, { recursive: true })
  const { dependencies } = JSON.parse(readFileSync(ownPackage, "utf8")) as { dependencies: Record<string, string> }
  const parts = ["core", "common", "validator", "event-repository-sqlite"]
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({
      private: true,
      dependencies: {
        ...Object.fromEntries(parts.map((part) => [`@nostr-relay/${part}`, version])),
        ws: dependencies["ws"],
      },
      overrides: { "better-sqlite3": dependencies["better-sqlite3"] },
      allowScripts: { "better-sqlite3": true },
    }),
  )
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--silent"], { cwd: folder, stdio: "pipe" })
}
