/** The wizards' own verbs as commands of the CLI, against a real running process. */
import { rmSync } from "node:fs"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { startCli, temporaryHome, type CliProcess } from "../support/process.ts"

// Many processes on a busy machine; nothing here waits a fixed time.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 })

let home: string
let runtime: CliProcess

beforeEach(async () => {
  home = temporaryHome()
  runtime = startCli(["start", "--role", "timmy", "--role", "claude", "--home", home, "--relay-port", "0"])
  await runtime.line(/runtime dispatch/)
})

afterEach(async () => {
  await runtime.kill("SIGTERM")
  rmSync(home, { recursive: true, force: true })
})

const run = async (...args: readonly string[]) => {
  const process = startCli([...args, "--home", home])
  const { code } = await process.exited
  return { code, stdout: process.stdout().trim(), stderr: process.stderr().trim() }
}

const commands = async () =>
  JSON.parse((await run("commands", "list", "--json")).stdout) as { id: string; state: string; body: string }[]

describe("the verbs of the command line", () => {
  it("pauses, says why a command waits, cancels it by the beginning of its id, shows it, and goes on", async () => {
    expect(await run("pause", "timmy")).toMatchObject({ code: 0, stdout: expect.stringContaining("paused") })
    expect(await run("dispatch", "@timmy write this down")).toMatchObject({ code: 0 })
    await expect.poll(async () => (await commands())[0]?.state, { timeout: 60_000 }).toBe("acknowledged")
    const id = (await commands())[0]?.id.slice(0, 8) ?? ""
    expect((await run("why", id)).stdout).toContain("I am paused")
    expect(await run("cancel", id)).toMatchObject({ code: 0, stdout: expect.stringContaining("cancelled") })
    expect((await commands()).find((command) => command.id.startsWith(id))?.state).toBe("cancelled")
    expect((await run("show", id)).stdout).toContain("is cancelled")
    expect((await run("status", "--all")).stdout).toMatch(/claude: idle[^]*timmy: paused|timmy: paused[^]*claude: idle/)
    expect(await run("resume", "--all")).toMatchObject({ code: 0 })
    expect((await run("status", "timmy")).stdout).toContain("timmy: idle")
    expect((await run("stop", "--all-work")).stdout).toMatch(/claude: stopped 0[^]*timmy: stopped 0|timmy[^]*claude/)
    expect((await run("queue", "timmy")).stdout).toContain("paused")
    expect((await run("heartbeat", "timmy", "every", "10m")).stdout).toContain("600 s")
  })

  it("says what to do where it is given what it cannot use", async () => {
    for (const [args, code, told] of [
      [["cancel", "the milk"], 2, "is no id"],
      [["cancel", "0123456789"], 3, "--wizard NAME"],
      [["pause"], 2, "name the wizards, or say --all"],
      [["stop", "timmy", "--all-work"], 2, "--all-work"],
      [["heartbeat", "timmy", "sometimes"], 2, "heartbeat faster|slower|default|every"],
      [["pause", "merlin"], 3, "nobody is called @merlin"],
    ] as const) {
      const ran = await run(...args)
      expect([ran.code, ran.stdout, ran.stderr]).toEqual([code, "", expect.stringContaining(told)])
    }
  })
})
