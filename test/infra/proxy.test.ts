/**
 * The relay behind the proxy that `infra/relay` deploys: that very nginx site, with its names, ports and certificate
 * replaced, in front of `runtime relay serve`, driven by a client over wss.
 *
 * Needs nginx and openssl. Without them it is skipped and says so; with CI_REQUIRE_ALL=1 it fails.
 */
import { execFileSync, spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { get } from "node:https"
import { createServer, type AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { WebSocket } from "ws"
import { limits } from "../../src/limits.ts"
import { startCli, type CliProcess } from "../support/process.ts"
import { keyPair } from "../support/relay-harness.ts"

const site = readFileSync(new URL("../../infra/relay/nginx.conf", import.meta.url), "utf8")

const has = (program: string, flag: string): boolean => {
  try {
    execFileSync(program, [flag], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}
const ready = has("nginx", "-v") && has("openssl", "version")
const required = process.env["CI_REQUIRE_ALL"] === "1"
if (!ready && !required) process.stderr.write("skipped: the relay behind nginx (apt-get install nginx-light openssl)\n")

describe.runIf(ready || required)("our relay behind nginx", () => {
  let dir: string
  let relay: CliProcess
  let proxy: ChildProcess
  let port: number
  let relayPort: number
  const ca = (): Buffer => readFileSync(join(dir, "certificate.pem"))

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "wizardly-proxy-"))
    // nginx gives its workers another user than root.
    chmodSync(dir, 0o755)
    port = await freePort()
    relayPort = await freePort()
    relay = await startRelay(dir, port, relayPort)
    certify(dir)
    proxy = await startProxy(dir, port, relayPort)
  }, 30_000)

  afterAll(async () => {
    if (proxy?.exitCode === null) {
      proxy.kill("SIGTERM")
      await once(proxy, "close")
    }
    await relay?.kill("SIGTERM")
    rmSync(dir, { recursive: true, force: true })
  })

  it("an event published over wss comes to a subscriber over wss, live and stored", async () => {
    const { event } = keyPair()
    const early = event("first", now())
    const late = event("second", now() + 1)
    const subscriber = await connect(port, ca())
    const publisher = await connect(port, ca())
    await subscriber.ask(["REQ", "s", { authors: [early.pubkey] }], (message) => message[0] === "EOSE")
    const live = subscriber.next((message) => message[0] === "EVENT")
    expect(await publisher.ask(["EVENT", early], (message) => message[0] === "OK")).toEqual(["OK", early.id, true, ""])
    expect(await live).toEqual(["EVENT", "s", JSON.parse(JSON.stringify(early))])
    await publisher.ask(["EVENT", late], (message) => message[0] === "OK")
    const reader = await connect(port, ca())
    const stored = reader.all((message) => message[0] === "EOSE")
    reader.send(["REQ", "r", { authors: [early.pubkey] }])
    expect((await stored).map((message) => (message[2] as { id: string } | undefined)?.id)).toEqual([
      late.id,
      early.id,
      undefined,
    ])
    for (const each of [subscriber, publisher, reader]) each.close()
  })

  it("an event as large as the relay takes passes the proxy", async () => {
    const { event } = keyPair()
    const large = event("x".repeat(limits.eventBytesMax - 1000), now())
    const client = await connect(port, ca())
    expect(await client.ask(["EVENT", large], (message) => message[0] === "OK")).toEqual(["OK", large.id, true, ""])
    client.close()
  })

  it("a client authenticates for the public address, and for no other", async () => {
    const { event } = keyPair()
    const client = await connect(port, ca())
    const [, challenge] = client.greeting as readonly [string, string]
    const answerFor = async (relay: string): Promise<unknown> => {
      const auth = event("", now(), 22242, [
        ["relay", relay],
        ["challenge", challenge],
      ])
      return (await client.ask(["AUTH", auth], (message) => message[0] === "OK"))[2]
    }
    expect(await answerFor("wss://relay.elsewhere.example")).toBe(false)
    expect(await answerFor(`wss://localhost:${port}`)).toBe(true)
    client.close()
  })

  it("gives the NIP-11 document over https", async () => {
    expect(await fetchInformation(port, ca())).toMatchObject({ supported_nips: expect.arrayContaining([1, 42]) })
  })

  it("a client that is quiet outlives the proxy's patience by the relay's pings", () => {
    const seconds = /proxy_read_timeout (\d+)s/.exec(site)?.[1]
    expect(Number(seconds)).toBeGreaterThan(3 * limits.pingSeconds)
  })

  it("after a restart of the relay a new connection works without a word to the proxy", async () => {
    const client = await connect(port, ca())
    const gone = client.closed
    await relay.kill("SIGTERM")
    await gone
    await expect(connect(port, ca())).rejects.toThrow("502")
    relay = await startRelay(dir, port, relayPort)
    const again = await connect(port, ca())
    expect(await again.ask(["REQ", "s", { limit: 1 }], (message) => message[0] === "EOSE")).toContain("s")
    again.close()
  })
})

