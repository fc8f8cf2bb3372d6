/**
 * A small real relay on a socket that misbehaves as it is told: caps pages, cuts, demands AUTH, forges, stays silent.
 * It stores what it is given, answers REQ newest first, and feeds live events to what is subscribed.
 */
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { WebSocketServer, type WebSocket } from "ws"
import { matchFilter, type Filter } from "nostr-tools/filter"
import { verifyEvent, type NostrEvent } from "nostr-tools/pure"

export interface Script {
  /** Most events in one page, whatever the filter asks for. */
  readonly cap?: number
  /** Tells in EOSE whether that was all (NIP-67). */
  readonly hints?: boolean
  /** Before anything is answered: REQ and EVENT are refused with `auth-required:`. */
  readonly auth?: boolean
  /** Answers no pings, as a half-open socket. Read when the relay starts. */
  readonly mute?: boolean
  /** Frames that are sent instead of what REQ would get; undefined answers as usual. */
  readonly onReq?: (id: string, filter: Filter, client: Client) => readonly unknown[][] | undefined
  /** The same for EVENT; an empty list is silence. */
  readonly onEvent?: (event: NostrEvent, client: Client) => readonly unknown[][] | undefined
  /** The same for NEG-OPEN and NEG-MSG (NIP-77); left out it knows neither. */
  readonly onNeg?: (frame: readonly unknown[], client: Client) => readonly unknown[][]
  /** What it says of itself (NIP-11), as text; left out it says nothing. */
  readonly information?: () => string
}

export interface Client {
  readonly send: (...frame: readonly unknown[]) => void
  readonly sendText: (text: string) => void
  /** 1006 goes without goodbye. */
  readonly cut: (code?: number) => void
  readonly subscriptions: Map<string, Filter>
  authenticated: boolean
  /** The one challenge that AUTH may answer. */
  challenge: string
  /** Challenges that AUTH answered, in their order. */
  readonly answered: (string | undefined)[]
  /** REQs in their order. */
  readonly asked: { readonly id: string; readonly filter: Filter }[]
  /** Events that it was given, each with the id of the REQ. */
  readonly given: (readonly [string, NostrEvent])[]
  /** Everything that it said, in its order. */
  readonly frames: (readonly unknown[])[]
}

export interface ScriptedRelay {
  readonly url: string
  readonly stored: NostrEvent[]
  readonly clients: Client[]
  script: Script
  /** Stores and feeds it to whoever is subscribed. */
  readonly give: (event: NostrEvent) => void
  readonly close: () => Promise<void>
}

export const scriptedRelay = async (script: Script = {}): Promise<ScriptedRelay> => {
  const http = createServer((_request, response) => {
    const text = relay.script.information?.()
    response.writeHead(text === undefined ? 404 : 200).end(text)
  })
  const server = new WebSocketServer({ server: http, autoPong: script.mute !== true })
  http.listen(0, "127.0.0.1")
  await once(http, "listening")
  const relay: ScriptedRelay = {
    url: `ws://127.0.0.1:${(http.address() as AddressInfo).port}`,
    stored: [],
    clients: [],
    script,
    give: (event) => {
      relay.stored.push(event)
      for (const client of relay.clients)
        for (const [id, filter] of client.subscriptions) if (matchFilter(filter, event)) client.send("EVENT", id, event)
    },
    close: async () => {
      for (const socket of server.clients) socket.terminate()
      server.close()
      http.close()
      http.closeAllConnections()
      await once(http, "close")
    },
  }
  server.on("connection", (socket) => serve(relay, socket))
  return relay
}

const serve = (relay: ScriptedRelay, socket: WebSocket): void => {
  const client: Client = {
    send: (...frame) => {
      if (frame[0] === "EVENT") client.given.push([frame[1] as string, frame[2] as NostrEvent])
      socket.send(JSON.stringify(frame))
    },
    sendText: (text) => socket.send(text),
    cut: (code = 1006) => (code === 1006 ? socket.terminate() : socket.close(code)),
    subscriptions: new Map(),
    authenticated: false,
    challenge: "challenge-1",
    answered: [],
    asked: [],
    given: [],
    frames: [],
  }
  relay.clients.push(client)
  socket.on("close", () => client.subscriptions.clear())
  if (relay.script.auth === true) client.send("AUTH", client.challenge)
  socket.on("message", (data) => {
    const frame = JSON.parse(String(data)) as [string, unknown, unknown]
    const [type, first, second] = frame
    client.frames.push(frame)
    if (type.startsWith("NEG-"))
      for (const said of relay.script.onNeg?.(frame, client) ?? [["NOTICE", `unknown message ${type}`]])
        client.send(...said)
    if (type === "REQ") answer(relay, client, first as string, second as Filter)
    if (type === "CLOSE") client.subscriptions.delete(first as string)
    if (type === "EVENT") accept(relay, client, first as NostrEvent)
    if (type === "AUTH") admit(client, first as NostrEvent)
  })
}

const answer = (relay: ScriptedRelay, client: Client, id: string, filter: Filter): void => {
  client.asked.push({ id, filter })
  const { auth, cap = Infinity, hints, onReq } = relay.script
  const scripted = onReq?.(id, filter, client)
  if (scripted !== undefined) {
    for (const frame of scripted) client.send(...frame)
    return
  }
  if (auth === true && !client.authenticated) return client.send("CLOSED", id, "auth-required: who are you?")
  client.subscriptions.set(id, filter)
  const found = relay.stored
    .filter((event) => matchFilter(filter, event))
    .sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1))
  const page = found.slice(0, Math.min(cap, filter.limit ?? Infinity))
  for (const event of page) client.send("EVENT", id, event)
  client.send("EOSE", id, ...(hints === true ? [[page.length === found.length ? "finish" : "more"]] : []))
}

const accept = (relay: ScriptedRelay, client: Client, event: NostrEvent): void => {
  const scripted = relay.script.onEvent?.(event, client)
  if (scripted !== undefined) {
    for (const frame of scripted) client.send(...frame)
    return
  }
  if (relay.script.auth === true && !client.authenticated)
    return client.send("OK", event.id, false, "auth-required: who are you?")
  const known = relay.stored.some(({ id }) => id === event.id)
  if (!known) relay.give(event)
  client.send("OK", event.id, !known, known ? "duplicate: have it" : "")
}

const admit = (client: Client, event: NostrEvent): void => {
  const challenge = event.tags.find(([name]) => name === "challenge")?.[1]
  client.answered.push(challenge)
  client.authenticated = event.kind === 22242 && challenge === client.challenge && verifyEvent(event)
  client.send("OK", event.id, client.authenticated, client.authenticated ? "" : "restricted: no")
}
