/** A home that lost its database gets its commands back from the relay: real processes, nothing runs again (P25). */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeEach, expect, it, vi } from "vitest"
import { startCli, temporaryHome, type CliProcess } from "../support/process.ts"

vi.setConfig({ testTimeout: 240_000, hookTimeout: 60_000 })

const running: CliProcess[] = []
let folder: string

const run = (...args: string[]): CliProcess => {
  const cli = startCli(args)
  running.push(cli)
  return cli
}
const ended = async (...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> => {
  const cli = run(...args)
  const { code } = await cli.exited
  return { code, stdout: cli.stdout(), stderr: cli.stderr() }
}

beforeEach(() => {
  folder = temporaryHome()
})
afterEach(async () => {
  await Promise.all(running.splice(0).map((cli) => cli.kill("SIGKILL")))
  rmSync(folder, { recursive: true, force: true })
})

interface Row {
  readonly id: string
  readonly wizard: string
  readonly state: string
  readonly body: string
  readonly result: string | null
  readonly tip: string | null
}

it("commands, their states and results come back; nothing is started, and a start runs nothing again", async () => {
  const served = run("relay", "serve", "--port", "0", "--db", join(folder, "relay.db"))
  const relay = (await served.line(/^relay (ws:\S+)/))[1] as string
  const dir = join(folder, "home")
  mkdirSync(dir)
  writeFileSync(join(dir, "config.json"), JSON.stringify({ limits: { instanceWaitSeconds: 1.5 } }))
  const start = ["start", "--home", dir, "--role", "timmy", "--role", "claude", "--relay", relay]
  const first = run(...start)
  await first.line(/^Try/)
  const send = (text: string): Promise<{ code: number | null }> => ended("dispatch", text, "--wait", "--home", dir)
  expect((await send("@claude write a line")).code).toBe(0)
  expect((await send("@all status check")).code).toBe(0)
  expect((await send("@timmy pause")).code).toBe(0)
  // It waits, so it has not ended when the database is lost.
  expect((await ended("dispatch", "@timmy write another", "--home", dir)).code).toBe(0)
  const rows = async (): Promise<readonly Row[]> =>
    (JSON.parse((await ended("commands", "list", "--json", "--home", dir)).stdout) as Row[]).toSorted((a, b) =>
      a.id + a.wizard < b.id + b.wizard ? -1 : 1,
    )
  while (!(await rows()).some(({ state }) => state === "acknowledged"))
    await new Promise((resolve) => setTimeout(resolve, 50))
  await first.kill("SIGTERM")
  const before = await rows()
  expect(before.map(({ state }) => state).toSorted()).toEqual([
    "acknowledged",
    "artifact-reported",
    "artifact-reported",
    "artifact-reported",
    "artifact-reported",
  ])
  expect(await ended("rebuild", "--from", relay, "--home", dir)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("has commands already"),
  })

  for (const file of readdirSync(dir).filter((name) => name.startsWith("runtime.db"))) rmSync(join(dir, file))
  expect((await ended("rebuild", "--from", "ws://127.0.0.1:1", "--home", dir)).code).toBe(5)
  const rebuilt = await ended("rebuild", "--from", relay, "--home", dir)
  expect(rebuilt).toMatchObject({ code: 0, stderr: "" })
  expect(rebuilt.stdout).toMatch(/^5 commands of timmy, claude, by 18 receipts; 4 artifacts$/m)
  expect(rebuilt.stdout).toMatch(/^1 had not ended and wait for you/m)
  const after = await rows()
  const told = ({ id, wizard, body, result }: Row) => {
    const { text, artifact } = JSON.parse(result ?? "{}") as { text?: string; artifact?: { commit: string } }
    return { id, wizard, body, text, commit: artifact?.commit }
  }
  expect(after.map(told)).toEqual(before.map(told))
  expect(after.map(({ state }) => (state === "interrupted" ? "acknowledged" : state))).toEqual(
    before.map(({ state }) => state),
  )

  const second = run(...start)
  await second.line(/^Try/)
  expect((await ended("dispatch", "@claude status check", "--wait", "--home", dir)).code).toBe(0)
  const now = await rows()
  expect(now).toHaveLength(6)
  for (const row of after) expect(now).toContainEqual(row)
  // The chain goes on from where the relay's copy ended.
  const held = after.find(({ state }) => state === "interrupted") as Row
  expect((await ended("verify", held.id, "--home", dir)).stdout).toMatch(
    /received → acknowledged → interrupted \(3, one chain\)/,
  )
})
