/** Journey 1, the first five minutes, as a new user types it: real processes, a home of its own. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, it, vi } from "vitest"
import { startCli, temporaryHome, type CliProcess } from "../support/process.ts"
import { slowGit as slowGitIn } from "../support/slow-git.ts"

// Many processes on a busy machine; nothing here waits a fixed time.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 })

const homes: string[] = []
const running: CliProcess[] = []

const newHome = (limits: Record<string, number> = {}): string => {
  const home = temporaryHome()
  homes.push(home)
  writeFileSync(join(home, "config.json"), JSON.stringify({ limits: { instanceWaitSeconds: 0.2, ...limits } }))
  return home
}

const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}): CliProcess => {
  const cli = startCli(args, { env })
  running.push(cli)
  return cli
}

const ended = async (cli: CliProcess): Promise<{ code: number | null; stdout: string; stderr: string }> => {
  const { code } = await cli.exited
  return { code, stdout: cli.stdout(), stderr: cli.stderr() }
}

const start = (home: string, env: NodeJS.ProcessEnv = {}): CliProcess =>
  run(["start", "--role", "timmy", "--relay-port", "0", "--home", home], env)

const dispatch = (home: string, ...args: string[]) => ended(run(["dispatch", ...args, "--home", home]))

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const slowGit = (): ReturnType<typeof slowGitIn> => {
  const folder = mkdtempSync(join(tmpdir(), "wizardly-git-"))
  homes.push(folder)
  return slowGitIn(folder)
}

/** The states by which a command went, as `dispatch --json` and `commands list --json` tell them. */
const states = async (home: string): Promise<readonly string[]> => {
  const { stdout } = await ended(run(["commands", "list", "--json", "--home", home]))
  return (JSON.parse(stdout) as { state: string }[]).map(({ state }) => state)
}

const until = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 50))
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((cli) => cli.kill("SIGKILL")))
  for (const home of homes.splice(0)) rmSync(home, { recursive: true, force: true })
})

describe("the demo", () => {
  it("shows the five commands to their ends, exits 0 and leaves nothing behind", async () => {
    const folder = newHome()
    const cli = run(["demo"], { TMPDIR: folder, HOME: folder, XDG_DATA_HOME: "" })
    const { code, stdout } = await ended(cli)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^relay +ws:\/\/127\.0\.0\.1:\d+ is up/m)
    for (const name of ["allegro", "claude", "kimi", "timmy"])
      expect(stdout).toMatch(new RegExp(`^${name} +ready`, "m"))
    const commits = stdout.match(/^@.*artifact-reported +[0-9a-f]{12} +\d+$/gm) ?? []
    const answers = stdout.match(/^@.*artifact-reported +\(an answer\) +\d+$/gm) ?? []
    expect([commits.length, answers.length]).toEqual([3, 5])
    expect(stdout.trimEnd().split("\n").slice(-2).join("\n")).toMatch(/runtime start --role timmy[^]*runtime dispatch/)
    expect(readdirSync(folder)).toEqual(["config.json"])
    expect(isAlive(cli.pid)).toBe(false)
  })

  it("leaves nothing behind when it is interrupted half-way", async () => {
    const folder = newHome()
    const cli = run(["demo"], { TMPDIR: folder, HOME: folder, XDG_DATA_HOME: "" })
    await cli.line(/^ +claude +working/)
    const { code } = await cli.kill("SIGINT")
    expect(code).toBe(130)
    expect(readdirSync(folder)).toEqual(["config.json"])
  })
})

describe("the first start", () => {
  it("says what it made and what to type, and that works at once", async () => {
    const home = newHome()
    const cli = start(home)
    const [tried] = await cli.line(/^Try: .*$/)
    const lines = cli.stdout().split("\n")
    expect(lines[0]).toMatch(/^timmy +npub1\w{58} {2}ready \(executor: note; no model attached\)$/)
    expect(lines[1]).toMatch(/^relay +ws:\/\/127\.0\.0\.1:\d+ {2}embedded$/)
    expect(lines[2]).toMatch(/^council +npub1\w{58} {2}\(signs who may command; kept here, back it up\)$/)
    expect(lines[3]).toMatch(/^operator +npub1\w{58} {2}\(made for you; bring your own instead: --operator npub1…\)$/)
    expect(tried).toBe(`Try:  runtime dispatch "@timmy status check" --wait --home ${home}`)

    const text = await dispatch(home, "@timmy status check", "--wait")
    expect(text).toMatchObject({ code: 0, stdout: expect.stringMatching(/^timmy: idle, 0 waiting/) })
    expect(text.stderr.match(/received|acknowledged|working|artifact-reported/g)).toEqual([
      "received",
      "acknowledged",
      "working",
      "artifact-reported",
    ])

    const json = await dispatch(home, "@timmy write a line", "--wait", "--json")
    const said = json.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { status?: string; commit?: string })
    expect(json).toMatchObject({ code: 0, stderr: "" })
    expect(said.flatMap(({ status }) => status ?? []).at(-1)).toBe("artifact-reported")
    expect(said.flatMap(({ commit }) => commit ?? [])).toEqual([expect.stringMatching(/^[0-9a-f]{40}$/)])
    expect(await cli.kill("SIGTERM")).toEqual({ code: 0, signal: null })
  })

  it("says first of all that git is missing and how to get it, and ends", async () => {
    const home = newHome()
    const { code, stdout, stderr } = await ended(start(home, { PATH: join(home, "nothing") }))
    expect(code).toBe(1)
    expect(stdout).toBe("")
    expect(stderr.split("\n")[0]).toMatch(/git 2\.\d+ or newer is needed .*install it/)
  })

  it("is not disturbed by a second one, which says who holds the home, since when, and what to do", async () => {
    const home = newHome()
    const cli = start(home)
    await cli.line(/^Try:/)
    const second = await ended(start(home))
    expect(second.code).toBe(1)
    expect(second.stdout).toBe("")
    expect(second.stderr).toMatch(
      new RegExp(`in use by process ${cli.pid} since 20\\d\\d-\\S+Z: stop it \\(kill ${cli.pid}\\), or .*--home`),
    )
    expect((await dispatch(home, "@timmy status check", "--wait")).code).toBe(0)
  })
})

