/** The bad input of every kind that a person, a relay or a machine can give, against real processes. */
import { spawnSync } from "node:child_process"
import { once } from "node:events"
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { createServer, type AddressInfo } from "node:net"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import SQLite from "better-sqlite3"
import { decode, nsecEncode } from "nostr-tools/nip19"
import { finalizeEvent, generateSecretKey, getPublicKey, type NostrEvent } from "nostr-tools/pure"
import { WebSocket } from "ws"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { readReceipt } from "../../src/protocol/receipt.ts"
import { nowSeconds, systemClock } from "../../src/services/clock.ts"
import { startCli, temporaryHome, type CliProcess } from "../support/process.ts"
import { scriptedRelay, type Client, type ScriptedRelay } from "../support/scripted-relay.ts"

vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 })

const started: CliProcess[] = []
const cli = (...args: readonly string[]): CliProcess => {
  const child = startCli(args)
  started.push(child)
  return child
}
/** Everything that was said by any process of this file, to be searched for secrets. */
const said: string[] = []
const stopAll = async (): Promise<void> => {
  for (const child of started.splice(0)) {
    await child.kill("SIGKILL")
    said.push(child.stdout(), child.stderr())
  }
}
const ended = async (child: CliProcess): Promise<{ code: number | null; stdout: string; stderr: string }> => {
  const { code } = await child.exited
  return { code, stdout: child.stdout(), stderr: child.stderr() }
}

const quick = {
  limits: { instanceWaitSeconds: 0.2, historyWaitSecondsMax: 2, reconnectMsMin: 50, reconnectMsMax: 500 },
}
const newHome = (): string => {
  const home = temporaryHome()
  writeFileSync(join(home, "config.json"), JSON.stringify(quick))
  return home
}
const secretOf = (home: string, name: string): Uint8Array => {
  const { data } = decode(readFileSync(join(home, "keys", `${name}_key`), "utf8").trim())
  return data as Uint8Array
}
const keyOf = (home: string, name: string): string => getPublicKey(secretOf(home, name))

interface Written {
  readonly content: string
  readonly tags?: string[][]
  readonly created_at?: number
}
let serial = 0
const command = (
  secret: Uint8Array,
  { content, tags = [], created_at = nowSeconds(systemClock) }: Written,
): NostrEvent => finalizeEvent({ kind: 30079, content, created_at, tags: [["d", String(serial++)], ...tags] }, secret)

afterEach(stopAll)

