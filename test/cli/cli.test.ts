import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { generateSecretKey } from "nostr-tools/pure"
import { npubEncode, nsecEncode } from "nostr-tools/nip19"
import { verifyEvent, type NostrEvent } from "nostr-tools/pure"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { limits } from "../../src/limits.ts"
import { controlVerbs, serveControl, type ControlHandlers } from "../../src/runtime/control.ts"
import { openStore, type CommandRow } from "../../src/store/store.ts"
import { run } from "./run.ts"

let home: string
/** Nothing listens there. */
const nowhere = "ws://127.0.0.1:1"

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "cli-"))
})
afterEach(() => rmSync(home, { recursive: true }))

const verbs = [
  "start",
  "dispatch",
  "commands",
  "commands list",
  "trace",
  "trace show",
  "verify",
  "rebuild",
  "ps",
  "outbox",
  "outbox list",
  "outbox resend",
  "outbox drop",
  "operators",
  "operators list",
  "operators add",
  "operators remove",
  "artifacts",
  "artifacts list",
  "artifacts show",
  "artifacts open",
  "artifacts verify",
  "admit",
  "expel",
  "invite",
  "remove",
  "join",
  "leave",
  "channels",
  "channels list",
  "channels create",
  "roster",
  "roster show",
  "roster history",
  "instance",
  "instance claim",
  "relays",
  "relays list",
  "relays ping",
  "relays add",
  "relays remove",
  "relay",
  "relay serve",
  "keys",
  "keys generate",
  "demo",
]

describe("help", () => {
  it.each(verbs)("%s --help says what it does and what each flag and argument is, on stdout", async (verb) => {
    const { code, stdout, stderr } = await run(...verb.split(" "), "--help")
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    expect(stdout).toContain(`USAGE\n  runtime ${verb}`)
    expect(stdout).toMatch(/^DESCRIPTION\n {2}\S/)
    const listed = stdout.split(/\n(?=[A-Z])/).filter((part) => /^(FLAGS|ARGUMENTS|SUBCOMMANDS)/.test(part))
    const undescribed = listed
      .flatMap((part) => part.split("\n").slice(1))
      .filter((line) => line.trim() !== "" && !/^ {2}\S.* {2,}\S/.test(line))
    expect(undescribed).toEqual([])
  })

  it("of the whole lists every verb", async () => {
    const { code, stdout } = await run("--help")
    expect(code).toBe(0)
    for (const verb of verbs.filter((name) => !name.includes(" "))) expect(stdout).toContain(`\n  ${verb} `)
  })

  it("without a verb is a matter of usage: exit code 2, help on stderr, nothing on stdout", async () => {
    for (const args of [[], ["commands"], ["relay"]]) {
      const { code, stdout, stderr } = await run(...args)
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
      expect(stderr).toContain("SUBCOMMANDS")
    }
  })

  it("the version is a result", async () => {
    expect(await run("--version")).toEqual({ code: 0, stdout: "runtime v0.1.0\n", stderr: "" })
  })
})

