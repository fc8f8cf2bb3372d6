/**
 * The relay's port: web sockets for clients, NIP-11 for whoever asks by HTTP. The server's only file that touches `ws`.
 *
 * Owns the bound on a frame (1009), the number of clients (503), and finding out that a client is dead: one from which
 * nothing came for a whole ping interval is cut off, and so is one that is not read and takes nothing. What is sent to a client in one turn goes to the network together.
 * Knows nothing of what is said.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import type { Duplex } from "node:stream"
import { Schema } from "effect"
import { WebSocket, WebSocketServer } from "ws"
import type { Limits } from "../limits.ts"
import type { ClockShape } from "../services/clock.ts"

/** What the relay can do with a client. After its end everything is a no-op. */
export interface ClientSocket {
  /** The other end's IP address: a proxy's, where there is one. */
  readonly address: string
  readonly send: (text: string) => void
  /** Bytes handed over that the network has not taken yet. */
  readonly bufferedBytes: () => number
  /** Stops and starts reading, so that the client feels it. */
  readonly pause: () => void
  readonly resume: () => void
  /** Ends without a goodbye, for one that does not read. */
  readonly cut: () => void
}

export interface ClientHandlers {
  /** A text frame. Binary frames close the socket (1003). */
  readonly message: (text: string) => void
  /** The network took something: there is room for more. */
  readonly drained: () => void
  /** Once, and nothing after it. */
  readonly closed: () => void
}

export interface ListenOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  readonly limits: Limits
  readonly clock: ClockShape
  /** The NIP-11 document. */
  readonly document: () => unknown
  readonly connected: (socket: ClientSocket) => ClientHandlers
  /** Whether nobody is served at that IP address. */
  readonly isBlocked?: (address: string) => boolean
  /** A management call (NIP-86): its body and its Authorization header, to a status and an answer in JSON. */
  readonly call?: (call: Call) => Promise<{ readonly status: number; readonly answer: unknown }>
}

export interface Call {
  readonly body: Buffer
  readonly authorization: string | undefined
  readonly address: string
}

export interface Listener {
  readonly port: number
  readonly clients: () => number
  /** Takes no more clients, says goodbye (1001 by default) to those there are, and resolves when they are gone. Twice is once. */
  readonly close: (code?: number, reason?: string) => Promise<void>
}

export class PortBusy extends Schema.TaggedError<PortBusy>()("PortBusy", {
  host: Schema.String,
  port: Schema.Number,
}) {
  override get message(): string {
    return (
      `port ${this.port} on ${this.host} is taken, perhaps by a runtime or relay that already runs here: ` +
      "stop that one, or choose another port (`runtime start --relay-port PORT`, `runtime relay serve --port PORT`)"
    )
  }
}

export class ListenFailed extends Schema.TaggedError<ListenFailed>()("ListenFailed", {
  host: Schema.String,
  port: Schema.Number,
  reason: Schema.String,
}) {
  override get message(): string {
    return `the relay cannot listen on ${this.host}, port ${this.port}: ${this.reason}`
  }
}

