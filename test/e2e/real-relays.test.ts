/**
 * A council over relays that others wrote, by lines that fail: ours, `nostr-relay` of PyPI and `@nostr-relay/core` of
 * npm, each behind a proxy that cuts, falls silent, delays and chops, for the council and for its operator alike.
 * `REAL_RELAYS_SEED` repeats a run's faults and choices, `REAL_RELAYS_COMMANDS` sets how many commands there are.
 *
 * TEST_PYTHON names a Python with what relay-clients/requirements.txt lists, TEST_NOSTR_RELAY_CORE a folder with
 * `@nostr-relay/core`, or one to install it into. Without them this is skipped and says so; with CI_REQUIRE_ALL=1 it fails.
 */
import { rmSync, mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { generateSecretKey, getPublicKey } from "nostr-tools/pure"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { keyFile, npubOf, readOrCreateKey } from "../../src/identity/keys.ts"
import { readArtifact } from "../../src/protocol/artifact.ts"
import { commandTemplate } from "../../src/protocol/command.ts"
import { tagValues, type NostrEvent } from "../../src/protocol/event.ts"
import { checkChain, readReceipt, type Receipt } from "../../src/protocol/receipt.ts"
import { isEnd } from "../../src/protocol/status.ts"
import { homeOf, makeHome } from "../../src/runtime/home.ts"
import { seededChance, systemChance } from "../../src/services/chance.ts"
import { nowSeconds, sleep, systemClock } from "../../src/services/clock.ts"
import { openStore, type StoreShape } from "../../src/store/store.ts"
import type { Running } from "../bench/relay/process.ts"
import { nostrRelayCore } from "../bench/relay/relays/nostr-relay-core.ts"
import { nostrRelay } from "../bench/relay/relays/nostr-relay.ts"
import { ours } from "../bench/relay/relays/ours.ts"
import { connect, signed } from "../relay/client.ts"
import { faultOf, openFaultyLine, type FaultyLine } from "../support/faulty-line.ts"
import { openSender, type Sender } from "../support/sender.ts"
import { startCli, temporaryHome, type CliProcess } from "../support/process.ts"

vi.setConfig({ testTimeout: 600_000, hookTimeout: 120_000 })

const seed = Number(process.env["REAL_RELAYS_SEED"] ?? Number.parseInt(systemChance.hex(3), 16))
const count = Number(process.env["REAL_RELAYS_COMMANDS"] ?? 1000)
const python = process.env["TEST_PYTHON"]
const core = process.env["TEST_NOSTR_RELAY_CORE"]
const missing = [
  ...(python === undefined ? ["TEST_PYTHON, a Python with nostr-relay"] : []),
  ...(core === undefined ? ["TEST_NOSTR_RELAY_CORE, a folder with @nostr-relay/core"] : []),
]
const required = process.env["CI_REQUIRE_ALL"] === "1"
if (missing.length > 0 && !required)
  process.stderr.write(`skipped: real relays: ${missing.join(" and ")}, as .ci/run makes them\n`)

/** Silence is noticed early, and nothing else is smaller than a user has it but what waits for a retry. */
const limits = {
  instanceWaitSeconds: 0.2,
  reconnectMsMin: 50,
  reconnectMsMax: 500,
  pingSeconds: 1,
  pongMsMax: 2500,
  okMsMax: 5000,
  concurrentAttemptsMax: 32,
}

/** One in so many is for the wizard that commits to git, and one in so many comes as a note. */
const committedEach = 50
const noteEach = 10

describe.runIf(missing.length === 0 || required)("three real relays behind lines that fail", () => {
  const root = temporaryHome()
  const home = homeOf(join(root, "home"), {})
  const relays: Running[] = []
  const lines: FaultyLine[] = []
  const senders: Sender[] = []
  let council: CliProcess | undefined

  beforeAll(async () => {
    if (missing.length > 0) throw new Error(`missing: ${missing.join(" and ")}`)
    process.stdout.write(`real relays: REAL_RELAYS_SEED=${seed} REAL_RELAYS_COMMANDS=${count}\n`)
    for (const relay of [ours("full"), nostrRelay(join(dirname(python ?? ""), "nostr-relay")), nostrRelayCore(core)]) {
      const fault = relay.missing()
      if (fault !== undefined) throw new Error(`${relay.name}: ${fault}`)
      const dir = join(root, relay.name.replaceAll("/", "-"))
      mkdirSync(dir)
      relays.push(await relay.start(dir))
    }
  })
  afterAll(async () => {
    for (const sender of senders) sender.close()
    await council?.kill("SIGKILL")
    for (const line of lines) await line.close()
    for (const relay of relays) await relay.stop()
    rmSync(root, { recursive: true, force: true })
  })

  /** By lines of their own, one for each relay; `party` makes their faults others than those of the next. */
  const linesFor = async (party: number): Promise<readonly string[]> => {
    const own = await Promise.all(relays.map(({ url }, at) => openFaultyLine(seed + party * 10 + at, new URL(url))))
    lines.push(...own)
    return own.map(({ port }) => `ws://127.0.0.1:${port}`)
  }

  it(`${count} commands: none is lost, none is doubled, and every relay has it all`, async () => {
    const chance = seededChance(seed)
    const operator = generateSecretKey()
    makeHome(home)
    const roles = { timmy: { executor: "none" }, claude: { executor: "note" } }
    writeFileSync(home.config, JSON.stringify({ limits, roles }))
    const wizards = new Map(Object.keys(roles).map((name) => [name, readOrCreateKey(keyFile(home.dir, name)).pubkey]))
    const urls = await linesFor(0)
    council = startCli([
      "start",
      "--home",
      home.dir,
      "--operator",
      npubOf(getPublicKey(operator)),
      ...Object.keys(roles).flatMap((name) => ["--role", name]),
      ...urls.flatMap((url) => ["--relay", url]),
    ])
    for (const name of wizards.keys()) await council.line(new RegExp(`^${name} .* ready`))

    senders.push(...(await linesFor(1)).map(openSender))
    const expected = new Map<string, string>()
    const sent: Promise<void>[] = []
    for (let n = 0; n < count; n++) {
      const wizard = n % committedEach === 0 ? "claude" : "timmy"
      const text = `@${wizard} do thing number ${n}`
      const targets = [wizards.get(wizard) as string]
      const createdAt = nowSeconds(systemClock)
      const asNote = { kind: 1, created_at: createdAt, tags: [], content: text }
      const template = n % noteEach === 0 ? asNote : commandTemplate({ text, targets, d: chance.hex(8), createdAt })
      const event = signed(template, operator)
      expected.set(event.id, wizard)
      const first = Math.floor(chance.next() * senders.length)
      const many = 1 + Math.floor(chance.next() * senders.length)
      for (let at = first; at < first + many; at++) sent.push((senders[at % senders.length] as Sender).publish(event))
      if (n % 16 === 15) await sleep(systemClock, chance.next() * 200)
    }
    await Promise.all(sent)
    await drained([...wizards.keys()], urls, expected.size)
    for (const line of lines)
      expect(line.struck).toEqual(
        line.struck.map(({ connection }) => ({ connection, ...faultOf(seedOf(lines.indexOf(line)), connection) })),
      )
    const struck = lines.flatMap((line) => line.struck.map(({ kind }) => kind))
    process.stdout.write(
      `${struck.length} faults (${tallied(struck)}) in ${sum(lines.map((line) => line.connections()))} connections, ${sum(lines.map((line) => line.hiccups()))} hiccups\n`,
    )
    // Else the lines were too good, and all this would say little.
    expect(struck.length).toBeGreaterThan(count / 50)

    // What a relay holds is asked of it directly.
    const held = await Promise.all(relays.map(({ url }) => heldBy(url, [...wizards.values()], [...expected.keys()])))
    const [first] = held.map((events) => [...events.keys()].toSorted())
    for (const events of held) expect([...events.keys()].toSorted()).toEqual(first)
    expect(faultsOf([...(held[0]?.values() ?? [])], expected)).toEqual([])
    inStore((store) => {
      expect(
        store.command
          .list(count * 2)
          .map(({ id, wizard, state }) => `${id} ${wizard} ${state}`)
          .toSorted(),
      ).toEqual([...expected].map(([id, wizard]) => `${id} ${wizard} artifact-reported`).toSorted())
      expect(store.command.list(count * 2).filter(({ actor }) => store.attempt.of(actor).length !== 1)).toEqual([])
      expect(store.outbox.deadLetters(10)).toEqual([])
    })
    expect(await council.kill("SIGTERM")).toEqual({ code: 0, signal: null })
  })

  const seedOf = (line: number): number => seed + Math.floor(line / relays.length) * 10 + (line % relays.length)

  const inStore = <A>(look: (store: StoreShape) => A): A => {
    const store = openStore(home.database, { readonly: true })
    try {
      return look(store)
    } finally {
      store.database.close()
    }
  }

  /** All have ended, and every relay has answered for everything that was said of them. */
  const drained = async (wizards: readonly string[], urls: readonly string[], commands: number): Promise<void> => {
    const left = (): string =>
      inStore((store) => {
        const rows = store.command.list(commands * 2)
        const unended = commands - rows.filter(({ state }) => isEnd(state as Receipt["status"])).length
        const waiting = urls.map((url) =>
          sum(wizards.map((name) => store.outbox.countUnanswered("publish", name, url))),
        )
        return unended + sum(waiting) === 0 ? "" : `${unended} have no end, for the relays wait ${waiting.join(", ")}`
      })
    for (let last = left(), tries = 0; last !== ""; tries++) {
      await sleep(systemClock, 500)
      const next = left()
      if (next !== last) tries = 0
      // A minute without any progress.
      if (tries === 120) throw new Error(`${next}\n${council?.stdout()}${council?.stderr()}`)
      last = next
    }
  }
})

/** Everything that the wizards said of these commands. */
const heldBy = async (
  url: string,
  authors: readonly string[],
  commands: readonly string[],
): Promise<ReadonlyMap<string, NostrEvent>> => {
  const client = await connect(url)
  const held = new Map<string, NostrEvent>()
  for (let at = 0; at < commands.length; at += 50) {
    const filter = { authors, kinds: [1, 78, 30078], "#e": commands.slice(at, at + 50) }
    for (const event of await client.req(`held-${at}`, filter)) held.set(event.id, event)
  }
  client.close()
  return held
}

/** What is wrong with the receipts, artifacts and answers of each. */
const faultsOf = (events: readonly NostrEvent[], expected: ReadonlyMap<string, string>): readonly string[] => {
  const about = Map.groupBy(
    events.flatMap((event) => [...new Set(tagValues(event, "e"))].map((command) => ({ command, event }))),
    ({ command }) => command,
  )
  return [...expected].flatMap(([command, wizard]) => {
    const own = (about.get(command) ?? []).map(({ event }) => event)
    const chain = own.flatMap((event) => readReceipt(event) ?? [])
    const ends = chain.filter(({ status }) => isEnd(status))
    const artifacts = own.flatMap((event) => readArtifact(event) ?? [])
    const told = chain.map(({ n, wizard: by, status }) => `${n} ${status} by ${by}`).join(", ")
    const faults = [
      checkChain(chain),
      ends.length === 1 && ends[0]?.status === "artifact-reported" ? undefined : `${ends.length} ends`,
      chain.every(({ wizard: by }) => by === wizard) ? undefined : `not by ${wizard} alone`,
      artifacts.length === 1 ? undefined : `${artifacts.length} artifacts`,
      (artifacts[0]?.place === undefined) === (wizard === "timmy") ? undefined : "a commit too many or too few",
      own.filter(({ kind }) => kind === 1).length <= 1 ? undefined : "several answers",
    ]
    return faults.flatMap((fault) => (fault === undefined ? [] : [`${command}: ${fault}: ${told}`]))
  })
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

const tallied = (words: readonly string[]): string =>
  [...Map.groupBy(words, (word) => word)].map(([word, all]) => `${all.length} ${word}`).join(", ")
