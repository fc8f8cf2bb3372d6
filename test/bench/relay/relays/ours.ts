/** `runtime relay serve`, as a user starts it. */
import { execFileSync } from "node:child_process"
import { join } from "node:path"
import { limits } from "../../../../src/limits.ts"
import { openStorage } from "../../../../src/relay/storage.ts"
import { freePort, run } from "../process.ts"
import type { RelayUnderTest } from "./relay-under-test.ts"

const launch = join(import.meta.dirname, "../../../../src/launch.mjs")

export const ours = (durability: "full" | "normal"): RelayUnderTest => ({
  name: durability === "full" ? "ours" : "ours (normal)",
  durability:
    durability === "full"
      ? "SQLite WAL, OK after fdatasync (one for each group)"
      : "SQLite WAL, synchronous=NORMAL: OK does not wait for the disk",
  missing: () => (durability === "full" || knows("--durability") ? undefined : "`relay serve` has no --durability yet"),
  start: async (dir) => {
    const port = await freePort()
    const args = [launch, "relay", "serve", "--port", String(port), "--db", databaseIn(dir)]
    if (durability === "normal") args.push("--durability", "normal")
    return run({ command: process.execPath, args, cwd: dir, port })
  },
  fill: (dir, { events }) => {
    const storage = openStorage({ file: databaseIn(dir), rowsMax: limits.relayRowsMax, durability: "normal" })
    const now = Math.floor(Date.now() / 1000)
    for (let at = 0; at < events.length; at += 5000)
      storage.transaction(now, () => {
        for (const event of events.slice(at, at + 5000)) storage.put(event, JSON.stringify(event), now)
      })
    storage.close()
  },
})

const databaseIn = (dir: string): string => join(dir, "relay.db")

const knows = (flag: string): boolean =>
  execFileSync(process.execPath, [launch, "relay", "serve", "--help"], { encoding: "utf8" }).includes(flag)
