/**
 * A tiny relay that is right, and can be given one fault at a time: to see that the conformance suite sees it. Everything
 * is in memory and done at once; nothing here is fast.
 *
 *   faults ──► faulty-store.ts   what is taken, kept and found
 *          └─► this file         what is said on the socket
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { Result } from "effect"
import { verifyEvent } from "nostr-tools/pure"
import { WebSocket, WebSocketServer } from "ws"
import { limits } from "../../src/limits.ts"
import { type NostrEvent, parseEvent, tagValue } from "../../src/protocol/event.ts"
import { type Filter, filterParser, matches } from "../../src/relay/filter.ts"
import { respond } from "../../src/protocol/negentropy.ts"
import { answerManagement } from "./faulty-management.ts"
import { faultyStore, type Store } from "./faulty-store.ts"
import type { Fault } from "./faults.ts"

export interface FaultyRelay {
  readonly url: string
  readonly close: () => Promise<void>
}

/** `admin` is the public key that management obeys. */
export const faultyRelay = async (fault: Fault | undefined, admin: string): Promise<FaultyRelay> => {
  const store = faultyStore(fault)
  const clients = new Set<Client>()
  const banned = new Map<string, string>()
  const manage = answerManagement(fault, admin, banned)
  const server = createServer((request, response) => {
    if (request.method === "POST") return manage(request, response)
    return information(fault, request, response)
  })
  const sockets = new WebSocketServer({ server, maxPayload: limits.frameBytesMax })
  sockets.on("connection", (socket) => {
    const client = openClient(socket)
    clients.add(client)
    socket.once("close", () => clients.delete(client))
    socket.on("error", () => socket.terminate())
    client.send("AUTH", fault === "one challenge for all" ? "challenge-for-all" : client.challenge)
    socket.on("message", (data) => {
      const message = parseList(String(data))
      if (message === undefined && fault === "dies of garbage") {
        for (const one of sockets.clients) one.terminate()
        return sockets.close()
      }
      serve({ fault, store, clients, banned }, client, message ?? [])
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      for (const socket of sockets.clients) socket.terminate()
      server.closeAllConnections()
      server.close()
      await once(server, "close")
    },
  }
}

interface Client {
  readonly send: (...message: readonly unknown[]) => void
  readonly subscriptions: Map<string, readonly Filter[]>
  readonly keys: Set<string>
  readonly challenge: string
  readonly negentropies: Map<string, Parameters<typeof respond>[0]>
}

interface Parts {
  readonly fault: Fault | undefined
  readonly store: Store
  readonly clients: ReadonlySet<Client>
  readonly banned: ReadonlyMap<string, string>
}

const openClient = (socket: WebSocket): Client => ({
  send: (...message) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message))
  },
  subscriptions: new Map(),
  keys: new Set(),
  challenge: randomBytes(16).toString("hex"),
  negentropies: new Map(),
})

const parseFilter = filterParser(limits)

/** One message of one client. */
const serve = (parts: Parts, client: Client, [verb, first, ...rest]: readonly unknown[]): void => {
  const { fault } = parts
  if (verb === "EVENT") return take(parts, client, first)
  if (verb === "AUTH") return admit(fault, client, first)
  if (typeof first !== "string" || first === "" || first.length > 64) return client.send("NOTICE", "invalid: no id")
  if (verb === "CLOSE") return void (fault !== "CLOSE is ignored" && client.subscriptions.delete(first))
  if (verb === "NEG-CLOSE") return void client.negentropies.delete(first)
  if (verb === "NEG-MSG") return negentropy(client, first, rest[0])
  if (verb !== "REQ" && verb !== "COUNT" && verb !== "NEG-OPEN") return client.send("NOTICE", "invalid: unknown verb")
  const parsed = (verb === "NEG-OPEN" ? rest.slice(0, 1) : rest).map(parseFilter)
  const filters = parsed.flatMap((result) => (Result.isSuccess(result) ? [result.success] : []))
  if (filters.length < parsed.length || filters.length === 0)
    return client.send(verb === "NEG-OPEN" ? "NEG-ERR" : "CLOSED", first, "invalid: no filter")
  const { events, isCut } = parts.store.find(filters, (event) => maySee(fault, client, event, filters))
  if (verb === "COUNT")
    return client.send("COUNT", first, { count: events.length + (fault === "counts one more" ? 1 : 0) })
  if (verb === "NEG-OPEN") {
    const offered = fault === "negentropy lacks one" ? events.slice(1) : events
    client.negentropies.set(first, idSet(offered))
    return negentropy(client, first, rest[1])
  }
  for (const event of events) client.send("EVENT", first, event)
  const isFinish = fault === "always says finish" || !isCut
  client.send("EOSE", first, [isFinish ? "finish" : "more"])
  if (fault === "EOSE twice") client.send("EOSE", first)
  const older = fault === "a REQ adds to an open one" ? (client.subscriptions.get(first) ?? []) : []
  const open = (): void => void client.subscriptions.set(first, [...older, ...filters])
  if (fault === "a gap between stored and live") setTimeout(open, 30)
  else open()
}

