/** A process: `core-server.ts FOLDER DATABASE PORT` serves the `@nostr-relay/core` that is installed in FOLDER. */
import { createRequire } from "node:module"
import { join } from "node:path"
import { type WebSocket, WebSocketServer } from "ws"

interface Relay {
  readonly handleConnection: (client: WebSocket) => void
  readonly handleDisconnect: (client: WebSocket) => void
  readonly handleMessage: (client: WebSocket, message: unknown) => Promise<unknown>
}
interface Repository {
  readonly init: () => Promise<void>
}
interface Validator {
  readonly validateIncomingMessage: (data: unknown) => Promise<unknown>
}

const [folder = "", file = "", port = "0"] = process.argv.slice(2)
const load = createRequire(join(folder, "package.json"))
const { NostrRelay } = load("@nostr-relay/core") as { NostrRelay: new (events: Repository, options: object) => Relay }
const { EventRepositorySqlite } = load("@nostr-relay/event-repository-sqlite") as {
  EventRepositorySqlite: new (file: string, options: object) => Repository
}
const { Validator } = load("@nostr-relay/validator") as { Validator: new () => Validator }

const repository = new EventRepositorySqlite(file, { defaultLimit: 1000 })
await repository.init()
const relay = new NostrRelay(repository, { logLevel: 3 })
const validator = new Validator()

const sockets = new WebSocketServer({ host: "127.0.0.1", port: Number(port), perMessageDeflate: false })
sockets.on("connection", (client) => {
  relay.handleConnection(client)
  client.on("message", (data) => {
    validator
      .validateIncomingMessage(data)
      .then((message) => relay.handleMessage(client, message))
      .catch((error: Error) => client.send(JSON.stringify(["NOTICE", error.message])))
  })
  client.on("close", () => relay.handleDisconnect(client))
  client.on("error", () => client.terminate())
})
process.once("SIGTERM", () => process.exit(0))
