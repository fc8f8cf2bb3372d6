/** `nostr-relay` of PyPI (Python, SQLAlchemy on SQLite), under its own gunicorn with one worker, without rate limits. */
import { writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import SQLite from "better-sqlite3"
import { freePort, run } from "../process.ts"
import { programAt } from "./on-path.ts"
import type { RelayUnderTest } from "./relay-under-test.ts"

export const nostrRelay = (given: string | undefined): RelayUnderTest => {
  const program = programAt("nostr-relay", given)
  return {
    name: "nostr-relay",
    durability: "SQLite WAL, synchronous=NORMAL: OK does not wait for the disk",
    missing: () =>
      program === undefined
        ? "not installed: python3 -m venv V && V/bin/pip install nostr-relay==1.14, then --nostr-relay V/bin/nostr-relay"
        : undefined,
    start: async (dir) => {
      const port = await freePort()
      const config = join(dir, "config.yaml")
      writeFileSync(config, configFor(dir, port))
      const path = `${dirname(program ?? "")}:${process.env["PATH"] ?? ""}`
      return run({ command: program ?? "", args: ["-c", config, "serve"], cwd: dir, env: { PATH: path }, port })
    },
    fill: (dir, { events }) => {
      const database = new SQLite(databaseIn(dir))
      database.pragma("synchronous = OFF")
      const event = database.prepare(
        "INSERT INTO events (id, created_at, kind, pubkey, tags, sig, content) VALUES (?, ?, ?, ?, ?, ?, ?)",
      )
      const tag = database.prepare("INSERT OR IGNORE INTO tags (id, name, value) VALUES (?, ?, ?)")
      database.transaction(() => {
        for (const { id, created_at, kind, pubkey, tags, sig, content } of events) {
          const key = Buffer.from(id, "hex")
          event.run(
            key,
            created_at,
            kind,
            Buffer.from(pubkey, "hex"),
            JSON.stringify(tags),
            Buffer.from(sig, "hex"),
            content,
          )
          for (const [name, value] of tags) tag.run(key, name, value)
        }
      })()
      database.close()
    },
  }
}

const databaseIn = (dir: string): string => join(dir, "nostr.sqlite3")

/** Its own defaults but for the place, the port, the log and the bound on an answer. */
const configFor = (dir: string, port: number): string => `DEBUG: false
relay_name: bench
storage:
  sqlalchemy.url: sqlite+aiosqlite:///${databaseIn(dir)}
  num_concurrent_reqs: 10
  num_concurrent_adds: 2
  validators:
    - nostr_relay.validators.is_not_too_large
    - nostr_relay.validators.is_signed
    - nostr_relay.validators.is_recent
    - nostr_relay.validators.is_not_hellthread
verification:
  nip05_verification: disabled
gunicorn:
  bind: 127.0.0.1:${port}
  workers: 1
  loglevel: warning
authentication:
  enabled: false
message_timeout: 1800
subscription_limit: 32
max_limit: 10000
logging:
  version: 1
  loggers:
    nostr_relay:
      level: WARNING
`
