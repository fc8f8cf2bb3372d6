/** W1 on a real process: whatever was answered OK true is there after it was killed, many times, in the middle of work. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, it } from "vitest"
import SQLite from "better-sqlite3"
import { openSignatures } from "../../src/identity/signature-pool.ts"
import { type NostrEvent, withId } from "../../src/protocol/event.ts"
import { seededChance } from "../../src/services/chance.ts"
import { sleep, systemClock } from "../../src/services/clock.ts"
import { startCli } from "../support/process.ts"
import { connect, type TestClient } from "./client.ts"

const kills = Number(process.env["RELAY_KILLS"] ?? 20)
const seed = Number(process.env["RELAY_KILL_SEED"] ?? 1)
const folder = mkdtempSync(join(tmpdir(), "relay-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const serve = async (file: string) => {
  const started = startCli(["relay", "serve", "--port", "0", "--db", file])
  const [, url] = await started.line(/^relay (ws:\S+)/)
  return { started, url: url as string }
}

it(
  `W1: ${kills} times SIGKILL under load (seed ${seed})`,
  async () => {
    const file = join(folder, "killed.db")
    const chance = seededChance(seed)
    const signatures = await openSignatures({ workers: 0 })
    const signer = signatures.signerFor(new Uint8Array(32).fill(9))
    const accepted = new Set<string>()
    let serial = 0
    const batch = (): Promise<readonly NostrEvent[]> =>
      signer.sign(
        Array.from({ length: 40 }, () =>
          withId(signer.pubkey, {
            kind: chance.next() < 0.5 ? 1 : 30_079,
            created_at: 1_700_000_000 + Math.floor(chance.next() * 50),
            tags: [["t", `x${serial % 7}`]],
            content: `${serial++}`,
          }),
        ),
      )
    /** Publishes as fast as it is answered, until the other end is gone. */
    const load = async (client: TestClient): Promise<void> => {
      let isGone = false
      void client.closed.then(() => (isGone = true))
      while (!isGone) {
        const events = await batch()
        await Promise.race([client.closed, Promise.all(events.map(client.publish))])
        for (const [name, id, ok] of client.received.splice(0))
          if (name === "OK" && ok === true) accepted.add(id as string)
      }
    }

    for (let life = 0; life < kills; life++) {
      const { started, url } = await serve(file)
      const clients = await Promise.all([connect(url), connect(url)])
      const loads = clients.map(load)
      await sleep(systemClock, 50 + chance.next() * 300)
      await started.kill("SIGKILL")
      await Promise.all(loads)
    }

    const database = new SQLite(file)
    expect(database.pragma("integrity_check", { simple: true })).toBe("ok")
    database.close()
    const { started, url } = await serve(file)
    const client = await connect(url)
    const stored = new Set<string>()
    const ids = [...accepted]
    for (let at = 0; at < ids.length; at += 500)
      for (const { id } of await client.req("held", { ids: ids.slice(at, at + 500) })) stored.add(id)
    expect(ids.filter((id) => !stored.has(id))).toEqual([])
    expect(accepted.size).toBeGreaterThan(kills * 5)
    await started.kill("SIGTERM")
    await signatures.close()
  },
  20_000 + kills * 10_000,
)
