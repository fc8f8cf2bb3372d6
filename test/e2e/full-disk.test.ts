/**
 * A disk without room, for real: the home is a small tmpfs that is filled while commands flow. Mounting needs root; where
 * it is refused these are shown as skipped.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { once } from "node:events"
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { decode } from "nostr-tools/nip19"
import { finalizeEvent, type NostrEvent } from "nostr-tools/pure"
import { WebSocket } from "ws"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { readReceipt, type Receipt } from "../../src/protocol/receipt.ts"
import { nowSeconds, systemClock } from "../../src/services/clock.ts"
import { startCli, type CliProcess } from "../support/process.ts"

const canMount = ((): boolean => {
  const probe = mkdtempSync(join(tmpdir(), "small-"))
  const mounted = process.platform === "linux" && spawnSync("mount", tmpfs(probe)).status === 0
  if (mounted) execFileSync("umount", [probe])
  rmSync(probe, { recursive: true })
  return mounted
})()

function tmpfs(folder: string): string[] {
  return ["-t", "tmpfs", "-o", "size=12m", "tmpfs", folder]
}

vi.setConfig({ testTimeout: 90_000, hookTimeout: 30_000 })

let folder: string
let home: string
const started: CliProcess[] = []
const cli = (...args: readonly string[]): CliProcess => {
  const child = startCli(args)
  started.push(child)
  return child
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "small-"))
  home = join(folder, "home")
  mkdirSync(home)
  execFileSync("mount", tmpfs(home))
  const limits = { instanceWaitSeconds: 0.2, historyWaitSecondsMax: 2, reconnectMsMin: 50, reconnectMsMax: 500 }
  writeFileSync(join(home, "config.json"), JSON.stringify({ limits }))
})
afterEach(async () => {
  for (const child of started.splice(0)) await child.kill("SIGKILL")
  execFileSync("umount", [home])
  rmSync(folder, { recursive: true })
})

/** Takes every byte that is left. */
const fill = (): void => {
  const file = openSync(join(home, "filler"), "a")
  for (const size of [1 << 16, 4096, 1]) {
    try {
      for (;;) writeSync(file, Buffer.alloc(size))
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC")
    }
  }
  closeSync(file)
}
const makeRoom = (): void => rmSync(join(home, "filler"))

const secret = (name: string): Uint8Array =>
  decode(readFileSync(join(home, "keys", `${name}_key`), "utf8").trim()).data as Uint8Array

/** A client of the relay that follows all receipts. */
const follow = async (url: string) => {
  const socket = new WebSocket(url)
  await once(socket, "open")
  const receipts: Receipt[] = []
  const answers = new Map<string, unknown>()
  const created_at = nowSeconds(systemClock)
  let offered = 0
  const waiting = new Set<() => void>()
  socket.on("message", (data) => {
    const [type, first, second] = JSON.parse(String(data)) as [string, string, unknown]
    if (type === "OK") answers.set(first, second)
    const receipt = type === "EVENT" ? readReceipt(second as NostrEvent) : undefined
    if (receipt !== undefined) receipts.push(receipt)
    for (const look of waiting) look()
  })
  socket.send(JSON.stringify(["REQ", "receipts", { kinds: [78] }]))
  const until = (holds: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!holds()) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
      look()
    })
  return {
    of: (id: string) => receipts.filter(({ command }) => command === id).sort((a, b) => a.n - b.n),
    until,
    offer: async (content: string, kind = 30079): Promise<{ readonly id: string; readonly accepted: unknown }> => {
      const event = finalizeEvent({ kind, content, created_at, tags: [["d", String(offered++)]] }, secret("operator"))
      socket.send(JSON.stringify(["EVENT", event]))
      await until(() => answers.has(event.id))
      return { id: event.id, accepted: answers.get(event.id) }
    },
    close: () => socket.terminate(),
  }
}

describe.skipIf(!canMount)("a full disk", () => {
  it("loses nothing and does nothing twice: what came while it was full is done when there is room", async () => {
    const relay = cli("relay", "serve", "--port", "0", "--db", join(folder, "relay.db"))
    const [, url = ""] = await relay.line(/^relay (ws:\S+)/)
    const wizard = cli("start", "--role", "timmy", "--home", home, "--relay", url)
    await wizard.line(/^Try:/)
    const relayed = await follow(url)
    const isDone = (id: string): boolean => relayed.of(id).at(-1)?.status === "artifact-reported"
    const first = (await relayed.offer("@timmy note the first")).id
    await relayed.until(() => isDone(first))

    fill()
    const ids: string[] = []
    for (let i = 0; i < 12; i++) ids.push((await relayed.offer(`@timmy note ${i}`)).id)
    await wizard.line(/^! timmy: .*disk is full.*: make room; it is read again until it can/)

    makeRoom()
    await relayed.until(() => ids.every(isDone))
    for (const id of ids) {
      const statuses = relayed.of(id).map(({ status }) => status)
      expect(statuses.filter((status) => status === "received")).toHaveLength(1)
      expect(statuses.filter((status) => status === "artifact-reported")).toHaveLength(1)
      expect(relayed.of(id).map(({ n }) => n)).toEqual(statuses.map((_, at) => at + 1))
    }
    const claims = execFileSync("git", ["for-each-ref", "--format=%(refname)", "refs/commands"], {
      cwd: join(home, "artifacts", "timmy-artifacts"),
      encoding: "utf8",
    })
    expect(claims.trim().split("\n").sort()).toEqual([first, ...ids].map((id) => `refs/commands/${id}/timmy`).sort())
    relayed.close()
    expect((await wizard.kill("SIGTERM")).code).toBe(0)
  })

  it("makes the embedded relay refuse what it cannot keep, in clear words, and take it when there is room", async () => {
    const wizard = cli("start", "--role", "timmy", "--home", home, "--relay-port", "0")
    const [, url = ""] = await wizard.line(/^relay\s+(ws:\S+)/)
    await wizard.line(/^Try:/)
    const relayed = await follow(url)
    fill()
    // The logs have a little room of their own yet.
    while ((await relayed.offer(`a note of nobody's ${"x".repeat(60_000)}`, 1)).accepted);
    relayed.close()
    const refused = cli("dispatch", `@timmy ${"x".repeat(60_000)}`, "--home", home)
    expect((await refused.exited).code).toBe(1)
    expect(refused.stderr()).toMatch(
      /^runtime: refused: error: not stored \(database or disk is full\); send it again later/,
    )
    makeRoom()
    const after = cli("dispatch", "@timmy status check", "--home", home, "--wait")
    expect((await after.exited).code).toBe(0)
  })

  it("refuses a start, and says why and what to do", async () => {
    fill()
    const child = cli("start", "--role", "timmy", "--home", home, "--relay-port", "0")
    expect((await child.exited).code).toBeGreaterThan(0)
    expect(child.stderr()).toMatch(/disk is full.*make room/)
    expect(child.stderr()).not.toMatch(/^\s+at /m)
    makeRoom()
    const again = cli("start", "--role", "timmy", "--home", home, "--relay-port", "0")
    await again.line(/^Try:/)
  })
})
