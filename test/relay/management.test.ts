import { hash } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { generateSecretKey, getPublicKey } from "nostr-tools/pure"
import type { Tag } from "../../src/protocol/event.ts"
import type { RelayServer } from "../../src/relay/relay.ts"
import { connect, signed, startRelay } from "./client.ts"

const running: RelayServer[] = []
const folder = mkdtempSync(join(tmpdir(), "relay-"))
process.once("exit", () => rmSync(folder, { recursive: true, force: true }))
const start = async (options: Parameters<typeof startRelay>[0] = {}): Promise<RelayServer> => {
  const relay = await startRelay({ council, ...options })
  running.push(relay)
  return relay
}
afterEach(async () => {
  for (const relay of running.splice(0)) await relay.close()
})

const [councilKey, alice, mallory] = [1, 2, 3].map(generateSecretKey) as [Uint8Array, Uint8Array, Uint8Array]
const council = getPublicKey(councilKey)
const now = (): number => Math.floor(Date.now() / 1000)

interface Signing {
  readonly key?: Uint8Array
  readonly url?: string
  readonly method?: string
  readonly payload?: string | undefined
  readonly created_at?: number
  readonly kind?: number
}
let serial = 0
const headerFor = (relay: RelayServer, body: string, signing: Signing = {}): string => {
  const { key = councilKey, url = relay.url.replace("ws", "http"), method = "POST", created_at = now() } = signing
  const payload = "payload" in signing ? signing.payload : hash("sha256", body)
  const tags: Tag[] = [
    ["u", url],
    ["method", method],
    ...(payload === undefined ? [] : [["payload", payload]]),
    ["n", String(serial++)],
  ]
  const event = signed({ kind: signing.kind ?? 27_235, created_at, tags }, key)
  return `Nostr ${Buffer.from(JSON.stringify(event)).toString("base64")}`
}
const post = async (relay: RelayServer, body: string, authorization?: string) => {
  const response = await fetch(relay.url.replace("ws", "http"), {
    method: "POST",
    headers: {
      "Content-Type": "application/nostr+json+rpc",
      ...(authorization !== undefined && { Authorization: authorization }),
    },
    body,
  })
  const text = await response.text()
  return { status: response.status, answer: text.startsWith("{") ? (JSON.parse(text) as unknown) : text }
}
const call = async (relay: RelayServer, method: string, ...params: readonly unknown[]) => {
  const body = JSON.stringify({ method, params })
  const { status, answer } = await post(relay, body, headerFor(relay, body))
  expect(status).toBe(200)
  return answer as { readonly result?: unknown; readonly error?: string }
}

