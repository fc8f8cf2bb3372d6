/** `runtime relay serve` as a person types it: flags, config file, and what is said where something is wrong. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, expect, it } from "vitest"
import { generateSecretKey, getPublicKey } from "nostr-tools/pure"
import { npubOf } from "../../src/identity/keys.ts"
import { readRelayConfig } from "../../src/relay/config.ts"
import { type CliProcess, startCli } from "../support/process.ts"
import { connect, signed } from "./client.ts"

const folder = mkdtempSync(join(tmpdir(), "relay-"))
process.once("exit", () => rmSync(folder, { recursive: true, force: true }))
const held: CliProcess[] = []
afterEach(async () => {
  for (const each of held.splice(0)) await each.kill("SIGKILL")
})
let serial = 0
const fileWith = (text: string): string => {
  const file = join(folder, `config-${serial++}.json`)
  writeFileSync(file, text)
  return file
}
const serve = (...args: readonly string[]): CliProcess => {
  const started = startCli([
    "relay",
    "serve",
    ...(args.includes("--port") ? [] : ["--port", "0"]),
    ...(args.includes("--db") ? [] : ["--db", join(folder, `${serial++}.db`)]),
    ...args,
  ])
  held.push(started)
  return started
}

it("takes a config, public addresses and a council, and closes on a signal with what it has", async () => {
  const key = generateSecretKey()
  const file = fileWith(
    JSON.stringify({
      write: "allow-list",
      read: "open",
      allowed: [npubOf(getPublicKey(key))],
      name: "Ours",
      limits: { relayTagsMax: 2 },
    }),
  )
  const council = npubOf(getPublicKey(generateSecretKey()))
  const args = ["--config", file, "--council", council, "--url", "wss://relay.example.com", "--durability", "normal"]
  const relay = serve(...args)
  const [, url] = await relay.line(/^relay (ws:\S+)/)
  await relay.line(/writing: allow-list, reading: open/)
  const client = await connect(url as string)
  expect(await client.authenticate(key, "wss://relay.example.com/")).toMatchObject({ ok: true })
  expect(await client.publish(signed({}, key))).toEqual({ ok: true, message: "" })
  expect(await client.publish(signed({}))).toMatchObject({ ok: false })
  const document = await fetch((url as string).replace("ws", "http"), { headers: { Accept: "application/nostr+json" } })
  expect(await document.json()).toMatchObject({
    name: "Ours",
    supported_nips: expect.arrayContaining([86]),
    limitation: { max_event_tags: 2, restricted_writes: true, auth_required: false },
  })
  expect(await relay.kill("SIGTERM")).toMatchObject({ code: 0 })
  expect(await client.closed).toBe(1001)
})

it.each([
  [["--host", "0.0.0.0"], 2, /--council npub1….*--config/],
  [["--url", "wss://relay.example.com"], 2, /--council npub1…/],
  [["--url", "https://relay.example.com"], 2, /ws:\/\/ or wss:\/\//],
  [["--council", "npub1nonsense"], 2, /no public key: expected is npub1…/],
  [["--durability", "none"], 2, /durability/],
  [["--port", "70000"], 2, /65535/],
  [["--config", "/nowhere/at/all.json"], 2, /cannot be read/],
])("%j ends with %i and says why", async (args, code, said) => {
  const relay = serve(...args)
  expect(await relay.exited).toMatchObject({ code })
  expect(relay.stderr() + relay.stdout()).toMatch(said)
})

it("a second relay on one database is refused, as neither would hear of the other's events", async () => {
  const db = join(folder, "shared.db")
  const first = serve("--port", "0", "--db", db)
  await first.line(/^relay ws:/)
  const second = serve("--port", "0", "--db", db)
  expect(await second.exited).toMatchObject({ code: 1 })
  expect(second.stderr()).toMatch(/shared\.db is in use by another process.*stop it, or name another file/)
  await first.kill("SIGKILL")
  await serve("--port", "0", "--db", db).line(/^relay ws:/)
})

it.each([
  ['{"wirte":"open"}', /"wirte" is no setting.*write/],
  ['{"limits":{"relayTagMax":3}}', /"relayTagMax" is no setting.*relayTagsMax/],
  ['{"write":"everybody"}', /write/],
  ['{"kinds":[1,70000]}', /kinds/],
  ['{"ageSecondsMax":3600}', /ageSecondsMax/],
  ['{"limits":{"relayTagsMax":0}}', /relayTagsMax/],
  ['{"allowed":["me"]}', /"allowed": no public key/],
  ['{"write"', /is not JSON/],
  ["[]", /object/i],
])("a config of %s is refused, and the place is named", (text, reason) => {
  const file = fileWith(text)
  expect(() => readRelayConfig(file)).toThrow(reason)
})
