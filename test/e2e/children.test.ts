/** A wizard commands another by a child alone: real processes, one relay, the parents fetched from it. */
import { once } from "node:events"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { decode } from "nostr-tools/nip19"
import { finalizeEvent, getPublicKey, type NostrEvent } from "nostr-tools/pure"
import { afterEach, beforeEach, expect, it, vi } from "vitest"
import { WebSocket } from "ws"
import { startCli, temporaryHome, type CliProcess } from "../support/process.ts"

vi.setConfig({ testTimeout: 240_000, hookTimeout: 60_000 })

const running: CliProcess[] = []
let folder: string

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

beforeEach(() => {
  folder = temporaryHome()
})
afterEach(async () => {
  await Promise.all(running.splice(0).map((cli) => cli.kill("SIGKILL")))
  rmSync(folder, { recursive: true, force: true })
})

const secretOf = (file: string): Uint8Array => {
  const decoded = decode(readFileSync(file, "utf8").trim() as `nsec1${string}`)
  return decoded.data
}

/** One that answers OK to every event that it takes. */
const publisher = async (relay: string) => {
  const socket = new WebSocket(relay)
  await once(socket, "open")
  return {
    send: async (event: NostrEvent): Promise<void> => {
      socket.send(JSON.stringify(["EVENT", event]))
      for (;;) {
        const [data] = (await once(socket, "message")) as [Buffer]
        const [type, id, accepted] = JSON.parse(String(data)) as [string, string, boolean]
        if (type !== "OK" || id !== event.id) continue
        expect(accepted).toBe(true)
        return
      }
    },
    close: () => socket.terminate(),
  }
}

it("P29: a child is taken up with its parents from the relay; without them, or as a text, it is not", async () => {
  const dir = join(folder, "first")
  mkdirSync(dir)
  writeFileSync(join(dir, "config.json"), JSON.stringify({ limits: { instanceWaitSeconds: 1.5, kinSecondsMax: 1 } }))
  const cli = run("start", "--home", dir, "--role", "timmy", "--relay-port", "0")
  const [, relay = ""] = await cli.line(/^relay +(ws:\S+)/)
  await cli.line(/^Try/)
  // It does not run here, so its parents are known to the relay alone.
  const allegro = (await ended("keys", "generate", "allegro", "--home", join(folder, "box"))).stdout.trim()
  expect((await ended("admit", "allegro", allegro, "--home", dir)).code).toBe(0)

  const tempo = secretOf(join(folder, "box", "keys", "allegro_key"))
  const operator = secretOf(join(dir, "keys", "operator_key"))
  const timmy = getPublicKey(secretOf(join(dir, "keys", "timmy_key")))
  const relayed = await publisher(relay)
  const at = Math.floor(Date.now() / 1000)
  let serial = 0
  const write = (secret: Uint8Array, to: string, content: string, tags: string[][] = [], kind = 30079): NostrEvent =>
    finalizeEvent({ kind, created_at: at, content, tags: [["d", `${++serial}`], ["p", to], ...tags] }, secret)
  const kin = (parent: string, root: string, depth: string): string[][] => [
    ["e", parent, "", "parent"],
    ["e", root, "", "root"],
    ["depth", depth],
  ]
  const root = write(operator, getPublicKey(tempo), "see to it")
  const child = write(tempo, timmy, "@timmy write a line", kin(root.id, root.id, "1"))
  const others = [
    write(tempo, timmy, "@timmy write a note", [], 1),
    write(tempo, timmy, "@timmy write without kin"),
    write(tempo, timmy, "@timmy write with kin that nobody has", kin("ab".repeat(32), "cd".repeat(32), "1")),
    write(tempo, timmy, "@timmy stop", kin(root.id, root.id, "1")),
  ]
  for (const event of [root, ...others, child]) await relayed.send(event)
  relayed.close()

  const trace = async (): Promise<string> => (await ended("trace", "show", child.id, "--home", dir)).stdout
  while (!(await trace()).includes("artifact-reported")) await new Promise((resolve) => setTimeout(resolve, 100))
  const [, council = ""] = await cli.line(/^council +(npub1\w+)/)
  const verified = await ended(
    "verify",
    child.id,
    "--from-relay",
    relay,
    "--council",
    council,
    "--home",
    join(folder, "other"),
  )
  expect(verified).toMatchObject({ code: 0, stderr: "" })
  expect(verified.stdout).toMatch(/ok +lineage +@timmy: a wizard's child/)
  expect(verified.stdout).toMatch(/unchecked +artifact +@timmy: whether .* is real: timmy-artifacts is not at hand/)
  const here = await ended("verify", child.id.slice(0, 12), "--home", dir, "--json")
  const findings = (JSON.parse(here.stdout) as { findings: { check: string; result: string; says: string }[] }).findings
  expect(findings.filter(({ check, result }) => check === "artifact" && result === "holds")).toHaveLength(2)
  const wrong = await ended("verify", child.id, "--from-relay", relay, "--council", allegro)
  expect(wrong).toMatchObject({ code: 1, stdout: expect.stringMatching(/FALSE +roster/) })
  expect((await ended("verify", "ab".repeat(32), "--home", dir)).code).toBe(3)
  expect((await ended("verify", child.id, "--from-relay", "ws://127.0.0.1:1", "--home", dir)).code).toBe(5)

  const list = await ended("commands", "list", "--json", "--home", dir)
  const rows = JSON.parse(list.stdout) as { id: string; state: string; trace: string; reason: string | null }[]
  expect(rows.map(({ id, state, trace: tree }) => [id, state, tree]).toSorted()).toEqual(
    [
      [child.id, "artifact-reported", root.id],
      [others.at(-1)?.id, "rejected", root.id],
    ].toSorted(),
  )
  expect(rows.find(({ state }) => state === "rejected")?.reason).toBe("stop is for operators")
})