describe("Ctrl-C with work under way", () => {
  it("drains: says what it waits for, ends with 0 when that is done, and its receipts are out", async () => {
    const home = newHome()
    const git = slowGit()
    const cli = start(home, git.env)
    await cli.line(/^Try:/)
    writeFileSync(git.hold, "")
    const waiting = run(["dispatch", "@timmy write a line", "--wait", "--home", home])
    await until(() => existsSync(git.held))
    process.kill(cli.pid, "SIGINT")
    await cli.line(/^stopping: waiting up to 30 s for @timmy write a line \([0-9a-f]{8}\); again to stop at once$/)
    rmSync(git.hold)
    expect(await cli.exited).toEqual({ code: 0, signal: null })
    expect(await ended(waiting)).toMatchObject({ code: 0, stdout: expect.stringMatching(/^commit [0-9a-f]{40}/m) })
    expect(await states(home)).toEqual(["artifact-reported"])
  })

  it("twice stops at once, and the next start brings the command to its end", async () => {
    const home = newHome({ retryMsMin: 50 })
    const git = slowGit()
    const cli = start(home, git.env)
    await cli.line(/^Try:/)
    writeFileSync(git.hold, "")
    expect((await dispatch(home, "@timmy write a line")).code).toBe(0)
    await until(() => existsSync(git.held))
    process.kill(cli.pid, "SIGINT")
    await cli.line(/^stopping: /)
    expect(await cli.kill("SIGINT")).toEqual({ code: 130, signal: null })
    expect(cli.stderr()).toMatch(/taken up at the next start/)
    expect(await states(home)).not.toContain("artifact-reported")

    rmSync(git.hold)
    const next = start(home)
    await next.line(/^timmy .* ready/)
    await until(async () => (await states(home)).every((state) => state === "artifact-reported"))
    expect(await states(home)).toEqual(["artifact-reported"])
    expect(await next.kill("SIGTERM")).toEqual({ code: 0, signal: null })
  })
})

describe("dispatch", () => {
  it("without a running runtime keeps the command in outgoing/, says so, and the next start does it", async () => {
    const home = newHome()
    const cli = start(home)
    await cli.line(/^Try:/)
    await cli.kill("SIGTERM")

    const kept = await dispatch(home, "@timmy status check")
    expect(kept.code).toBe(0)
    expect(kept.stderr).toMatch(/no relay can be reached .*outgoing.*next start/)
    expect(readdirSync(join(home, "outgoing"))).toEqual([expect.stringMatching(/\.json$/)])
    expect((await dispatch(home, "@timmy help", "--wait")).code).toBe(5)

    const next = start(home)
    await next.line(/^Try:/)
    await until(() => readdirSync(join(home, "outgoing")).length === 0)
    await until(async () => (await states(home)).filter((state) => state === "artifact-reported").length === 2)
    expect(await states(home)).toEqual(["artifact-reported", "artifact-reported"])
  })

  it("keeps its exit codes: 2 usage, 3 not found, 4 not allowed, 6 ended badly", async () => {
    const home = newHome()
    const cli = start(home)
    await cli.line(/^Try:/)
    const codes = await Promise.all([
      dispatch(home, "status check"),
      dispatch(home, "@timmy"),
      dispatch(home, "@timmy work", "--deadline", "yesterday"),
      dispatch(home, "@timmy work", "--deadline", "2020-01-01T00:00:00Z"),
      dispatch(home, "@timmy work", "--priority", "asap"),
      dispatch(home, "@nobody status check"),
      dispatch(home, "@timmy status check", "--key", join(home, "no-such-key")),
      dispatch(home, "@timmy show 00000000", "--wait"),
    ])
    expect(codes.map(({ code }) => code)).toEqual([2, 2, 2, 2, 2, 3, 4, 6])
    expect(codes[5]?.stderr).toMatch(/@timmy/)
    expect(codes[6]?.stderr).toMatch(/--key FILE/)
    expect(codes[7]?.stderr).toMatch(/failed: no command begins with 00000000/)
    for (const { stderr } of codes) expect(stderr).not.toMatch(/\n {4}at /)
  })

  it("changes a setting that outlives the process: heartbeat faster", async () => {
    const home = newHome()
    const cli = start(home)
    await cli.line(/^Try:/)
    expect((await dispatch(home, "@timmy heartbeat faster", "--wait")).stdout).toMatch(/every 150 s, was 300 s/)
    await cli.kill("SIGTERM")
    const next = start(home)
    await next.line(/^Try:/)
    expect((await dispatch(home, "@timmy status check", "--wait")).stdout).toMatch(/heartbeat every 150 s/)
  })
})