describe("a relay that is hostile", () => {
  let home: string
  let relay: ScriptedRelay
  let operator: Uint8Array

  const waiting = new Set<() => void>()
  /** Looks again after everything that a wizard says to the relay, and fails when the wizards' process is gone. */
  const told = async (holds: () => boolean): Promise<void> => {
    let look = (): void => {}
    const seen = new Promise<void>((resolve) => {
      look = () => {
        if (holds()) resolve()
      }
    })
    waiting.add(look)
    look()
    await Promise.race([
      seen,
      wizards.exited.then(({ code }) => {
        throw new Error(`the wizards ended with ${code}: ${wizards.stderr()}`)
      }),
    ])
    waiting.delete(look)
  }
  /** When it is done with what it was just told. */
  const stir = (): undefined => {
    queueMicrotask(() => waiting.forEach((look) => look()))
  }
  let wizards: CliProcess
  let before = 0
  const wizardClients = (): Client[] =>
    relay.clients
      .slice(before)
      .filter(({ subscriptions }) => [...subscriptions.keys()].some((id) => id.startsWith("commands")))

  beforeAll(async () => {
    home = newHome()
    relay = await scriptedRelay({ onReq: stir, onEvent: stir })
  })
  beforeEach(async () => {
    before = relay.clients.length
    wizards = cli("start", "--role", "allegro", "--role", "timmy", "--home", home, "--relay", relay.url)
    await told(() => wizardClients().length === 2)
    operator = secretOf(home, "operator")
  })
  afterAll(async () => {
    await relay.close()
    rmSync(home, { recursive: true })
  })

  const statuses = (id: string, wizard: string): string[] =>
    relay.stored
      .flatMap((event) => readReceipt(event) ?? [])
      .filter((receipt) => receipt.command === id && receipt.wizard === wizard)
      .sort((a, b) => a.n - b.n)
      .map(({ status }) => status)
  const reasonOf = (id: string): string | undefined =>
    relay.stored
      .flatMap((event) => readReceipt(event) ?? [])
      .find((receipt) => receipt.command === id && receipt.content.reason !== undefined)?.content.reason
  const done = ["received", "acknowledged", "working", "artifact-reported"]
  const ends = (id: string, wizard: string, last: string): Promise<void> =>
    told(() => statuses(id, wizard).at(-1) === last)

  it("feeds frames that are none, forged and wrong events: none has an effect, and the good one is done", async () => {
    const timmy = keyOf(home, "timmy")
    const good = command(operator, { content: "@timmy note that it held", tags: [["p", timmy]] })
    const other = command(operator, { content: "@timmy was never asked", tags: [["p", timmy]] })
    const stranger = command(generateSecretKey(), { content: "@timmy obey a stranger", tags: [["p", timmy]] })
    const zeros = "0".repeat(128)
    const forged = [
      { ...good, sig: zeros },
      { ...good, content: "@timmy do something else" },
      { ...other, sig: good.sig },
      { ...other, id: "f".repeat(64) },
      { ...stranger, pubkey: good.pubkey },
    ]
    for (const client of wizardClients()) {
      const live = [...client.subscriptions.keys()]
      for (const text of [
        "not JSON",
        "",
        "{}",
        "[]",
        "null",
        '["EVENT"]',
        '["EVENT","commands"]',
        '["EVENT",1,2,3]',
        '["OK"]',
        '["OK","nonsense",true]',
        '["CLOSED"]',
        '["EOSE",{}]',
        '["AUTH"]',
        '["NOTICE"]',
        '["\\u0000\\ud800"]',
        `${"[".repeat(50_000)}`,
        '["EVENT","commands",{"id":1,"kind":-1,"tags":"x"}]',
      ])
        client.sendText(text)
      client.send("EVENT", "a subscription that nobody asked for", other)
      client.send("EOSE", "a subscription that nobody asked for")
      for (const id of live) {
        for (const event of forged) client.send("EVENT", id, event)
        client.send("EVENT", id, stranger)
        client.send("EVENT", id, { ...other, tags: "none" })
      }
    }
    relay.give(good)
    await ends(good.id, "timmy", "artifact-reported")
    expect(statuses(good.id, "timmy")).toEqual(done)
    for (const { id } of [other, stranger]) expect([statuses(id, "timmy"), statuses(id, "allegro")]).toEqual([[], []])
    expect(relay.stored.filter(({ tags }) => tags.some(([, value]) => value === "f".repeat(64)))).toEqual([])
    // The true one that was forged before comes now, and is done: a forged copy suppresses nothing (P7).
    relay.give(other)
    await ends(other.id, "timmy", "artifact-reported")
  })

  it("an operator's malformed commands each get their own end, with what to do; what is good beside them is done", async () => {
    const timmy = keyOf(home, "timmy")
    const send = (written: Written): string => {
      const event = command(operator, written)
      relay.give(event)
      return event.id
    }
    const past = String(nowSeconds(systemClock) - 60)
    const cases = [
      {
        id: send({ content: "@nobody write it" }),
        by: "allegro",
        end: "rejected",
        says: /nobody is called @nobody; known: /,
      },
      {
        id: send({ content: "@allegro write it", tags: [["p", timmy]] }),
        by: "timmy",
        end: "rejected",
        says: /targets disagree: the p tags name timmy/,
      },
      { id: send({ content: "@timmy" }), by: "timmy", end: "rejected", says: /there is nothing to do/ },
      {
        id: send({ content: " \n ", tags: [["p", timmy]] }),
        by: "timmy",
        end: "rejected",
        says: /there is nothing to do/,
      },
      {
        id: send({ content: `@timmy ${"x".repeat(100_000)}` }),
        by: "timmy",
        end: "rejected",
        says: /it is 100007 bytes long, at most 65536 are read/,
      },
      {
        id: send({ content: "@timmy too late", tags: [["deadline", past]] }),
        by: "timmy",
        end: "expired",
        says: /its deadline had passed when it came/,
      },
      {
        id: send({ content: "@timmy from the future", created_at: nowSeconds(systemClock) + 3600 }),
        by: "timmy",
        end: "rejected",
        says: /dated more than 15 minutes ahead/,
      },
      { id: send({ content: "@timmy 🧙 is fine" }), by: "timmy", end: "artifact-reported", says: undefined },
    ]
    for (const { id, by, end, says } of cases) {
      await ends(id, by, end)
      expect(statuses(id, by)).toEqual(end === "artifact-reported" ? done : ["received", end])
      expect(statuses(id, by === "timmy" ? "allegro" : "timmy")).toEqual([])
      expect(reasonOf(id) ?? "").toMatch(says ?? /^$/)
    }
  })

  it("a body of a megabyte is not read, and what comes after it is done", async () => {
    const huge = command(operator, { content: `@timmy ${"x".repeat(1024 * 1024)}` })
    for (const client of wizardClients()) for (const id of client.subscriptions.keys()) client.send("EVENT", id, huge)
    const good = command(operator, { content: "@timmy still there" })
    relay.give(good)
    await ends(good.id, "timmy", "artifact-reported")
    expect(statuses(huge.id, "timmy")).toEqual([])
  })
})

