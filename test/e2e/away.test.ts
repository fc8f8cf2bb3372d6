/**
 * Away and back, as journeys 2, 3 and 5 tell it: the phone was off, the lid was closed, a relay was gone. Real processes:
 * a relay that stops and comes back with what it had, a wizard that is stopped in the middle of a task.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { generateSecretKey, getPublicKey } from "nostr-tools/pure"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { keyFile, npubOf, readOrCreateKey } from "../../src/identity/keys.ts"
import { commandTemplate, type CommandFields } from "../../src/protocol/command.ts"
import { tagValue, tagValues, type NostrEvent } from "../../src/protocol/event.ts"
import { readHeartbeat } from "../../src/protocol/heartbeat.ts"
import { checkChain, readReceipt, type Receipt } from "../../src/protocol/receipt.ts"
import { isEnd } from "../../src/protocol/status.ts"
import { homeOf } from "../../src/runtime/home.ts"
import { systemChance } from "../../src/services/chance.ts"
import { nowSeconds, sleep, systemClock } from "../../src/services/clock.ts"
import { openStore } from "../../src/store/store.ts"
import { connect, signed, type TestClient } from "../relay/client.ts"
import { startCli, temporaryHome, type CliProcess } from "../support/process.ts"
import { slowGit } from "../support/slow-git.ts"

// Many processes on a busy machine; nothing here waits a fixed time, but for a deadline to pass.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 })

const running: CliProcess[] = []
const clients: TestClient[] = []
const phone = generateSecretKey()
let root: string
let wizard: string

beforeEach(() => {
  root = temporaryHome()
  const home = homeOf(join(root, "home"), {})
  mkdirSync(home.dir)
  const limits = {
    instanceWaitSeconds: 0.2,
    historyWaitSecondsMax: 3,
    reconnectMsMin: 50,
    reconnectMsMax: 500,
    pingSeconds: 1,
    pongMsMax: 1000,
    heartbeatSeconds: 2,
    heartbeatSecondsMin: 1,
  }
  writeFileSync(home.config, JSON.stringify({ limits }))
  wizard = readOrCreateKey(keyFile(home.dir, "timmy")).pubkey
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await Promise.all(running.splice(0).map((cli) => cli.kill("SIGKILL")))
  rmSync(root, { recursive: true, force: true })
})

const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}): CliProcess => {
  const cli = startCli(args, { env })
  running.push(cli)
  return cli
}

interface Relay {
  readonly url: string
  readonly stop: () => Promise<unknown>
  /** With what it had, at the same address. */
  readonly again: () => Promise<void>
}

const serve = async (name: string): Promise<Relay> => {
  const start = async (port: string): Promise<{ cli: CliProcess; url: string }> => {
    const cli = run(["relay", "serve", "--port", port, "--db", join(root, `${name}.db`)])
    return { cli, url: (await cli.line(/^relay (ws:\S+)/))[1] as string }
  }
  let held = await start("0")
  return {
    url: held.url,
    stop: () => held.cli.kill("SIGKILL"),
    again: async () => {
      held = await start(new URL(held.url).port)
    },
  }
}

const start = async (relays: readonly Relay[], env: NodeJS.ProcessEnv = {}): Promise<CliProcess> => {
  const urls = relays.flatMap(({ url }) => ["--relay", url])
  const operator = npubOf(getPublicKey(phone))
  const cli = run(["start", "--role", "timmy", "--home", join(root, "home"), "--operator", operator, ...urls], env)
  await cli.line(/^timmy .* ready/)
  return cli
}

const reach = async (relay: Relay): Promise<TestClient> => {
  const client = await connect(relay.url)
  clients.push(client)
  return client
}

const publish = async (client: TestClient, event: NostrEvent): Promise<NostrEvent> => {
  expect(await client.publish(event)).toMatchObject({ ok: true })
  return event
}

const noted = (text: string): NostrEvent => signed({ kind: 1, tags: [], content: `@timmy ${text}` }, phone)

const commanded = (text: string, more: Partial<CommandFields> = {}): NostrEvent => {
  const fields = { text: `@timmy ${text}`, targets: [wizard], d: systemChance.hex(8) }
  return signed(commandTemplate({ ...fields, createdAt: nowSeconds(systemClock), ...more }), phone)
}

