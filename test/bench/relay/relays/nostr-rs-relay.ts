/** `nostr-rs-relay` of crates.io (Rust, SQLite), with its own defaults, which have no rate limits. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import SQLite from "better-sqlite3"
import { freePort, run } from "../process.ts"
import { programAt } from "./on-path.ts"
import type { RelayUnderTest } from "./relay-under-test.ts"

export const nostrRsRelay = (given: string | undefined): RelayUnderTest => {
  const program = programAt("nostr-rs-relay", given)
  return {
    name: "nostr-rs-relay",
    durability: "SQLite WAL, synchronous=NORMAL: OK does not wait for the disk",
    missing: () =>
      program === undefined
        ? "not installed: apt-get install protobuf-compiler, cargo install nostr-rs-relay (ten minutes)"
        : undefined,
    start: async (dir) => {
      const port = await freePort()
      const config = join(dir, "config.toml")
      writeFileSync(
        config,
        `[info]\nrelay_url = "ws://127.0.0.1:${port}/"\n[network]\naddress = "127.0.0.1"\nport = ${port}\n`,
      )
      return run({ command: program ?? "", args: ["--db", dir, "--config", config], cwd: dir, port })
    },
    fill: (dir, { events }) => {
      const database = new SQLite(join(dir, "nostr.db"))
      database.pragma("synchronous = OFF")
      const event = database.prepare(
        `INSERT INTO event (event_hash, created_at, kind, author, content, first_seen, hidden)
         VALUES (?, ?, ?, ?, ?, ?, FALSE)`,
      )
      const tag = database.prepare("INSERT INTO tag (event_id, name, value, kind, created_at) VALUES (?, ?, ?, ?, ?)")
      database.transaction(() => {
        for (const each of events) {
          const { id, created_at, kind, pubkey, tags } = each
          const row = event.run(
            Buffer.from(id, "hex"),
            created_at,
            kind,
            Buffer.from(pubkey, "hex"),
            JSON.stringify(each),
            created_at,
          ).lastInsertRowid
          for (const [name, value] of tags) tag.run(row, name, value, kind, created_at)
        }
      })()
      database.close()
    },
  }
}