describe("who manages it (NIP-98)", () => {
  const body = JSON.stringify({ method: "supportedmethods", params: [] })

  it("the council's key, signing this address, method and body just now", async () => {
    const relay = await start({
      urls: ["wss://relay.example.com", "ws://plain.example.com"],
      rules: { write: "open", read: "open" },
    })
    for (const url of [
      undefined,
      relay.url,
      `${relay.url}/`,
      `http://localhost:${relay.port}/`,
      "https://relay.example.com",
    ])
      expect((await post(relay, body, headerFor(relay, body, url === undefined ? {} : { url }))).status).toBe(200)
    const wrong: readonly Signing[] = [
      { key: mallory },
      { url: "http://evil.example.com" },
      { url: "http://plain.example.com" },
      { url: `${relay.url.replace("ws", "http")}/other` },
      { method: "GET" },
      { payload: undefined },
      { payload: hash("sha256", `${body} `) },
      { created_at: now() - 70 },
      { created_at: now() + 70 },
      { kind: 1 },
    ]
    for (const signing of wrong)
      expect(await post(relay, body, headerFor(relay, body, signing))).toMatchObject({
        status: 401,
        answer: { error: expect.any(String) },
      })
    for (const header of [undefined, "", "Nostr !", "Nostr bm8=", "Bearer x"])
      expect((await post(relay, body, header)).status).toBe(401)
  })

  it("each signed event is good for one call, also over a restart", async () => {
    const file = join(folder, "once.db")
    const relay = await start({ file })
    const header = headerFor(relay, body)
    expect((await post(relay, body, header)).status).toBe(200)
    expect((await post(relay, body, header)).status).toBe(401)
    await relay.close()
    const again = await start({ file, port: relay.port })
    expect((await post(again, body, header)).status).toBe(401)
  })

  it("a signature that is not the council's is not", async () => {
    const relay = await start()
    const event = signed(
      {
        kind: 27_235,
        tags: [
          ["u", relay.url],
          ["method", "POST"],
          ["payload", hash("sha256", body)],
        ],
      },
      mallory,
    )
    const forged = { ...event, pubkey: council }
    const header = `Nostr ${Buffer.from(JSON.stringify(forged)).toString("base64")}`
    expect((await post(relay, body, header)).status).toBe(401)
  })

  it("is off without a council, and without TLS where others come; the document says which", async () => {
    const document = async (relay: RelayServer) => {
      const address = `http://127.0.0.1:${relay.port}`
      return (await fetch(address, { headers: { Accept: "application/nostr+json" } })).json() as Promise<{
        supported_nips: number[]
      }>
    }
    const off = [await start({ council: undefined }), await start({ host: "0.0.0.0" })]
    const on = [await start(), await start({ host: "0.0.0.0", urls: ["wss://relay.example.com"] })]
    for (const relay of off) {
      expect((await document(relay)).supported_nips).not.toContain(86)
      const response = await fetch(`http://127.0.0.1:${relay.port}`, {
        method: "POST",
        headers: { "Content-Type": "application/nostr+json+rpc", Authorization: headerFor(relay, body) },
        body,
      })
      expect(response.status).toBe(405)
    }
    for (const relay of on) expect((await document(relay)).supported_nips).toEqual(expect.arrayContaining([86, 98]))
  })

  it("bodies are bounded, and what is no call is told so", async () => {
    const relay = await start()
    expect((await post(relay, " ".repeat(70_000), headerFor(relay, ""))).status).toBe(413)
    for (const text of ["", "[]", "{", '{"method":3,"params":[]}', '{"method":"banpubkey"}'])
      expect((await post(relay, text, headerFor(relay, text))).answer).toMatchObject({ error: expect.any(String) })
    expect(await call(relay, "nothing")).toMatchObject({ error: expect.stringMatching(/supportedmethods/) })
    expect(await call(relay, "constructor")).toMatchObject({ error: expect.stringMatching(/supportedmethods/) })
    expect(await call(relay, "banpubkey", "x")).toMatchObject({ error: expect.stringMatching(/public key/) })
    expect(await call(relay, "banpubkey", council)).toMatchObject({ error: expect.stringMatching(/council/) })
    expect(await call(relay, "blockip", "127.0.0.1")).toMatchObject({ error: expect.stringMatching(/own address/) })
  })
})