/** Everything by the wizard that a relay holds, as a client that comes new is given it. */
const heldBy = async (relay: Relay): Promise<readonly NostrEvent[]> => {
  const client = await connect(relay.url)
  try {
    return await client.req("all", { authors: [wizard] })
  } finally {
    client.close()
  }
}

const chainOf = (events: readonly NostrEvent[], { id }: NostrEvent): readonly Receipt[] =>
  events
    .flatMap((event) => readReceipt(event) ?? [])
    .filter(({ command }) => command === id)
    .toSorted((a, b) => a.n - b.n)

const statesOf = (events: readonly NostrEvent[], command: NostrEvent): readonly string[] =>
  chainOf(events, command).map(({ status }) => status)

const hasEnded = (events: readonly NostrEvent[], command: NostrEvent): boolean =>
  chainOf(events, command).some(({ status }) => isEnd(status))

const until = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await isSo())) await sleep(systemClock, 50)
}

const done = ["received", "acknowledged", "working", "artifact-reported"]

describe("journey 2: the phone was off for a day", () => {
  it("on its return everything is there, once, in order; and the wizard was off as well when it was asked", async () => {
    const relay = await serve("relay")
    const first = await start([relay])
    await first.kill("SIGTERM")
    const before = await reach(relay)
    const asked = [noted("write a line"), noted("status check"), noted("write another"), noted("no such verb? work")]
    for (const event of asked) await publish(before, event)
    before.close()

    const second = await start([relay])
    // What a person is told last is the answer.
    const answered = async (): Promise<boolean> => {
      const held = await heldBy(relay)
      return asked.every(({ id }) => toldOf(held, id).some(({ kind }) => kind === 1))
    }
    await until(answered)
    // Another life, which reads it all once more and says nothing twice.
    await second.kill("SIGTERM")
    await start([relay])
    const after = await reach(relay)
    const last = await publish(after, noted("help"))
    await after.req("live", { authors: [wizard], kinds: [1], "#e": [last.id] })
    await after.until(([type, id, event]) => type === "EVENT" && id === "live" && isAnswer(event as NostrEvent))

    const all = await after.req("back", { "#p": [getPublicKey(phone)], authors: [wizard] })
    for (const event of asked) {
      const told = toldOf(all, event.id).map(({ kind, content }) => (kind === 7 ? content : "answer"))
      expect(told.filter((what) => what !== "\u{1F440}").toSorted()).toEqual(["answer", "\u2705"])
      expect(told.filter((what) => what === "\u{1F440}").length).toBeLessThanOrEqual(1)
      const chain = chainOf(all, event)
      expect([checkChain(chain), chain.map(({ status }) => status)]).toEqual([undefined, done])
      const dates = chain.map(({ createdAt }) => createdAt)
      expect(dates).toEqual(dates.toSorted((a, b) => a - b))
    }
  })
})

const isAnswer = (event: NostrEvent): boolean => event.kind === 1 && readHeartbeat(event) === undefined

/** Reactions and answers to an event. */
const toldOf = (events: readonly NostrEvent[], id: string): readonly NostrEvent[] =>
  events.filter((event) => (event.kind === 7 || isAnswer(event)) && tagValues(event, "e").includes(id))