const now = (): number => Math.floor(Date.now() / 1000)

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return port
}

const startRelay = async (dir: string, port: number, relayPort: number): Promise<CliProcess> => {
  const config = join(dir, "relay.json")
  writeFileSync(config, JSON.stringify({ urls: [`wss://localhost:${port}`], write: "open", read: "open" }))
  const place = ["--port", String(relayPort), "--db", join(dir, "relay.db")]
  const relay = startCli(["relay", "serve", ...place, "--config", config])
  await relay.line(/ws:\S+/)
  return relay
}

const certify = (dir: string): void => {
  const out = ["-keyout", join(dir, "key.pem"), "-out", join(dir, "certificate.pem")]
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
  execFileSync("openssl", ["req", ...kind, ...out, ...names], { stdio: "ignore" })
}

/** The deployed site, whole but for what differs here; each replacement must find what it replaces. */
const siteAt = (dir: string, port: number, relayPort: number): string => {
  const changes: readonly (readonly [RegExp, string])[] = [
    [/server \{\s+listen 80;[^}]+\}/, ""],
    [/listen 443 ssl;/, `listen 127.0.0.1:${port} ssl;`],
    [/listen \[::\]:443 ssl;/, ""],
    [/server_name relay\.example\.org;/, "server_name localhost;"],
    [/ssl_certificate \S+;/, `ssl_certificate ${join(dir, "certificate.pem")};`],
    [/ssl_certificate_key \S+;/, `ssl_certificate_key ${join(dir, "key.pem")};`],
    [/http:\/\/127\.0\.0\.1:3334/, `http://127.0.0.1:${relayPort}`],
  ]
  return changes.reduce((text, [from, to]) => {
    if (!from.test(text)) throw new Error(`infra/relay/nginx.conf has no ${from} any more`)
    return text.replace(from, to)
  }, site)
}

const startProxy = async (dir: string, port: number, relayPort: number): Promise<ChildProcess> => {
  const file = join(dir, "nginx.conf")
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
  mkdirSync(join(dir, "temp"))
  writeFileSync(
    file,
    `daemon off;\npid ${join(dir, "nginx.pid")};\nerror_log stderr warn;\nevents {}\nhttp {\naccess_log off;\n` +
      `${paths.map((path) => `${path}_temp_path ${join(dir, "temp", path)};\n`).join("")}` +
      `${siteAt(dir, port, relayPort)}\n}\n`,
  )
  const child = spawn("nginx", ["-c", file, "-e", "stderr", "-p", dir], { stdio: ["ignore", "ignore", "pipe"] })
  let said = ""
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text))
  for (let tries = 0; tries < 100; tries++) {
    if (child.exitCode !== null) throw new Error(`nginx ended: ${said}`)
    const client = await connect(port, readFileSync(join(dir, "certificate.pem"))).catch(() => undefined)
    client?.close()
    if (client !== undefined) return child
    await wait(50)
  }
  throw new Error(`nginx does not answer: ${said}`)
}

type Message = readonly unknown[]

interface Client {
  /** The relay's first message: its challenge. */
  readonly greeting: Message
  readonly send: (message: Message) => void
  readonly next: (fits: (message: Message) => boolean) => Promise<Message>
  readonly all: (until: (message: Message) => boolean) => Promise<readonly Message[]>
  readonly ask: (message: Message, fits: (message: Message) => boolean) => Promise<Message>
  readonly close: () => void
  readonly closed: Promise<unknown>
}

const connect = async (port: number, ca: Buffer): Promise<Client> => {
  const socket = new WebSocket(`wss://localhost:${port}`, { ca })
  const closed = new Promise((resolve) => socket.once("close", resolve))
  // The challenge may be in the same bytes as the handshake's end.
  const first = new Promise<Message>((resolve) =>
    socket.once("message", (data: Buffer) => resolve(JSON.parse(data.toString()) as Message)),
  )
  await once(socket, "open")
  const greeting = await first
  const listen = (take: (message: Message) => boolean): Promise<void> =>
    new Promise((resolve) => {
      const heard = (data: Buffer): void => {
        if (!take(JSON.parse(data.toString()) as Message)) return
        socket.off("message", heard)
        resolve()
      }
      socket.on("message", heard)
    })
  const send = (message: Message): void => socket.send(JSON.stringify(message))
  const next: Client["next"] = async (fits) => {
    let found: Message = []
    await listen((message) => {
      found = message
      return fits(message)
    })
    return found
  }
  return {
    greeting,
    send,
    next,
    all: async (until) => {
      const found: Message[] = []
      await listen((message) => {
        found.push(message)
        return until(message)
      })
      return found
    },
    ask: (message, fits) => {
      const answer = next(fits)
      send(message)
      return answer
    },
    close: () => socket.terminate(),
    closed,
  }
}

const fetchInformation = (port: number, ca: Buffer): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const headers = { Accept: "application/nostr+json" }
    get({ host: "localhost", port, path: "/", ca, headers }, (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
      response.on("end", () => resolve(JSON.parse(text)))
    }).on("error", reject)
  })
