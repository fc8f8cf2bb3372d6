/** A person looks after relays while wizards run: real processes, relays that are told how to behave. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { decode } from "nostr-tools/nip19"
import { finalizeEvent } from "nostr-tools/pure"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { limits } from "../../src/limits.ts"
import { tagValue, type NostrEvent } from "../../src/protocol/event.ts"
import { readReceipt } from "../../src/protocol/receipt.ts"
import { nowSeconds, systemClock } from "../../src/services/clock.ts"
import { openStore, type StoreShape } from "../../src/store/store.ts"
import type { Pinged } from "../../src/runtime/ping.ts"
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

/** Of no home. */
const startedAlone = async (...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> => {
  const cli = startCli(args)
  running.push(cli)
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

const operatorSecret = (): Uint8Array =>
  decode(readFileSync(join(home, "keys", "operator_key"), "utf8").trim()).data as Uint8Array

const inStore = <A>(read: (store: StoreShape) => A): A => {
  const store = openStore(join(home, "runtime.db"), { readonly: true })
  try {
    return read(store)
  } finally {
    store.database.close()
  }
}

const isReceipt = (event: NostrEvent): boolean => tagValue(event, "t") === "dispatch-receipt"

const isRoster = (event: NostrEvent): boolean => tagValue(event, "t") === "council-roster"

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

interface Listed {
  readonly url: string
  readonly state: string
  readonly latencyMs: number | null
  readonly eventsIn: number
  readonly eventsOut: number
  readonly backlog: number
}

const listed = async (): Promise<readonly Listed[]> =>
  (JSON.parse((await ended("relays", "list", "--json")).stdout) as { relays: Listed[] }).relays

/** What the operator of this home has to say, at a relay of the test's choice. */
const ask = (relay: ScriptedRelay, text: string, ...args: string[]) =>
  ended("dispatch", text, "--relay", relay.url, ...args)

describe("runtime relays", () => {
  it("adds a relay to the running process: it is read, written to, and there after a restart", async () => {
    const [first, second] = [await relayOf(), await relayOf()]
    const cli = await started(first.url)
    expect((await ask(first, "@timmy status check", "--wait")).code).toBe(0)
    expect(await ended("relays", "add", second.url)).toMatchObject({
      code: 0,
      stdout: `${second.url}: added, now and for later starts\n`,
    })
    // P25: its history ends 15 minutes before it was first known.
    const timmy = first.stored.find(isReceipt)?.pubkey as string
    const floor = inStore((store) => store.cursor.floor(timmy, second.url)) ?? 0
    expect(Math.abs(nowSeconds(systemClock) - limits.firstReadSecondsMax - floor)).toBeLessThan(60)
    const asked = await ask(second, "@timmy status check", "--wait")
    expect({ code: asked.code, stdout: asked.stdout }).toEqual({
      code: 0,
      stdout: expect.stringContaining("timmy: idle"),
    })
    await until(() => toldAt(first).filter((status) => status === "artifact-reported").length === 2)
    // The first one had ended before that relay came.
    expect(toldAt(second).filter((status) => status === "artifact-reported").length).toBe(1)
    const [one, two] = await listed()
    expect([one, two]).toMatchObject([
      { url: first.url, state: "live", backlog: 0, latencyMs: expect.any(Number) },
      { url: second.url, state: "live", backlog: 0, latencyMs: expect.any(Number) },
    ])
    expect(two?.eventsOut).toBeGreaterThan(0)
    expect(two?.eventsIn).toBeGreaterThan(0)

    expect(await ended("relays", "add", `${second.url}/`)).toMatchObject({ code: 2, stdout: "" })
    await cli.kill("SIGTERM")
    expect((await ended("relays", "list")).stdout).toContain(second.url)
    await started(first.url)
    expect((await ask(second, "@timmy queue", "--wait")).code).toBe(0)
  })

  it("P25: what a new relay holds of old is no work, and what it says has ended is not done again", async () => {
    const first = await relayOf()
    const cli = await started(first.url)
    expect((await ask(first, "@timmy write a line", "--wait")).code).toBe(0)
    // A second relay, with the first one's past; and a home that has lost its own.
    const second = await relayOf()
    second.stored.push(...first.stored.filter(({ kind }) => kind !== 0))
    const old = { kind: 30079, created_at: nowSeconds(systemClock) - 3600, tags: [["d", "old"]] }
    const past = finalizeEvent({ ...old, content: "@timmy write what is past" }, operatorSecret())
    second.stored.push(past)
    await cli.kill("SIGTERM")
    for (const file of ["runtime.db", "runtime.db-wal", "runtime.db-shm"]) rmSync(join(home, file), { force: true })
    const empty = await relayOf()
    empty.stored.push(...first.stored.filter(isRoster))
    await started(empty.url)
    expect((await ended("relays", "add", second.url)).code).toBe(0)
    expect((await ask(second, "@timmy status check", "--wait")).code).toBe(0)
    const commands = (await ended("commands", "list", "--json")).stdout
    expect(commands).toContain('"body":"status check"')
    expect(commands).not.toMatch(/write a line|write what is past/)
    expect(second.stored.filter(isReceipt).filter((event) => tagValue(event, "e") === past.id)).toEqual([])
    const ends = second.stored.filter((event) => readReceipt(event)?.status === "artifact-reported")
    expect(ends.length).toBe(2)
  })

  it("removes a relay: nothing waits for it any more, and it stays away where the next start names it", async () => {
    const [first, second] = [await relayOf(), await relayOf()]
    const cli = await started(first.url, second.url)
    await second.close()
    relays.pop()
    await ask(first, "@timmy status check", "--wait")
    await until(async () => (await listed()).some(({ url, backlog }) => url === second.url && backlog >= 4))
    expect(await ended("relays", "remove", second.url)).toMatchObject({ code: 0 })
    expect((await listed()).map(({ url, backlog }) => [url, backlog])).toEqual([[first.url, 0]])
    expect(await ended("outbox", "list", "--json")).toMatchObject({ stdout: '{"dead":[],"waiting":[]}\n' })
    const ps = await ended("ps")
    expect(ps.stdout).not.toContain(second.url)
    await cli.kill("SIGTERM")
    const again = await started(first.url, second.url)
    await again.line(/is not used: it was removed from this home/)
    expect((await listed()).map(({ url }) => url)).toEqual([first.url])
  })

  it("says what is wrong: no address, an unknown relay, the last one", async () => {
    const relay = await relayOf()
    await started(relay.url)
    expect(await ended("relays", "add", "relay.example")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("ws://"),
    })
    expect(await ended("relays", "remove", "wss://nowhere.example")).toMatchObject({
      code: 3,
      stderr: expect.stringContaining(relay.url),
    })
    expect(await ended("relays", "remove", relay.url)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("the last relay"),
    })
    expect((await listed()).map(({ url, state }) => [url, state])).toEqual([[relay.url, "live"]])
  })

  it("the embedded one stays, and others come beside it", async () => {
    const cli = run("start", "--role", "timmy", "--relay-port", "0")
    const [, embedded] = await cli.line(/^relay +(ws:\S+) +embedded/)
    await cli.line(/^Try/)
    const other = await relayOf()
    expect((await ended("relays", "add", other.url)).code).toBe(0)
    expect(await ended("relays", "remove", embedded as string)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("embedded"),
    })
    expect((await ask(other, "@timmy status check", "--wait")).code).toBe(0)
    expect((await ended("relays", "remove", other.url)).code).toBe(0)
    expect((await listed()).map(({ url }) => url)).toEqual([embedded])
  })
})