describe("journey 3: the lid closes in the middle of a task, and opens again", () => {
  it("the line comes back by itself, the queue goes by priority, what is past its deadline has expired", async () => {
    const relay = await serve("relay")
    const folder = join(root, "git")
    mkdirSync(folder)
    const git = slowGit(folder)
    const cli = await start([relay], git.env)
    const before = await reach(relay)
    writeFileSync(git.hold, "")
    const begun = await publish(before, commanded("write what takes long"))
    await until(() => existsSync(git.held))

    process.kill(cli.pid, "SIGSTOP")
    const closedAt = nowSeconds(systemClock)
    // Its socket dies with the relay's process, and it cannot know.
    await relay.stop()
    await relay.again()
    const meanwhile = await reach(relay)
    const low = await publish(meanwhile, commanded("write this last", { priority: "low" }))
    const deadlineMs = systemClock.nowMs() + 1500
    const late = await publish(meanwhile, commanded("write it in time", { deadlineMs, priority: "urgent" }))
    const normal = await publish(meanwhile, commanded("write it then"))
    const urgent = await publish(meanwhile, commanded("write this first", { priority: "urgent" }))
    await until(() => systemClock.nowMs() > deadlineMs + 500)
    const openedAt = nowSeconds(systemClock)
    process.kill(cli.pid, "SIGCONT")

    await until(async () => {
      const held = await heldBy(relay)
      const waits = [low, normal, urgent].every((one) => statesOf(held, one).includes("acknowledged"))
      return waits && hasEnded(held, late)
    })
    rmSync(git.hold)
    await until(async () => {
      const held = await heldBy(relay)
      return [begun, low, normal, urgent].every((one) => hasEnded(held, one))
    })
    const held = await heldBy(relay)
    for (const one of [begun, low, normal, urgent])
      expect([checkChain(chainOf(held, one)), statesOf(held, one)]).toEqual([undefined, done])
    expect(statesOf(held, late)).toEqual(["received", "expired"])
    const store = openStore(homeOf(join(root, "home"), {}).database, { readonly: true })
    const begunMs = ({ id }: NostrEvent): number =>
      store.command.byId(id).flatMap(({ actor }) => store.attempt.of(actor).map(({ begun_ms }) => begun_ms))[0] ?? 0
    const inTurn = [begun, urgent, normal, low].map(begunMs)
    store.database.close()
    expect(inTurn).toEqual(inTurn.toSorted((a, b) => a - b))
    // Heartbeats go on, and none is made up.
    const beats = async () => (await heldBy(relay)).flatMap((event) => readHeartbeat(event) ?? [])
    const known = (await beats()).filter(({ createdAt }) => createdAt <= closedAt).map(({ seq }) => seq)
    await until(async () => (await beats()).some(({ seq, createdAt }) => createdAt >= openedAt && !known.includes(seq)))
    expect((await beats()).filter(({ createdAt }) => createdAt > closedAt && createdAt < openedAt)).toEqual([])
  })
})

describe("journey 5: a relay was gone", () => {
  it("`relays list` tells since when and how much waits; when it is back it gets that, once", async () => {
    const [here, gone] = [await serve("here"), await serve("gone")]
    await start([here, gone])
    const goneAt = systemClock.nowMs()
    await gone.stop()
    const client = await reach(here)
    const asked = [await publish(client, commanded("write a line")), await publish(client, commanded("status check"))]
    await until(async () => {
      const held = await heldBy(here)
      return asked.every((one) => hasEnded(held, one))
    })
    const [away] = await listed(gone)
    expect(away).toMatchObject({ backlog: expect.any(Number) })
    expect(["connecting", "backing-off"]).toContain(away?.state)
    expect(away?.backlog).toBeGreaterThanOrEqual(10)
    expect(away?.sinceMs).toBeGreaterThanOrEqual(goneAt)
    expect((await listed(here))[0]).toMatchObject({ state: "live", backlog: 0 })
    const text = run(["relays", "list", "--home", join(root, "home")])
    await text.exited
    expect(text.stdout()).toMatch(
      new RegExp(`^timmy +${gone.url} +(connecting|backing-off) since 20\\S+Z.* ${away?.backlog} wait`, "m"),
    )

    await gone.again()
    await until(async () => (await listed(gone)).every(({ state, backlog }) => state === "live" && backlog === 0))
    const [kept, came] = [await heldBy(here), await heldBy(gone)].map((events) =>
      events
        .filter(({ kind }) => kind !== 1 && kind !== 0)
        .map(({ id }) => id)
        .toSorted(),
    )
    expect(came).toEqual(kept)
    const held = await heldBy(gone)
    for (const one of asked) expect([checkChain(chainOf(held, one)), statesOf(held, one)]).toEqual([undefined, done])
    for (const one of asked)
      expect(held.filter((event) => event.kind === 30078 && tagValue(event, "e") === one.id).length).toBe(1)
  })
})

const listed = async (
  relay: Relay,
): Promise<
  readonly { readonly state: string; readonly backlog: number; readonly sinceMs: number; readonly url: string }[]
> => {
  const cli = run(["relays", "list", "--json", "--home", join(root, "home")])
  await cli.exited
  const { relays } = JSON.parse(cli.stdout()) as { relays: Awaited<ReturnType<typeof listed>> }
  return relays.filter(({ url }) => url === relay.url)
}