describe("what is managed (NIP-86)", () => {
  it("bans and admits keys, events and kinds, over a restart; the council's roster is above it", async () => {
    const file = join(folder, "lists.db")
    const relay = await start({ file })
    const client = await connect(relay.url)
    const [note, other] = [signed({ content: "one" }, alice), signed({ content: "two" }, alice)]
    const roster = signed({ kind: 78, tags: [["t", "council-roster"]] }, councilKey)
    for (const event of [note, roster]) await client.publish(event)
    expect(await call(relay, "banevent", note.id, "spam")).toEqual({ result: true })
    expect(await call(relay, "banevent", roster.id)).toEqual({ result: true })
    expect(await client.req("all", {})).toEqual([roster])
    expect(await client.publish(note)).toMatchObject({ ok: false, message: expect.stringMatching(/^blocked: /) })
    await call(relay, "banpubkey", getPublicKey(mallory), "rude")
    await call(relay, "disallowkind", 78)
    await call(relay, "disallowkind", 7)
    await relay.close()

    const again = await start({ file })
    const back = await connect(again.url)
    expect(await back.publish(signed({}, mallory))).toMatchObject({
      ok: false,
      message: expect.stringMatching(/^blocked: /),
    })
    expect(await back.publish(signed({ kind: 7 }, alice))).toMatchObject({
      ok: false,
      message: expect.stringMatching(/^blocked: /),
    })
    expect(await back.publish(signed({ kind: 78, content: "next" }, councilKey))).toMatchObject({ ok: true })
    expect(await back.publish(other)).toMatchObject({ ok: true })
    expect(await call(again, "listbannedpubkeys")).toEqual({
      result: [{ pubkey: getPublicKey(mallory), reason: "rude" }],
    })
    expect(await call(again, "listbannedevents")).toEqual({
      result: expect.arrayContaining([{ id: note.id, reason: "spam" }]),
    })
    await call(again, "unbanpubkey", getPublicKey(mallory))
    await call(again, "allowevent", note.id)
    expect(await back.publish(signed({ content: "sorry" }, mallory))).toMatchObject({ ok: true })
    expect(await back.publish(note)).toMatchObject({ ok: true })
    await call(again, "allowkind", 7)
    expect(await call(again, "listallowedkinds")).toEqual({ result: [7] })
    expect(await back.publish(signed({ kind: 7, content: "+" }, alice))).toMatchObject({ ok: true })
    expect(await back.publish(signed({ kind: 1, content: "+" }, alice))).toMatchObject({ ok: false })
  })

  it("an allowed key is admitted where only members are", async () => {
    const relay = await start({ rules: { write: "members", read: "members" } })
    const client = await connect(relay.url)
    expect(await client.publish(signed({}, alice))).toMatchObject({ ok: false })
    await call(relay, "allowpubkey", getPublicKey(alice), "a friend")
    expect(await client.publish(signed({}, alice))).toMatchObject({ ok: true })
    await client.authenticate(alice)
    expect((await client.req("all", {})).length).toBe(1)
    expect(await call(relay, "listallowedpubkeys")).toEqual({
      result: [{ pubkey: getPublicKey(alice), reason: "a friend" }],
    })
    await call(relay, "unallowpubkey", getPublicKey(alice))
    expect(await client.publish(signed({ content: "2" }, alice))).toMatchObject({ ok: false })
  })

  it.each([
    ["2001:DB8:0::1", "2001:db8::1"],
    ["::ffff:203.0.113.7", "203.0.113.7"],
    ["::FFFF:cb00:7107", "203.0.113.7"],
  ])("%s is blocked as the network names it, %s", async (given, ip) => {
    const relay = await start()
    await call(relay, "blockip", given)
    expect(await call(relay, "listblockedips")).toEqual({ result: [{ ip, reason: "" }] })
    await call(relay, "unblockip", given)
    expect(await call(relay, "listblockedips")).toEqual({ result: [] })
    for (const own of ["0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1"])
      expect(await call(relay, "blockip", own)).toMatchObject({ error: expect.stringMatching(/own address/) })
  })

  it("a kind on its lists is a restriction that the document names", async () => {
    const relay = await start()
    const isRestricted = async (): Promise<unknown> => {
      const answer = await fetch(relay.url.replace("ws", "http"), { headers: { Accept: "application/nostr+json" } })
      return ((await answer.json()) as { limitation: { restricted_writes: unknown } }).limitation.restricted_writes
    }
    expect(await isRestricted()).toBe(false)
    await call(relay, "disallowkind", 7)
    expect(await isRestricted()).toBe(true)
  })

  it("says what it can, and takes a name, a description, an icon and blocked addresses", async () => {
    const relay = await start()
    expect((await call(relay, "supportedmethods")).result).toEqual(
      expect.arrayContaining(["banpubkey", "listblockedips"]),
    )
    await call(relay, "changerelayname", "Ours")
    await call(relay, "changerelaydescription", "For us.")
    await call(relay, "changerelayicon", "https://example.com/icon.png")
    await call(relay, "blockip", "203.0.113.7", "noise")
    expect(await call(relay, "listblockedips")).toEqual({ result: [{ ip: "203.0.113.7", reason: "noise" }] })
    await call(relay, "unblockip", "203.0.113.7")
    expect(await call(relay, "listblockedips")).toEqual({ result: [] })
    const address = relay.url.replace("ws", "http")
    expect(await (await fetch(address, { headers: { Accept: "application/nostr+json" } })).json()).toMatchObject({
      name: "Ours",
      description: "For us.",
      icon: "https://example.com/icon.png",
    })
  })
})