describe("a running wizard with its own relay", () => {
  let home: string
  beforeEach(() => {
    home = newHome()
  })
  afterEach(async () => {
    await stopAll()
    rmSync(home, { recursive: true, force: true })
  })
  const start = async (...args: readonly string[]): Promise<{ url: string; child: CliProcess }> => {
    const child = cli("start", "--role", "timmy", "--home", home, "--relay-port", "0", ...args)
    const [, url = ""] = await child.line(/^relay\s+(ws:\S+)/)
    return { url, child }
  }
  const dispatch = (text: string, ...args: readonly string[]): CliProcess =>
    cli("dispatch", text, "--home", home, "--wait", "--timeout", "60s", ...args)

  it("refuses at its socket what is no event, each in its own words, and lives", async () => {
    const { url, child } = await start()
    expect((await dispatch("@timmy status check").exited).code).toBe(0)
    const socket = new WebSocket(url)
    await once(socket, "open")
    const answers: unknown[][] = []
    socket.on("message", (data) => {
      const frame = JSON.parse(String(data)) as unknown[]
      if (frame[0] !== "AUTH") answers.push(frame) // the challenge comes at open, before or after this listener
    })
    const ask = async (text: string): Promise<unknown[]> => {
      const before = answers.length
      socket.send(text)
      while (answers.length === before) await once(socket, "message")
      return answers[before] ?? []
    }
    const good = command(secretOf(home, "operator"), { content: "@timmy x" })
    expect(await ask("not JSON")).toEqual(["NOTICE", expect.stringMatching(/JSON/)])
    expect(await ask('{"an":"object"}')).toEqual(["NOTICE", expect.any(String)])
    expect(await ask('["EVENT",{"id":"x"}]')).toEqual([
      expect.stringMatching(/OK|NOTICE/),
      ...Array(answers[2]!.length - 1).fill(expect.anything()),
    ])
    expect(await ask(JSON.stringify(["EVENT", { ...good, sig: "0".repeat(128) }]))).toEqual([
      "OK",
      good.id,
      false,
      expect.stringMatching(/^invalid: /),
    ])
    socket.send(JSON.stringify(["EVENT", { ...good, content: "x".repeat(1024 * 1024) }]))
    const [code] = (await once(socket, "close")) as [number]
    expect(code).toBe(1009)
    const ran = await ended(dispatch("@timmy status check"))
    expect(ran).toMatchObject({ code: 0 })
    expect((await ended(cli("commands", "list", "--home", home, "--json"))).stdout).not.toContain(good.id)
    expect((await child.kill("SIGTERM")).code).toBe(0)
  })

  it("an unknown name is exit code 3 with the known ones; a second process and a busy port say what to do", async () => {
    const { url, child } = await start()
    await dispatch("@timmy status check").exited
    const unknown = await ended(cli("dispatch", "@tommy write it", "--home", home))
    expect(unknown).toMatchObject({ code: 3, stdout: "" })
    expect(unknown.stderr).toContain("nobody is called @tommy; known: @timmy")

    const second = await ended(cli("start", "--role", "timmy", "--home", home, "--relay-port", "0"))
    expect(second).toMatchObject({ code: 1, stdout: "" })
    expect(second.stderr).toMatch(new RegExp(`in use by process ${child.pid} since .*stop it \\(kill ${child.pid}\\)`))

    const elsewhere = newHome()
    const busy = await ended(cli("start", "--role", "timmy", "--home", elsewhere, "--relay-port", new URL(url).port))
    rmSync(elsewhere, { recursive: true })
    expect(busy).toMatchObject({ code: 1, stdout: "" })
    expect(busy.stderr).toMatch(/port \d+ on 127\.0\.0\.1 is taken.*--relay-port PORT/)
    expect(await ended(dispatch("@timmy status check"))).toMatchObject({ code: 0 })
  })

  it("shows no secret: not in what it says, not in its title, not in its home outside the keys", async () => {
    const { child } = await start()
    expect(await ended(dispatch("@timmy note it"))).toMatchObject({ code: 0 })
    await ended(cli("ps", "--home", home))
    const [listed] = JSON.parse((await ended(cli("commands", "list", "--home", home, "--json"))).stdout) as [
      { id: string },
    ]
    await ended(cli("trace", "show", listed.id, "--home", home, "--json"))
    const title = existsSync("/proc") ? readFileSync(`/proc/${child.pid}/cmdline`, "utf8") : ""
    await child.kill("SIGTERM")
    await stopAll()
    const secrets = ["council", "operator", "timmy"].flatMap((name) => {
      const secret = secretOf(home, name)
      return [Buffer.from(secret).toString("hex"), nsecEncode(secret)]
    })
    const files = readdirSync(home, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.endsWith("/keys"))
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"))
    expect(files.length).toBeGreaterThan(5)
    const everything = [...said, title, ...files]
    expect(secrets.filter((secret) => everything.some((text) => text.includes(secret)))).toEqual([])
    expect(everything.filter((text) => /nsec1[a-z0-9]{20}/.test(text))).toEqual([])
  })

  it("says each thing once and without escape codes where nobody sits at a terminal", async () => {
    const child = startCli(["start", "--role", "timmy", "--home", home, "--relay-port", "0"], { env: { NO_COLOR: "" } })
    started.push(child)
    await child.line(/^Try:/)
    const help = startCli(["--help"], { env: { NO_COLOR: "" } })
    const wrong = startCli(["strat"], { env: { NO_COLOR: "" } })
    for (const each of [help, wrong]) await each.exited
    await child.kill("SIGTERM")
    const all = [child, help, wrong].flatMap((each) => [each.stdout(), each.stderr()]).join("")
    expect(all).not.toMatch(/[^\P{Cc}\n]/u)
    expect(child.stdout().match(/^timmy /gm)).toHaveLength(1)
  })
})

