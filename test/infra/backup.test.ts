/** The backups that `infra` deploys, run as their timers run them. */
import { execFileSync, spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { gunzipSync } from "node:zlib"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { WebSocket } from "ws"
import { startCli } from "../support/process.ts"
import { keyPair } from "../support/relay-harness.ts"

const infra = (path: string): string => fileURLToPath(new URL(`../../infra/${path}`, import.meta.url))
let dir: string
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), "wizardly-backup-"))))
afterEach(() => rmSync(dir, { recursive: true, force: true }))

describe("the relay's backup", () => {
  const backUp = (database: string, keep = "14") =>
    spawnSync(process.execPath, [infra("relay/backup.ts"), database, join(dir, "copies")], {
      encoding: "utf8",
      env: { ...process.env, KEEP: keep },
    })

  it("of a running relay holds what was answered OK, and a relay serves it", async () => {
    const relay = startCli(["relay", "serve", "--port", "0", "--db", join(dir, "relay.db")])
    const [url] = await relay.line(/ws:\S+/)
    const { event } = keyPair()
    const events = Array.from({ length: 50 }, (_, n) => event(`note ${n}`, 1_700_000_000 + n))
    const answers = await talk(
      url,
      events.map((each) => ["EVENT", each]),
      events.length,
    )
    expect(answers.filter((answer) => answer[2] === true)).toHaveLength(50)
    const done = backUp(join(dir, "relay.db"))
    expect(done.stderr).toBe("")
    const copy = done.stdout.trim()
    expect(statSync(copy).mode & 0o077).toBe(0)
    await relay.kill("SIGKILL")

    writeFileSync(join(dir, "restored.db"), gunzipSync(readFileSync(copy)))
    const restored = startCli(["relay", "serve", "--port", "0", "--db", join(dir, "restored.db")])
    const [again] = await restored.line(/ws:\S+/)
    const told = await talk(again, [["REQ", "s", { authors: [events[0]?.pubkey], limit: 500 }]], 51)
    expect(told.filter(([verb]) => verb === "EVENT")).toHaveLength(50)
    await restored.kill("SIGTERM")
    expect(readdirSync(join(dir, "copies")).filter((name) => name.includes("part"))).toEqual([])
  })

  it("keeps the newest only, and touches nothing else in the folder", () => {
    execFileSync(process.execPath, [
      "-e",
      `new (require("better-sqlite3"))(process.argv[1]).exec("CREATE TABLE t (x)")`,
      join(dir, "relay.db"),
    ])
    mkdirSync(join(dir, "copies"))
    for (const name of ["relay-20250101T000000Z.db.gz", "relay-20250102T000000Z.db.gz", "mine.txt"])
      writeFileSync(join(dir, "copies", name), "")
    expect(backUp(join(dir, "relay.db"), "2").status).toBe(0)
    expect(readdirSync(join(dir, "copies")).toSorted()).toEqual([
      "mine.txt",
      "relay-20250102T000000Z.db.gz",
      expect.stringMatching(/^relay-20[2-9].*\.db\.gz$/),
    ])
  })

  it("fails with a reason where there is no database, or one that is not sound, and keeps what it has", () => {
    expect(backUp(join(dir, "none.db"))).toMatchObject({ status: 1, stderr: expect.stringContaining("no database") })
    writeFileSync(join(dir, "broken.db"), "this is no database at all, but long enough to look at".repeat(100))
    expect(backUp(join(dir, "broken.db")).status).not.toBe(0)
    expect(readdirSync(join(dir, "copies"))).toEqual([])
  })
})

describe("strfry's backup", () => {
  const backUp = (command: string, keep = "14") =>
    spawnSync(infra("strfry/backup.sh"), [join(dir, "copies")], {
      encoding: "utf8",
      env: { ...process.env, EXPORT: command, KEEP: keep },
    })

  it("holds the exported lines", () => {
    writeFileSync(join(dir, "events.jsonl"), '{"id":"a"}\n{"id":"b"}\n')
    const done = backUp(`cat ${join(dir, "events.jsonl")}`)
    expect(done.stderr).toBe("")
    expect(gunzipSync(readFileSync(done.stdout.trim())).toString()).toBe('{"id":"a"}\n{"id":"b"}\n')
  })

  it("an export that fails or gives nothing takes no old one's place", () => {
    expect(backUp("true")).toMatchObject({ status: 1, stderr: expect.stringContaining("nothing") })
    expect(backUp("false").status).toBe(1)
    expect(readdirSync(join(dir, "copies"))).toEqual([])
  })

  it("keeps the newest only", () => {
    writeFileSync(join(dir, "events.jsonl"), "{}\n")
    expect(backUp("true").status).toBe(1)
    for (const day of ["01", "02", "03"]) writeFileSync(join(dir, "copies", `strfry-202501${day}T000000Z.jsonl.gz`), "")
    expect(backUp(`cat ${join(dir, "events.jsonl")}`, "2").status).toBe(0)
    expect(readdirSync(join(dir, "copies")).toSorted()).toEqual([
      "strfry-20250103T000000Z.jsonl.gz",
      expect.stringMatching(/^strfry-20[2-9]/),
    ])
  })
})

/** Says all of it and resolves with the first so many answers. */
const talk = (url: string, messages: readonly unknown[], count: number): Promise<readonly (readonly unknown[])[]> =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(url)
    const heard: (readonly unknown[])[] = []
    socket.on("error", reject)
    socket.on("open", () => messages.forEach((message) => socket.send(JSON.stringify(message))))
    socket.on("message", (data: Buffer) => {
      heard.push(JSON.parse(data.toString()) as readonly unknown[])
      if (heard.length < count) return
      socket.close()
      resolve(heard)
    })
  })
