/** A person looks after relays while wizards run: real processes, relays that are told how to behave. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { tagValue, type NostrEvent } from "../../src/protocol/event.ts"
import { readReceipt } from "../../src/protocol/receipt.ts"
import { startCli, temporaryHome, type CliProcess } from "../support/process.ts"
import { scriptedRelay, type ScriptedRelay, type Script } from "../support/scripted-relay.ts"

// Many processes on a busy machine; nothing here waits a fixed time.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 })

const running: CliProcess[] = []
const relays: ScriptedRelay[] = []
let home: string

beforeEach(() => {
  home = join(temporaryHome(), "home")
  mkdirSync(home)
  const limits = { instanceWaitSeconds: 0.2, historyWaitSecondsMax: 2, reconnectMsMin: 50, reconnectMsMax: 500 }
  writeFileSync(join(home, "config.json"), JSON.stringify({ limits }))
})
afterEach(async () => {
  await Promise.all(running.splice(0).map((cli) => cli.kill("SIGKILL")))
  for (const relay of relays.splice(0)) await relay.close()
  rmSync(join(home, ".."), { recursive: true, force: true })
})

const relayOf = async (script: Script = {}): Promise<ScriptedRelay> => {
  const relay = await scriptedRelay(script)
  relays.push(relay)
  return relay
}

const run = (...args: string[]): CliProcess => {
  const cli = startCli([...args, "--home", home])
  running.push(cli)
  return cli
}

const ended = async (...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> => {
  const cli = run(...args)
  const { code } = await cli.exited
  return { code, stdout: cli.stdout(), stderr: cli.stderr() }
}

const started = async (...urls: string[]): Promise<CliProcess> => {
  const cli = run("start", "--role", "timmy", ...urls.flatMap((url) => ["--relay", url]))
  await cli.line(/^Try/)
  return cli
}

const until = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 50))
}

const isReceipt = (event: NostrEvent): boolean => tagValue(event, "t") === "dispatch-receipt"

const toldAt = (relay: ScriptedRelay): readonly string[] =>
  relay.stored.flatMap((event) => readReceipt(event)?.status ?? [])

describe("runtime outbox", () => {
  it("lists what a relay refused, sends it again as it was signed, and drops it", async () => {
    const refusing: Script = {
      onEvent: (event) =>
        isReceipt(event) ? [["OK", event.id, false, "invalid: made 90000 seconds ago, too old"]] : undefined,
    }
    const relay = await relayOf(refusing)
    const cli = await started(relay.url)
    await ended("dispatch", "@timmy status check")
    const dead = async () =>
      (JSON.parse((await ended("outbox", "list", "--json")).stdout) as { dead: { event: string; effect: string }[] })
        .dead
    await until(async () => (await dead()).length >= 4)
    const [first, second, ...rest] = (await dead()).map(({ event }) => event)
    const text = await ended("outbox", "list")
    expect(text.code).toBe(0)
    expect(text.stdout).toContain(`${relay.url}: invalid: made 90000 seconds ago, too old (tried 1×)`)

    relay.script = {}
    const sent = await ended("outbox", "resend", (first as string).slice(0, 12))
    expect(sent).toMatchObject({ code: 0, stdout: "1 dead letter on the way again, as signed before\n" })
    await until(() => relay.stored.some(({ id }) => id === first))
    expect(await ended("outbox", "drop", second as string)).toMatchObject({
      code: 0,
      stdout: "1 dead letter dropped\n",
    })
    expect((await ended("outbox", "resend", first as string)).code).toBe(3)

    await cli.kill("SIGTERM")
    expect((await dead()).map(({ event }) => event)).toEqual(rest)
    expect(await ended("outbox", "resend", "--all")).toMatchObject({
      code: 3,
      stderr: expect.stringContaining("runtime start"),
    })
    await started(relay.url)
    expect((await ended("outbox", "resend", "--all")).code).toBe(0)
    await until(() => rest.every((event) => relay.stored.some(({ id }) => id === event)))
    expect(toldAt(relay).length).toBe(rest.length + 1)
    expect((await ended("outbox", "list")).stdout).toBe("no dead letters\n")
  })

  it("tells how much waits for a relay that is away", async () => {
    const [here, away] = [await relayOf(), await relayOf()]
    const cli = await started(here.url, away.url)
    await away.close()
    await ended("dispatch", "@timmy status check", "--wait", "--relay", here.url)
    const { waiting } = JSON.parse((await ended("outbox", "list", "--json")).stdout) as {
      waiting: { wizard: string; relay: string; events: number }[]
    }
    expect(waiting).toEqual([{ wizard: "timmy", relay: away.url, events: expect.any(Number) }])
    expect(waiting[0]?.events).toBeGreaterThanOrEqual(4)
    await cli.kill("SIGTERM")
    expect((await ended("outbox", "list")).stdout).toContain(`timmy at ${away.url}: ${waiting[0]?.events} wait`)
    relays.pop()
  })
})