describe("misuse", () => {
  it.each([
    [["strat"], /Did you mean this\?\s+start[\s\S]*See: runtime --help/],
    [["commands", "lst"], /Did you mean this\?\s+list/],
    [["start"], /Missing required flag: --role[\s\S]*See: runtime start --help/],
    [["start", "--rol", "timmy"], /Did you mean this\?\s+--role/],
    [["start", "--role", "timmy", "--relay-port", "70000"], /--relay-port: "70000".*0 \(any free one\) to 65535/],
    [["start", "--role", "timmy", "--relay-port", "-1"], /--relay-port/],
    [["relay", "serve", "--port", "x"], /--port: "x"/],
    [["dispatch"], /Missing required argument: command/],
    [["dispatch", "@timmy x", "--priority", "hihg"], /--priority: "hihg".*"high"/],
    [["dispatch", "status check"], /begin with whom it is for/],
    [["dispatch", "@timmy"], /say what to do/],
    [["dispatch", "@timmy  "], /say what to do/],
    [["dispatch", ""], /begin with whom it is for/],
    [["dispatch", "@timmy x", "--deadline", "tomorrow"], /"tomorrow" is no deadline: write/],
    [["dispatch", "@timmy x", "--deadline", "2020-01-01T00:00:00Z"], /the deadline 2020-01-01T00:00:00Z is past/],
    [["dispatch", "@timmy x", "--deadline", "1"], /the deadline 1 is past/],
    [["dispatch", "@timmy x", "--timeout", "long"], /"long" is no duration: write 90s/],
    [["dispatch", "@timmy x", "--relay", "relay.example"], /"relay.example" is no relay's address/],
    [["trace", "show", "1234"], /"1234" is no id: at least its first 8 hex digits/],
    [["commands", "list", "--most", "0"], /--most takes a number from 1 on/],
    [["commands", "list", "--state", "done"], /--state: "done".*"artifact-reported"/],
    [["admit", "timmy", "npub1xyz"], /no public key: expected is npub1/],
    [["keys", "generate", "../timmy"], /"\.\.\/timmy" is no name/],
    [["ps", "--wizard"], /--wizard/],
    [["outbox", "list", "--most", "0"], /--most takes a number from 1 on/],
    [["relays", "add", "relay.example"], /"relay.example" is no relay's address/],
    [["relays", "remove", "http://relay.example"], /is no relay's address/],
    [["outbox", "resend"], /say which dead letter/],
    [["outbox", "drop", "12345678", "--all"], /say which dead letter/],
  ])("%j: exit code 2, told on stderr, nothing on stdout", async (args, says) => {
    const flags = args.length > 1 ? ["--home", home] : []
    const { code, stdout, stderr } = await run(...args, ...(args[0] === "relay" ? [] : flags))
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(stderr).toMatch(says)
    expect(readdirSync(home)).toEqual([])
  })

  it("a command longer than is read is refused before it is sent", async () => {
    const { code, stderr } = await run("dispatch", `@timmy ${"x".repeat(1024 * 1024)}`, "--home", home)
    expect(code).toBe(2)
    expect(stderr).toContain(`that is ${1024 * 1024 + 7} bytes, at most ${limits.commandBytesMax} are read`)
    expect(stderr.length).toBeLessThan(300)
  })

  it("a secret key where a public one belongs is refused, and not shown", async () => {
    const nsec = nsecEncode(generateSecretKey())
    for (const args of [
      ["start", "--role", "timmy", "--operator", nsec],
      ["start", "--role", "timmy", "--council", nsec],
      ["admit", "timmy", nsec],
    ]) {
      const { code, stdout, stderr } = await run(...args, "--home", home)
      expect(code).toBe(2)
      expect(stderr).toContain("that is a secret key: never pass it to anything")
      expect(stdout + stderr).not.toContain(nsec.slice(5))
    }
  })
})

describe("nothing there", () => {
  it.each([
    [["commands", "list"], "there is nothing in"],
    [["trace", "show", "12345678"], "there is nothing in"],
    [["ps"], "no runtime runs on this home"],
    [["outbox", "list"], "there is nothing in"],
    [["relays", "list"], "there is nothing in"],
    [["relays", "add", "ws://127.0.0.1:1"], "no runtime runs on this home"],
    [["relays", "remove", "ws://127.0.0.1:1"], "no runtime runs on this home"],
    [["outbox", "resend", "--all"], "no runtime runs on this home, and only it may write there"],
    [["outbox", "drop", "12345678"], "no runtime runs on this home, and only it may write there"],
    [["instance", "claim"], "no runtime runs on this home"],
    [["admit", "timmy", npubEncode("0a".repeat(32))], "this home was never started"],
  ])("%j: exit code 3, with what to do, and nothing is made", async (args, says) => {
    const { code, stdout, stderr } = await run(...args, "--home", home)
    expect({ code, stdout }).toEqual({ code: 3, stdout: "" })
    expect(stderr).toContain(says)
    expect(stderr).toContain("start")
    expect(readdirSync(home)).toEqual([])
  })

  it("no operator's secret: exit code 4, naming --key FILE", async () => {
    for (const args of [[], ["--key", join(home, "no-such-file")]]) {
      const { code, stderr } = await run("dispatch", "@timmy status check", "--home", home, ...args)
      expect(code).toBe(4)
      expect(stderr).toContain("name the file with --key FILE")
    }
  })
})

describe("keys generate", () => {
  it("makes one 0600 key, once, prints the public one, and never the secret", async () => {
    const first = await run("keys", "generate", "timmy", "--home", home)
    const file = join(home, "keys", "timmy_key")
    expect(first).toMatchObject({ code: 0, stderr: "" })
    expect(first.stdout).toMatch(/^npub1[a-z0-9]{58}\n$/)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const second = await run("keys", "generate", "timmy", "--home", home)
    expect(second).toMatchObject({ code: 0, stdout: first.stdout, stderr: `${file} was there already; it is kept\n` })
    const secret = readFileSync(file, "utf8").trim()
    expect(first.stdout + second.stderr).not.toContain(secret)
  })

  it("refuses a file that others may read (4), and one that holds no key (1), without showing what is in it", async () => {
    const file = join(home, "keys", "operator_key")
    mkdirSync(join(home, "keys"))
    writeFileSync(file, "my-password-is-swordfish\n", { mode: 0o600 })
    const garbage = await run("dispatch", "@timmy x", "--home", home)
    expect(garbage.code).toBe(1)
    expect(garbage.stderr).toContain(`${file} holds no secret key: expected is one line, nsec1… or 64 hex digits`)
    chmodSync(file, 0o644)
    const exposed = await run("dispatch", "@timmy x", "--home", home)
    expect(exposed.code).toBe(4)
    expect(exposed.stderr).toContain("chmod 600")
    expect(JSON.stringify([garbage, exposed])).not.toContain("swordfish")
  })
})

describe("dispatch without a relay", () => {
  const outgoing = (): NostrEvent[] =>
    readdirSync(join(home, "outgoing")).map((name) => JSON.parse(readFileSync(join(home, "outgoing", name), "utf8")))

  beforeEach(async () => {
    await run("keys", "generate", "operator", "--home", home)
  })

  it("keeps the signed command in the home, and says where: exit code 0, or 5 with --wait", async () => {
    const kept = await run("dispatch", "@timmy write it", "--home", home, "--relay", nowhere, "--deadline", "in 2h")
    expect(kept).toMatchObject({ code: 0, stdout: "" })
    expect(kept.stderr).toContain(`no relay can be reached (${nowhere}); it is kept in ${home}/outgoing/`)
    const waited = await run("dispatch", "@timmy write it", "--home", home, "--relay", nowhere, "--wait")
    expect(waited).toMatchObject({ code: 5, stdout: "" })
    const events = outgoing()
    expect(events).toHaveLength(2)
    expect(new Set(events.map(({ id }) => id)).size).toBe(2)
    for (const event of events) {
      expect(verifyEvent(event)).toBe(true)
      expect(event).toMatchObject({ kind: 30079, content: "@timmy write it" })
    }
  })

  it("--json gives one line with the id and the file", async () => {
    const { code, stdout, stderr } = await run("dispatch", "@timmy x", "--home", home, "--relay", nowhere, "--json")
    const told = JSON.parse(stdout) as { command: string; sent: boolean; file: string }
    expect(code).toBe(0)
    expect(told).toEqual({ command: outgoing()[0]?.id, sent: false, file: expect.stringContaining(home) })
    expect(existsSync(told.file)).toBe(true)
    expect(stderr).toContain("no relay can be reached")
  })

  it("a config with a typo is told before anything is signed: exit code 2, naming the setting and the near one", async () => {
    writeFileSync(join(home, "config.json"), '{"relay":["ws://a"]}')
    const { code, stderr } = await run("dispatch", "@timmy x", "--home", home, "--relay", nowhere)
    expect(code).toBe(2)
    expect(stderr).toContain(`${home}/config.json: "relay" is no setting; did you mean "relays"?`)
    expect(existsSync(join(home, "outgoing"))).toBe(false)
  })
})

describe("what a home holds", () => {
  const id = "abcdef01".padEnd(64, "0")
  const actor = `command/${id}/timmy`
  const fill = (bodies: readonly string[]): void => {
    const store = openStore(join(home, "runtime.db"))
    store.database.transaction(() => {
      for (const [at, body] of bodies.entries()) {
        const row: CommandRow = {
          actor: at === 0 ? actor : `command/${String(at).padStart(64, "9")}/timmy`,
          id: at === 0 ? id : String(at).padStart(64, "9"),
          wizard: "timmy",
          author: "0a".repeat(32),
          trace: id,
          parent: null,
          form: "command",
          work: "task",
          executor: "note",
          body,
          priority: 1,
          deadline_ms: null,
          created_at: 1_800_000_000,
          arrived: at + 1,
          arrived_ms: 1_800_000_000_000,
          state: "acknowledged",
          since_ms: 1_800_000_000_000,
          ended: 0,
          reason: null,
          result: null,
          receipts: 0,
          tip: null,
          relay: at === 0 ? "ws://a.example" : null,
          lanes: 0,
        }
        store.command.add(row)
      }
    })
    store.database.close()
  }

  it("commands list: the newest first, as many as asked for, by state, as lines and as JSON", async () => {
    fill(["first", "second\nwith more lines", "third"])
    const list = async (...args: string[]) => run("commands", "list", "--home", home, ...args)
    const lines = (await list()).stdout.trimEnd().split("\n")
    expect(lines).toHaveLength(3)
    expect(lines[0]).toMatch(/timmy\s+acknowledged\s+2027-01-15T08:00:00\.000Z {2}third$/)
    expect(lines[2]).toMatch(/^abcdef01 /)
    const json = JSON.parse((await list("--json", "--most", "2")).stdout) as CommandRow[]
    expect(json.map(({ body }) => body)).toEqual(["third", "second\nwith more lines"])
    expect((await list("--state", "failed")).stdout).toBe("none\n")
    expect((await list("--state", "failed", "--json")).stdout).toBe("[]\n")
  })

  it("text that others wrote cannot steer the terminal", async () => {
    fill(["\u001b[2J\u001b]0;owned\u0007wipe\u009b1m"])
    for (const args of [
      ["commands", "list"],
      ["trace", "show", "abcdef01"],
      ["commands", "list", "--json"],
    ]) {
      const { code, stdout } = await run(...args, "--home", home)
      expect(code).toBe(0)
      expect(stdout).not.toMatch(/[^\P{Cc}\n]/u)
      expect(stdout).toContain("wipe")
    }
  })

  it("trace show takes the beginning of an id, in either case; one that nobody has is exit code 3; it says which relays brought it", async () => {
    fill(["first"])
    for (const given of ["abcdef01", "ABCDEF01", id]) {
      const { code, stdout } = await run("trace", "show", given, "--home", home)
      expect(code).toBe(0)
      expect(stdout.startsWith(`${id}  @timmy  first\n`)).toBe(true)
    }
    expect(JSON.parse((await run("trace", "show", id, "--home", home, "--json")).stdout)).toMatchObject([
      { row: { id } },
    ])
    const store = openStore(join(home, "runtime.db"))
    store.database.transaction(() => store.seenOn.add(actor, "ws://b.example", 1_800_000_000_250, 16))
    store.database.close()
    const { stdout: told } = await run("trace", "show", id, "--home", home)
    expect(told).toContain(
      "  by ws://a.example, 2027-01-15T08:00:00.000Z\n  also by ws://b.example, 2027-01-15T08:00:00.250Z\n",
    )
    const { code, stderr } = await run("trace", "show", "12345678", "--home", home)
    expect(code).toBe(3)
    expect(stderr).toContain("no command begins with 12345678")
  })

  it("a database that is none, or newer, is told by name and with what to do", async () => {
    writeFileSync(join(home, "runtime.db"), "garbage ".repeat(200))
    const garbage = await run("commands", "list", "--home", home)
    expect(garbage).toMatchObject({ code: 1, stdout: "" })
    expect(garbage.stderr).toContain(`${home}/runtime.db: is no database: move it away, or name another --home`)
  })
})

describe("a running runtime is asked over its control socket", () => {
  it("and its refusal is told: exit code 1", async () => {
    const refuse = (): never => {
      throw new Error("no wizard called kimi runs here")
    }
    const control = await serveControl(
      join(home, "control.sock"),
      Object.fromEntries(controlVerbs.map((verb) => [verb, refuse])) as unknown as ControlHandlers,
      1000,
    )
    for (const args of [["ps"], ["instance", "claim", "--role", "kimi"], ["outbox", "resend", "--all"]]) {
      const { code, stdout, stderr } = await run(...args, "--home", home)
      expect({ code, stdout, stderr }).toEqual({
        code: 1,
        stdout: "",
        stderr: "runtime: no wizard called kimi runs here\n",
      })
    }
    await control.close()
  })
})
