/** Journey 4, a cloud box joins the council: two homes, one relay outside both, real processes. */
import { copyFileSync, cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { once } from "node:events"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { WebSocket } from "ws"
import { Kind } from "../../src/protocol/kinds.ts"
import { tagValue, type NostrEvent } from "../../src/protocol/event.ts"
import { startCli, temporaryHome, type CliProcess } from "../support/process.ts"

// Many processes on a busy machine; nothing here waits a fixed time.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 })

const running: CliProcess[] = []
let folder: string
let relay: string

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
  writeFileSync(
    join(dir, "config.json"),
    JSON.stringify({ limits: { instanceWaitSeconds: 1.5, historyWaitSecondsMax: 3, retryMsMin: 50 } }),
  )
  return dir
}

const start = (dir: string, ...args: string[]): CliProcess => run("start", "--home", dir, "--relay", relay, ...args)

/** Everything that the relay holds of these kinds. */
const held = async (...kinds: number[]): Promise<NostrEvent[]> => {
  const socket = new WebSocket(relay)
  await once(socket, "open")
  const events: NostrEvent[] = []
  socket.send(JSON.stringify(["REQ", "all", { kinds }]))
  for await (const [data] of on(socket)) {
    const [type, , event] = JSON.parse(String(data)) as [string, string, NostrEvent]
    if (type === "EOSE") break
    if (type === "EVENT") events.push(event)
  }
  socket.terminate()
  return events
}

async function* on(socket: WebSocket): AsyncGenerator<[Buffer]> {
  const frames: Buffer[] = []
  let wake = (): void => {}
  socket.on("message", (data: Buffer) => {
    frames.push(data)
    wake()
  })
  for (;;) {
    const next = frames.shift()
    if (next === undefined) await new Promise<void>((resolve) => (wake = resolve))
    else yield [next]
  }
}

const rosters = async (): Promise<number[]> =>
  (await held(Kind.record))
    .filter((event) => tagValue(event, "t") === "council-roster")
    .map((event) => Number(tagValue(event, "n")))
    .sort((a, b) => a - b)

/** Until the relay holds what is wanted. */
const until = async (isSo: () => Promise<boolean>): Promise<void> => {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 50))
}

beforeEach(async () => {
  folder = temporaryHome()
  const served = run("relay", "serve", "--port", "0", "--db", join(folder, "relay.db"))
  relay = (await served.line(/^relay (ws:\S+)/))[1] as string
})

afterEach(async () => {
  await Promise.all(running.splice(0).map((cli) => cli.kill("SIGKILL")))
  rmSync(folder, { recursive: true, force: true })
})

const founded = async (dir: string, ...args: string[]): Promise<{ cli: CliProcess; council: string }> => {
  const cli = start(dir, "--role", "timmy", ...args)
  const [, council] = await cli.line(/^council +(npub1\w+)/)
  await cli.line(/^Try/)
  return { cli, council: council as string }
}

