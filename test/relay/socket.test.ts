/** The relay's port, with clients that do as they like. */
import { connect as connectTcp } from "node:net"
import { expect, it } from "vitest"
import { limits } from "../../src/limits.ts"
import { listen } from "../../src/relay/socket.ts"
import { systemClock } from "../../src/services/clock.ts"

it("closed twice, as after a failed disk, it is closed for both when the last client is gone", async () => {
  let gone = 0
  const listener = await listen({
    host: "127.0.0.1",
    port: 0,
    limits: { ...limits, relayGoodbyeMsMax: 50 },
    clock: systemClock,
    document: () => ({}),
    connected: () => ({ message: () => undefined, drained: () => undefined, closed: () => void gone++ }),
  })
  // It never answers a goodbye.
  const rude = connectTcp(listener.port, "127.0.0.1")
  const upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
  const key = `Sec-WebSocket-Key: ${Buffer.alloc(16).toString("base64")}`
  rude.write(["GET / HTTP/1.1", "Host: x", ...upgrade, key, "", ""].join("\r\n"))
  await new Promise((resolve) => rude.once("data", resolve))
  void listener.close(1011, "the disk failed")
  await listener.close()
  expect([listener.clients(), gone]).toEqual([0, 1])
  rude.destroy()
})
