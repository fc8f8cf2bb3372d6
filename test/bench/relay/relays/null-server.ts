/** A process: `null-server.ts PORT` says OK to every event, sends it to every subscriber, and keeps nothing. */
import { type WebSocket, WebSocketServer } from "ws"

const subscribers = new Map<WebSocket, string>()
const sockets = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), perMessageDeflate: false })

sockets.on("connection", (client) => {
  client.on("message", (data) => {
    const text = (data as Buffer).toString()
    const [verb, value] = JSON.parse(text) as [string, unknown]
    if (verb === "REQ") {
      subscribers.set(client, value as string)
      client.send(JSON.stringify(["EOSE", value]))
    }
    if (verb !== "EVENT") return
    client.send(JSON.stringify(["OK", (value as { id: string }).id, true, ""]))
    const json = text.slice('["EVENT",'.length, -1)
    for (const [subscriber, id] of subscribers) subscriber.send(`["EVENT",${JSON.stringify(id)},${json}]`)
  })
  client.on("close", () => subscribers.delete(client))
  client.on("error", () => client.terminate())
})
process.once("SIGTERM", () => process.exit(0))