const take = ({ fault, store, clients, banned }: Parts, client: Client, value: unknown): void => {
  const event = parseEvent(value)
  if (event === undefined) {
    const id = (value as { readonly id?: unknown } | null | undefined)?.id
    return typeof id === "string"
      ? client.send("OK", id, false, "invalid: no event")
      : client.send("NOTICE", "invalid: no event")
  }
  const isProtected = event.tags.some(([name]) => name === "-")
  if (isProtected && !client.keys.has(event.pubkey) && fault !== "takes protected events of anybody")
    return client.send("OK", event.id, false, "auth-required: it is protected")
  if (banned.has(event.pubkey)) return client.send("OK", event.id, false, "blocked: banned")
  const { ok, message, isNew } = store.take(event)
  client.send("OK", event.id, ok, message)
  if (!isNew) return
  for (const one of clients)
    for (const [id, filters] of one.subscriptions) {
      const fitting = filters.filter((filter) =>
        matches(fault === "live feed ignores tags" ? withoutTags(filter) : filter, event),
      )
      if (fitting.length === 0 || !maySee(fault, one, event, undefined)) continue
      const times = fault === "live event once a filter" ? fitting.length : 1
      for (let n = 0; n < times; n++) one.send("EVENT", id, event)
    }
}

const admit = (fault: Fault | undefined, client: Client, value: unknown): void => {
  const event = parseEvent(value)
  if (event === undefined) return client.send("NOTICE", "invalid: no event")
  const now = Date.now() / 1000
  const isRight =
    event.kind === 22242 &&
    verifyEvent({ ...event, tags: event.tags.map((tag) => [...tag]) }) &&
    (fault === "takes any challenge" || tagValue(event, "challenge") === client.challenge) &&
    (fault === "takes an AUTH for any relay" || tagValue(event, "relay")?.startsWith("ws://127.0.0.1:") === true) &&
    (fault === "takes an old AUTH" || Math.abs(event.created_at - now) < 600)
  if (isRight && fault === "one key a connection") client.keys.clear()
  if (isRight) client.keys.add(event.pubkey)
  client.send("OK", event.id, isRight, isRight ? "" : "invalid: no")
}

/** Wraps and old direct messages are their parties'. `filters` are those of a stored answer. */
const maySee = (
  fault: Fault | undefined,
  client: Client,
  event: NostrEvent,
  filters: readonly Filter[] | undefined,
): boolean => {
  if (event.kind !== 4 && event.kind !== 1059) return true
  if (fault === "shows wraps to all") return true
  if (fault === "shows wraps live" && filters === undefined) return true
  if (fault === "shows wraps by id" && filters?.some(({ ids }) => ids !== undefined) === true) return true
  const parties = event.tags.flatMap(([name, value]) => (name === "p" && value !== undefined ? [value] : []))
  if (event.kind === 4) parties.push(event.pubkey)
  return parties.some((key) => client.keys.has(key))
}

const negentropy = (client: Client, id: string, message: unknown): void => {
  const set = client.negentropies.get(id)
  if (set === undefined) return client.send("NEG-ERR", id, "closed: not open")
  try {
    client.send("NEG-MSG", id, respond(set, Buffer.from(String(message), "hex"), 60_000).toString("hex"))
  } catch {
    client.send("NEG-ERR", id, "invalid: no message")
  }
}

const idSet = (events: readonly NostrEvent[]): Parameters<typeof respond>[0] => {
  const sorted = [...events].sort((a, b) => a.created_at - b.created_at || (a.id < b.id ? -1 : 1))
  return {
    size: sorted.length,
    seconds: Float64Array.from(sorted, ({ created_at }) => created_at),
    ids: Buffer.concat(sorted.map(({ id }) => Buffer.from(id, "hex"))),
  }
}

const withoutTags = (filter: Filter): Filter =>
  Object.fromEntries(Object.entries(filter).filter(([key]) => !key.startsWith("#")))

const information = (fault: Fault | undefined, request: IncomingMessage, response: ServerResponse): void => {
  const cors = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Allow-Methods": "*",
  }
  if (fault !== "no CORS") for (const [name, value] of Object.entries(cors)) response.setHeader(name, value)
  if (request.method === "OPTIONS") return void response.writeHead(204).end()
  response.writeHead(200, { "Content-Type": "application/nostr+json" }).end(
    JSON.stringify({
      name: "faulty",
      supported_nips: fault === "odd document" ? ["1", 11] : [1, 4, 9, 11, 17, 40, 42, 45, 67, 70, 77, 86],
      limitation: { created_at_upper_limit: 900, max_subid_length: 64 },
    }),
  )
}

const parseList = (text: string): readonly unknown[] | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}
