/**
 * A stranger's client drives the runtime: every event here is built, sent, read and checked by rust-nostr, which shares
 * no code with this project. The relay and the wizard are processes of their own.
 */
import { execFileSync } from "node:child_process"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import {
  Client,
  Duration,
  type Event,
  EventBuilder,
  Filter,
  Keys,
  Kind,
  loadWasmSync,
  NostrSigner,
  PublicKey,
  Tag,
  Timestamp,
} from "@rust-nostr/nostr-sdk"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { startCli, temporaryHome, type CliProcess } from "../support/process.ts"

// Many processes on a busy machine; nothing here waits a fixed time.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 })

const folder = temporaryHome()
const home = join(folder, "home")
const running: CliProcess[] = []
let relay: string
let operator: Keys
let client: Client
let timmy: PublicKey
let wizard: CliProcess

const run = (...args: string[]): CliProcess => {
  const cli = startCli(args)
  running.push(cli)
  return cli
}

const start = async (): Promise<CliProcess> => {
  const cli = run(
    "start",
    "--role",
    "timmy",
    "--home",
    home,
    "--relay",
    relay,
    "--operator",
    operator.publicKey.toBech32(),
  )
  const [, npub] = await cli.line(/^timmy +(npub1\w+) +ready/)
  timmy = PublicKey.parse(npub as string)
  return cli
}

const sign = (keys: Keys, kind: number, content: string, tags: string[][], at: Timestamp = Timestamp.now()): Event =>
  new EventBuilder(new Kind(kind), content)
    .tags(tags.map((tag) => Tag.parse(tag)))
    .customCreatedAt(Timestamp.fromSecs(at.asSecs()))
    .signWithKeys(keys)

/** Asks until there is what is wanted. */
const wait = async (filter: () => Filter, enough: (events: Event[]) => boolean): Promise<Event[]> => {
  for (;;) {
    const events = (await client.fetchEvents(filter(), Duration.fromSecs(5))).toVec()
    if (enough(events)) return events
  }
}

const about =
  (command: Event, ...kinds: number[]) =>
  (): Filter =>
    new Filter()
      .author(timmy)
      .kinds(kinds.map((kind) => new Kind(kind)))
      .event(command.id)

const tag = (event: Event, name: string): string | undefined => event.tags.find(name)?.content()

/** The receipts of a command, in their order, once it has ended well; all that the chain promises is checked. */
const checkedReceipts = async (command: Event): Promise<string[]> => {
  const isEnded = (events: Event[]): boolean => events.some((event) => tag(event, "status") === "artifact-reported")
  const receipts = await wait(about(command, 78), isEnded)
  receipts.sort((a, b) => Number(tag(a, "n")) - Number(tag(b, "n")))
  for (const [at, receipt] of receipts.entries()) {
    expect(receipt.verify()).toBe(true)
    expect(receipt.author.toHex()).toBe(timmy.toHex())
    expect(tag(receipt, "p")).toBe(operator.publicKey.toHex())
    expect(tag(receipt, "n")).toBe(String(at + 1))
    expect(tag(receipt, "prev")).toBe(receipts[at - 1]?.id.toHex())
  }
  return receipts.map((receipt) => tag(receipt, "status") as string)
}

const road = ["received", "acknowledged", "working", "artifact-reported"]

const git = (...args: string[]): string =>
  execFileSync("git", ["-C", join(home, "artifacts", "timmy-artifacts"), ...args], { encoding: "utf8" }).trim()

const taken = async (): Promise<string[]> => {
  const cli = run("commands", "list", "--json", "--home", home)
  await cli.exited
  return (JSON.parse(cli.stdout()) as { id: string }[]).map(({ id }) => id)
}

beforeAll(async () => {
  loadWasmSync()
  operator = Keys.generate()
  const served = run("relay", "serve", "--port", "0", "--db", join(folder, "relay.db"))
  relay = (await served.line(/^relay (ws:\S+)/))[1] as string
  client = new Client(NostrSigner.keys(Keys.generate()))
  await client.addRelay(relay)
  await client.connect()
  // The council is founded at the first start; then the wizard is away.
  wizard = await start()
  await wizard.kill("SIGTERM")
  writeFileSync(join(home, "config.json"), JSON.stringify({ limits: { instanceWaitSeconds: 0.5 } }))
})

afterAll(async () => {
  await client.shutdown()
  await Promise.all(running.map((cli) => cli.kill("SIGKILL")))
  rmSync(folder, { recursive: true, force: true })
})