describe("a second home", () => {
  it("obeys nobody until the council admits its key, then answers with the others", async () => {
    const first = home("first")
    const { council } = await founded(first)
    const box = start(home("second"), "--role", "claude", "--council", council)
    const [, key] = await box.line(/^claude +(npub1\w+) +obeys nobody yet \(.*runtime admit claude \1\)$/)
    expect(box.stdout()).not.toMatch(/ready|Try/)

    const alone = await ended("dispatch", "@all status check", "--wait", "--home", first)
    expect(alone).toMatchObject({ code: 0, stderr: expect.not.stringContaining("claude") })
    const admitted = await ended("admit", "claude", key as string, "--home", first)
    expect(admitted).toMatchObject({ code: 0, stdout: expect.stringContaining("roster version 2") })
    await box.line(/^claude .* ready/)
    const both = await ended("dispatch", "@all status check", "--wait", "--home", first)
    expect(both.code).toBe(0)
    expect(both.stdout.match(/^(timmy|claude): idle/gm)?.sort()).toEqual(["claude: idle", "timmy: idle"])
    expect(await rosters()).toEqual([1, 2])
  })

  it("cannot join a council whose secret is elsewhere without a relay", async () => {
    const { council } = await founded(home("first"))
    const refused = await ended("start", "--role", "claude", "--council", council, "--home", home("second"))
    expect(refused.code).toBe(2)
    expect(refused.stderr).toMatch(/add --relay/)
  })

  it("with the same key says so and does nothing until a person claims it", async () => {
    const first = home("first")
    const { cli, council } = await founded(first)
    const second = home("second")
    mkdirSync(join(second, "keys"), { mode: 0o700 })
    copyFileSync(join(first, "keys", "timmy_key"), join(second, "keys", "timmy_key"))
    const twin = start(second, "--role", "timmy", "--council", council)
    await twin.line(/^timmy .* does nothing: its key is alive elsewhere .*runtime instance claim/)

    expect((await ended("dispatch", "@timmy write a line", "--wait", "--home", first)).code).toBe(0)
    const none = await ended("commands", "list", "--home", second)
    expect(none.stdout).toBe("none\n")

    const before = (await held(Kind.note)).length
    expect((await ended("instance", "claim", "--home", second)).code).toBe(0)
    await twin.line(/^timmy .* ready/)
    // Two that work say so once, and do not answer each other for ever.
    await cli.line(/timmy: another instance of its key is at work as well/)
    await ended("ps", "--home", second)
    expect((await held(Kind.note)).length - before).toBeLessThan(6)
  })
})

describe("the home that holds the council's secret", () => {
  it("writes the next version itself for a new --role and a new --operator", async () => {
    const first = home("first")
    const { cli } = await founded(first)
    await cli.kill("SIGTERM")
    const person = (await ended("keys", "generate", "person", "--home", home("phone"))).stdout.trim()
    const next = start(first, "--role", "timmy", "--role", "kimi", "--operator", person)
    await next.line(/^kimi .* ready/)
    await next.line(/^timmy .* ready/)
    await until(async () => (await rosters()).length === 2)
    expect(await rosters()).toEqual([1, 2])
    await next.kill("SIGTERM")
    const again = start(first, "--role", "timmy", "--role", "kimi", "--operator", person)
    await again.line(/^Try/)
    expect(await rosters()).toEqual([1, 2])
  })

  it("reads the chain back where its database is gone, and forks nothing, makes no operator", async () => {
    const first = home("first")
    const person = (await ended("keys", "generate", "person", "--home", home("phone"))).stdout.trim()
    const { cli } = await founded(first, "--operator", person)
    await until(async () => (await rosters()).length === 1)
    await cli.kill("SIGTERM")
    for (const file of readdirSync(first).filter((name) => name.startsWith("runtime.db"))) rmSync(join(first, file))

    const next = start(first, "--role", "timmy", "--role", "kimi")
    await next.line(/^Try/)
    await until(async () => (await rosters()).length === 2)
    expect(await rosters()).toEqual([1, 2])
    expect(readdirSync(join(first, "keys")).sort()).toEqual(["council_key", "kimi_key", "timmy_key"])
  })

  it("restored from an old copy, goes on from the version that the relay holds", async () => {
    const first = home("first")
    const { cli } = await founded(first)
    await cli.kill("SIGTERM")
    const copy = join(folder, "copy")
    cpSync(first, copy, { recursive: true, filter: (path) => !path.endsWith("lock.db") && !path.endsWith(".sock") })
    const later = start(first, "--role", "timmy", "--role", "kimi")
    await later.line(/^kimi .* ready/)
    await until(async () => (await rosters()).length === 2)
    await later.kill("SIGTERM")

    const old = start(copy, "--role", "timmy", "--role", "claude")
    await old.line(/^claude .* ready/)
    await until(async () => (await rosters()).length === 3)
    expect(await rosters()).toEqual([1, 2, 3])
  })
})