describe("a start that cannot be", () => {
  let home: string
  beforeEach(() => {
    home = newHome()
  })
  afterEach(async () => {
    await stopAll()
    rmSync(home, { recursive: true, force: true })
  })
  const refused = async (...args: readonly string[]) =>
    ended(cli("start", "--role", "timmy", "--home", home, "--relay-port", "0", ...args))

  it.each([
    ['{"limit":{}}', '"limit" is no setting; did you mean "limits"?'],
    ["{relays:[]}", "is not JSON"],
  ])("config %s: exit code 2, the place and the near name, and nothing is made", async (content, says) => {
    writeFileSync(join(home, "config.json"), content)
    const { code, stdout, stderr } = await refused()
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(stderr).toContain(`${home}/config.json: `)
    expect(stderr).toContain(says)
    expect(readdirSync(home)).toEqual(["config.json"])
  })

  it("a database from a newer version is refused with what to do, and left as it is", async () => {
    const file = join(home, "runtime.db")
    const newer = new SQLite(file)
    newer.pragma("journal_mode = wal")
    newer.exec("CREATE TABLE future (x); PRAGMA user_version = 1000")
    newer.close()
    const before = readFileSync(file)
    const { code, stderr } = await refused()
    expect(code).toBe(1)
    expect(stderr).toContain(`${file} was written by a newer version (schema 1000,`)
    expect(stderr).toContain("install that version, or start with another --home")
    expect(readFileSync(file).equals(before)).toBe(true)
    const relayFile = join(home, "relay.db")
    rmSync(file)
    writeFileSync(relayFile, before)
    expect((await refused()).stderr).toContain(`${relayFile} was written by a newer version`)
    expect(readFileSync(relayFile).equals(before)).toBe(true)
  })

  it("a key file that others may read is refused (4), one with garbage too (1), and neither is shown or changed", async () => {
    const file = join(home, "keys", "timmy_key")
    mkdirSync(join(home, "keys"))
    writeFileSync(file, "swordfish\n", { mode: 0o600 })
    const garbage = await refused()
    expect(garbage.code).toBe(1)
    expect(garbage.stderr).toContain(`${file} holds no secret key: expected is one line, nsec1… or 64 hex digits`)
    chmodSync(file, 0o640)
    const exposed = await refused()
    expect(exposed.code).toBe(4)
    expect(exposed.stderr).toContain(`${file} may be read by others. If nobody did: chmod 600`)
    expect(JSON.stringify([garbage, exposed])).not.toContain("swordfish")
    expect([readFileSync(file, "utf8"), statSync(file).mode & 0o777]).toEqual(["swordfish\n", 0o640])
  })

  it("a secret key as --operator is refused and never shown", async () => {
    const nsec = nsecEncode(generateSecretKey())
    const { code, stdout, stderr } = await refused("--operator", nsec)
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(stderr).toContain("that is a secret key")
    expect(stderr).not.toContain(nsec.slice(5, 20))
  })

  it("a port that another program has is told, and a home whose name is too long for its socket", async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve))
    const port = String((other.address() as AddressInfo).port)
    const busy = await ended(cli("start", "--role", "timmy", "--home", home, "--relay-port", port))
    other.close()
    expect(busy.stderr).toContain(`port ${port} on 127.0.0.1 is taken`)
    const long = await ended(
      cli("start", "--role", "timmy", "--home", join(home, "x".repeat(110)), "--relay-port", "0"),
    )
    expect(long).toMatchObject({ code: 2, stdout: "" })
    expect(long.stderr).toContain("its name is too long")
  })

  it("an old Node is told what it lacks, on whatever version it runs", () => {
    const launch = fileURLToPath(new URL("../../src/launch.mjs", import.meta.url))
    const olds = ["/usr/bin/node", "/usr/local/bin/node"].filter((node) => isOld(node))
    const faked = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.19.9" } });
      await import(${JSON.stringify(launch)})`
    const runs = [
      spawnSync(process.execPath, ["--input-type=module", "-e", faked], { encoding: "utf8" }),
      ...olds.map((node) => spawnSync(node, [launch, "--version"], { encoding: "utf8" })),
    ]
    for (const { status, stdout, stderr } of runs) {
      expect({ status, stdout }).toEqual({ status: 2, stdout: "" })
      expect(stderr).toMatch(/^runtime needs Node 22\.19 or newer, this is \d+\.\d+\.\d+\.\n.*npm ci/)
    }
  })
})

const isOld = (node: string): boolean => {
  const major = /^v(\d+)\./.exec(spawnSync(node, ["--version"], { encoding: "utf8" }).stdout ?? "")?.[1]
  return major !== undefined && Number(major) < 22
}