describe("runtime relays ping", () => {
  it("measures a relay that answers, whatever it answers, and reads what it says of itself", async () => {
    const cli = run("start", "--role", "timmy", "--relay-port", "0")
    const [, embedded] = await cli.line(/^relay +(ws:\S+) +embedded/)
    const own = JSON.parse((await startedAlone("relays", "ping", embedded as string, "--json")).stdout) as Pinged
    expect(own).toMatchObject({ url: embedded, answer: "EOSE", information: { limitation: expect.any(Object) } })
    expect(own.connectMs + own.answerMs).toBeLessThan(60_000)
    const strict = await relayOf({ auth: true })
    const asks = await startedAlone("relays", "ping", strict.url)
    expect(asks).toMatchObject({ code: 0, stdout: expect.stringContaining("CLOSED auth-required: who are you?") })
    expect(asks.stdout).toContain("it says nothing of itself")
  })

  it("nobody there: exit code 5", async () => {
    const gone = await relayOf()
    await gone.close()
    relays.pop()
    const { code, stdout, stderr } = await startedAlone("relays", "ping", gone.url)
    expect({ code, stdout }).toEqual({ code: 5, stdout: "" })
    expect(stderr).toContain(`${gone.url} cannot be reached`)
  })
})

describe("lists of relays", () => {
  it("none is published where nobody else reaches a relay; an operator's is read and kept", async () => {
    const relay = await relayOf()
    const cli = run("start", "--role", "timmy", "--relay", relay.url)
    await cli.line(/^reachable +from here only/)
    await cli.line(/^Try/)
    const tags = [
      ["r", "wss://relay.example"],
      ["r", "wss://127.0.0.1"],
    ]
    const list = finalizeEvent(
      { kind: 10002, created_at: nowSeconds(systemClock), tags, content: "" },
      operatorSecret(),
    )
    relay.give(list)
    const kept = (): string | undefined => inStore((store) => store.setting.get("relayList", list.pubkey))
    await until(() => kept() !== undefined)
    expect(JSON.parse(kept() as string)).toMatchObject({ id: list.id, write: ["wss://relay.example"] })
    expect(relay.stored.filter(({ kind, id }) => kind === 10002 && id !== list.id)).toEqual([])
  })

  it("each wizard publishes the public ones of its relays, the same list everywhere", async () => {
    const relay = await relayOf()
    const cli = await started(relay.url, "wss://relay.invalid.example")
    expect(cli.stdout()).not.toContain("reachable")
    const lists = () => relay.stored.filter(({ kind }) => kind === 10002)
    await until(() => lists().length === 1)
    expect(lists()[0]?.tags).toEqual([["r", "wss://relay.invalid.example"]])
    expect((await ended("relays", "remove", "wss://relay.invalid.example")).code).toBe(0)
    await until(() => lists().length === 2)
    expect(lists()[1]?.tags).toEqual([])
    expect(lists()[1]?.created_at).toBeGreaterThan(lists()[0]?.created_at ?? 0)
  })
})