describe("a foreign client", () => {
  it("gets two commands of one second, in the seed's format, done by a wizard that was away", async () => {
    const deadline = new Date(Date.now() + 3_600_000).toISOString().replace(/\.\d+Z$/, "Z")
    const at = Timestamp.now()
    const [first, second] = ["@timmy fix bug in nexus issue #123", "@timmy research llama4 benchmarks"].map((text) =>
      sign(
        operator,
        30079,
        text,
        [
          ["p", timmy.toHex()],
          ["t", "dispatch-command"],
          ["priority", "high"],
          ["deadline", deadline],
        ],
        at,
      ),
    ) as [Event, Event]
    expect(first.createdAt.asSecs()).toBe(second.createdAt.asSecs())
    for (const command of [first, second]) expect((await client.sendEvent(command)).success).toEqual([relay])

    wizard = await start()
    const commits = new Set<string>()
    for (const command of [first, second]) {
      expect(await checkedReceipts(command)).toEqual(road)
      const artifacts = await wait(about(command, 30078), (events) => events.length > 0)
      expect(artifacts).toHaveLength(1)
      const [artifact] = artifacts as [Event]
      expect(artifact.verify()).toBe(true)
      expect(artifact.tags.identifier()).toBe(`artifact/${command.id.toHex()}/timmy/1`)
      expect(tag(artifact, "t")).toBe("artifact")
      const commit = tag(artifact, "commit") as string
      commits.add(commit)
      expect(git("cat-file", "-t", commit)).toBe("commit")
      const trailers = git("log", "-1", "--format=%(trailers:only,unfold)", commit)
      expect(trailers).toContain(`Command-Id: ${command.id.toHex()}`)
      expect(trailers).toContain(`Trace-Id: ${command.id.toHex()}`)
      expect(trailers).toContain("Wizard: timmy")
      expect(git("show", commit)).toContain(command.content.replace("@timmy ", ""))
      expect(git("rev-parse", `refs/commands/${command.id.toHex()}/timmy`)).toBe(commit)
      expect(() => git("merge-base", "--is-ancestor", commit, "main")).not.toThrow()
    }
    expect(commits.size).toBe(2)
  })

  it("sees ✅ and one reply, and 👀 unless the end was there first, where the operator writes a note", async () => {
    const note = sign(operator, 1, "@timmy status check", [])
    await client.sendEvent(note)
    expect(await checkedReceipts(note)).toEqual(road)
    const isAnswered = (events: Event[]): boolean =>
      events.some(({ kind }) => kind.asU16() === 1) && events.some(({ content }) => content === "✅")
    const answers = await wait(about(note, 1, 7), isAnswered)
    for (const answer of answers) {
      expect(answer.verify()).toBe(true)
      expect(tag(answer, "p")).toBe(operator.publicKey.toHex())
    }
    const contents = (kind: number): string[] =>
      answers.filter((event) => event.kind.asU16() === kind).map(({ content }) => content)
    // An acknowledgement that still waits when the command ends is dropped (U10).
    expect([["✅"], ["✅", "👀"].toSorted()]).toContainEqual(contents(7).toSorted())
    expect(contents(1)).toEqual([expect.stringMatching(/^timmy: (idle|busy), \d+ waiting\n/)])
  })

  it("gets silence as a stranger, and a wizard's own prose starts nothing", async () => {
    const stranger = Keys.generate()
    const ours = Keys.parse(readFileSync(join(home, "keys", "timmy_key"), "utf8").trim())
    const tags = [["p", timmy.toHex()]]
    const ignored = [
      sign(stranger, 30079, "@timmy status check", tags),
      sign(stranger, 1, "@timmy status check", tags),
      sign(ours, 1, "@timmy status check", tags),
      sign(operator, 1, "I think @timmy status check is nice", tags),
      sign(operator, 1, "> @timmy status check", tags),
    ]
    for (const event of ignored) expect((await client.sendEvent(event)).success).toEqual([relay])
    // What came after them is done, so they were judged.
    const after = sign(operator, 30079, "@timmy help", [...tags, ["d", "after"]])
    await client.sendEvent(after)
    expect(await checkedReceipts(after)).toEqual(road)
    for (const event of ignored) {
      const said = await client.fetchEvents(about(event, 1, 7, 78, 30078)(), Duration.fromSecs(5))
      expect(said.toVec()).toEqual([])
    }
    const ids = new Set(await taken())
    expect(ids.has(after.id.toHex())).toBe(true)
    expect(ignored.filter((event) => ids.has(event.id.toHex()))).toEqual([])
    expect(await wizard.kill("SIGTERM")).toEqual({ code: 0, signal: null })
  })
})
