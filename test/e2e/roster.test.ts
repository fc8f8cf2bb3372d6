/** The roster's verbs with real processes: while a runtime runs and while none does, from a phone, and where they cannot. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
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
const home = (name: string): string => {
  const dir = join(folder, name)
  mkdirSync(dir)
  const limits = { instanceWaitSeconds: 1.5, historyWaitSecondsMax: 3, retryMsMin: 50, connectMsMax: 3000 }
  writeFileSync(join(dir, "config.json"), JSON.stringify({ limits }))
  return dir
}
const keyOf = async (name: string): Promise<string> =>
  (await ended("keys", "generate", name, "--home", join(folder, "keys"))).stdout.trim()

beforeEach(() => {
  folder = temporaryHome()
})
afterEach(async () => {
  await Promise.all(running.splice(0).map((cli) => cli.kill("SIGKILL")))
  rmSync(folder, { recursive: true, force: true })
})

describe("the roster's verbs, on the home that keeps the council's secret", () => {
  it("write the next version while it runs, from the phone, and at rest; what is at rest holds at the next start", async () => {
    const dir = home("first")
    const args = ["start", "--home", dir, "--role", "timmy", "--role", "claude", "--relay-port", "0"]
    const first = run(...args)
    await first.line(/^Try/)
    const person = await keyOf("person")

    const list = await ended("channels", "list", "--home", dir)
    expect(list.stdout).toMatch(/^#council-general \(public\): timmy, claude\n#workers \(public\): claude\n/)
    expect(list.stdout).toMatch(/#tempo-urgent \(private room\): npub1\w+$/m)

    const invited = await ended("invite", person, "workers", "--home", dir)
    expect(invited).toMatchObject({ code: 0, stdout: `${person} is in #workers now (roster version 2)\n` })
    const told = await ended("dispatch", `@timmy invite ${person} to #researchers`, "--wait", "--home", dir)
    expect(told).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("is in #researchers now (roster version 3)"),
    })
    expect((await ended("remove", person, "#nowhere", "--home", dir)).code).toBe(2)

    const dry = (text: string, ...more: string[]) => ended("dispatch", text, "--dry-run", "--home", dir, ...more)
    expect(await dry("@claude fix it")).toMatchObject({
      code: 0,
      stdout:
        "claude (worker) would take it as work, without approval [command: p tags that are wizards, else leading mentions]\n",
      stderr: "nothing was sent\n",
    })
    expect((await dry("@all status check")).stdout).toMatch(
      /^timmy \(local\) would take it as the verb status check.*\nclaude \(worker\) would take it as the verb/,
    )
    expect(await dry("@claude fix it", "--as", person)).toMatchObject({
      code: 4,
      stdout: expect.stringContaining(
        "would refuse it: members command in their channels: write it in #workers or #researchers",
      ),
    })
    const stranger = await dry("@claude fix it", "--as", await keyOf("stranger"), "--json")
    expect(JSON.parse(stranger.stdout)).toEqual([{ outcome: "ignore", reason: "stranger" }])
    const before = JSON.parse((await ended("commands", "list", "--json", "--home", dir)).stdout) as unknown[]
    expect(before).toHaveLength(1)

    await first.kill("SIGTERM")
    const added = await ended("operators", "add", person, "--label", "Ann", "--home", dir)
    expect(added).toMatchObject({
      code: 0,
      stdout: `${person} may command everything (roster version 4)\n`,
      stderr: "",
    })
    expect((await ended("operators", "list", "--home", dir)).stdout).toContain(`${person} Ann`)

    const second = run(...args)
    await second.line(/^Try/)
    const history = await ended("roster", "history", "--json", "--home", dir)
    const versions = JSON.parse(history.stdout) as { version: number; changes: string[] }[]
    expect(versions.map(({ version }) => version)).toEqual([1, 2, 3, 4])
    expect(versions.at(-1)?.changes).toEqual([`+ operator ${person} Ann`])
    expect((await ended("dispatch", "@timmy roster show", "--wait", "--home", dir)).stdout).toContain("version 4")
  })

  it("at rest read the roster from the relay first, and without one sign nothing", async () => {
    const served = run("relay", "serve", "--port", "0", "--db", join(folder, "relay.db"))
    const relay = (await served.line(/^relay (ws:\S+)/))[1] as string
    const dir = home("first")
    const first = run("start", "--home", dir, "--role", "timmy", "--relay", relay)
    const [, council = ""] = await first.line(/^council +(npub1\w+)/)
    await first.line(/^Try/)
    await first.kill("SIGTERM")

    const box = run("start", "--home", home("second"), "--role", "claude", "--relay", relay, "--council", council)
    const [, key = ""] = await box.line(/^claude +(npub1\w+) +obeys nobody yet/)
    const admitted = await ended("admit", "claude", key, "--home", dir)
    expect(admitted).toMatchObject({
      code: 0,
      stdout: "claude is admitted as worker, in #council-general, #workers (roster version 2)\n",
    })
    await box.line(/^claude .* ready/)

    const elsewhere = await ended("invite", key, "researchers", "--home", join(folder, "second"))
    expect(elsewhere).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/secret is not kept here: .* tell @timmy/),
    })

    await served.kill("SIGKILL")
    const alone = await ended("expel", "claude", key, "--home", dir)
    expect(alone).toMatchObject({ code: 5, stderr: expect.stringMatching(/cannot be reached.*could fork it/s) })
    expect((await ended("roster", "show", "--home", dir)).stdout).toMatch(/^version 2 /)
  })
})