/** Rejects with PortBusy, or ListenFailed for any other reason (a privileged port, an address of another machine). */
export const listen = async (options: ListenOptions): Promise<Listener> => {
  const { limits, clock } = options
  const http = createServer((request, response) => answerHttp(request, response, options))
  const sockets = new WebSocketServer({ noServer: true, maxPayload: limits.frameBytesMax, perMessageDeflate: false })
  /** Clients from which something came, and whose network took something, since the last ping. */
  const signs: Signs = { heard: new WeakSet(), taking: new WeakSet() }
  const isDead = (client: WebSocket): boolean => {
    const [isHeard, isTaking] = [signs.heard.delete(client), signs.taking.delete(client)]
    // While it is not read, only what it takes tells.
    return !isHeard && (client.isPaused ? client.bufferedAmount > 0 && !isTaking : true)
  }

  let closing: Promise<void> | undefined
  http.on("upgrade", (request, socket, head) => {
    const address = addressOf(request)
    const refuse = (status: string): void => {
      socket.on("error", () => socket.destroy())
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`)
    }
    if (options.isBlocked?.(address) === true) return refuse("403 Forbidden")
    if (closing !== undefined || sockets.clients.size >= limits.relayClientsMax)
      return refuse("503 Service Unavailable")
    sockets.handleUpgrade(request, socket, head, (client) => serve(client, socket, address, signs, options.connected))
  })

  await bind(http, options)
  let disarm = clock.after(
    limits.pingSeconds * 1000,
    function tick() {
      for (const client of sockets.clients) {
        if (isDead(client)) client.terminate()
        else if (client.readyState === WebSocket.OPEN) client.ping()
      }
      disarm = clock.after(limits.pingSeconds * 1000, tick, { unref: true })
    },
    { unref: true },
  )

  const close = async (code: number, reason: string): Promise<void> => {
    disarm()
    const gone = [...sockets.clients].map((client) => new Promise((resolve) => client.once("close", resolve)))
    gone.push(new Promise((resolve) => http.close(resolve)))
    for (const client of sockets.clients) client.close(code, reason)
    const cancel = clock.after(limits.relayGoodbyeMsMax, () => {
      for (const client of sockets.clients) client.terminate()
      http.closeAllConnections()
    })
    await Promise.all(gone)
    cancel()
  }

  return {
    port: (http.address() as AddressInfo).port,
    clients: () => sockets.clients.size,
    close: (code = 1001, reason = "the relay is going away") => (closing ??= close(code, reason)),
  }
}

const bind = (http: Server, { host, port }: ListenOptions): Promise<void> =>
  new Promise((resolve, reject) => {
    // Stays in place: a later fault (no more file handles) costs the one connection that had it, not the relay.
    http.on("error", (error: NodeJS.ErrnoException) =>
      reject(
        error.code === "EADDRINUSE"
          ? new PortBusy({ host, port })
          : new ListenFailed({ host, port, reason: error.message }),
      ),
    )
    http.listen(port, host, resolve)
  })

interface Signs {
  readonly heard: WeakSet<WebSocket>
  readonly taking: WeakSet<WebSocket>
}

const serve = (
  client: WebSocket,
  socket: Duplex,
  address: string,
  { heard, taking }: Signs,
  connected: ListenOptions["connected"],
): void => {
  heard.add(client)
  let isCorked = false
  const uncork = (): void => {
    isCorked = false
    socket.uncork()
  }
  const written = (error?: Error): void => {
    if (error) return
    taking.add(client)
    handlers.drained()
  }
  const handlers = connected({
    address,
    send: (text) => {
      if (client.readyState !== WebSocket.OPEN) return
      if (!isCorked) {
        isCorked = true
        socket.cork()
        process.nextTick(uncork)
      }
      client.send(text, written)
    },
    bufferedBytes: () => client.bufferedAmount,
    pause: () => client.pause(),
    resume: () => {
      // What came while it was paused is read only now.
      heard.add(client)
      client.resume()
    },
    cut: () => client.terminate(),
  })
  client.on("message", (data, binary) => {
    heard.add(client)
    if (binary) client.close(1003, "text frames only")
    else handlers.message((data as Buffer).toString("utf8"))
  })
  client.on("pong", () => heard.add(client))
  // What is wrong with a client's frames ends in `close`, with the code that says so; there is nothing else to do.
  client.on("error", () => client.terminate())
  client.once("close", handlers.closed)
}

const addressOf = (request: IncomingMessage): string =>
  (request.socket.remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/, "")

const cors = {
  "Access-Control-Allow-Origin": "*",
  // A star does not cover this one.
  "Access-Control-Allow-Headers": "Authorization, *",
  "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
}
const callType = "application/nostr+json+rpc"

const answerHttp = (request: IncomingMessage, response: ServerResponse, options: ListenOptions): void => {
  const { document, isBlocked, call } = options
  const say = (status: number, text: string, more: Readonly<Record<string, string>> = {}): void =>
    void response.writeHead(status, { ...cors, "Content-Type": "text/plain; charset=utf-8", ...more }).end(text)
  const isCall = request.headers["content-type"]?.startsWith(callType) === true
  if (isBlocked?.(addressOf(request)) === true) say(403, "not served\n")
  else if (request.method === "OPTIONS") response.writeHead(204, cors).end()
  else if (request.method === "POST" && isCall && call !== undefined)
    void answerCall(request, say, call, options.limits)
  else if (request.method !== "GET" && request.method !== "HEAD")
    say(405, "GET, or a management call (NIP-86) where this relay takes them\n", { Allow: "GET, HEAD, OPTIONS" })
  else if (request.headers.accept?.includes("application/nostr+json") === true)
    say(200, `${JSON.stringify(document())}\n`, { "Content-Type": "application/nostr+json" })
  else say(200, "This is a Nostr relay: connect to this address with a Nostr client (ws://).\n")
}

const answerCall = async (
  request: IncomingMessage,
  say: (status: number, text: string, more?: Readonly<Record<string, string>>) => void,
  call: NonNullable<ListenOptions["call"]>,
  limits: Limits,
): Promise<void> => {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > limits.relayAdminBytesMax)
        return say(413, `at most ${limits.relayAdminBytesMax} bytes\n`, { Connection: "close" })
      chunks.push(chunk)
    }
  } catch {
    // The caller went away in the middle: there is nobody to answer.
    return
  }
  const { authorization } = request.headers
  const { status, answer } = await call({ body: Buffer.concat(chunks), authorization, address: addressOf(request) })
  say(status, `${JSON.stringify(answer)}\n`, { "Content-Type": callType })
}
