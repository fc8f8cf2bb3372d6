/** An operator's client at one relay: publishes over a line that may fail, and sends again until the relay has it. */
import type { NostrEvent } from "../../src/protocol/event.ts"
import { sleep, systemClock } from "../../src/services/clock.ts"
import { webSocket, type SocketConnection } from "../../src/services/socket.ts"

export interface Sender {
  /** Resolves when the relay says that it has it; rejects where it refuses it. */
  readonly publish: (event: NostrEvent) => Promise<void>
  readonly close: () => void
}

/** Under way at a time. */
const inFlightMax = 16
/** A line on which nothing came for so long, although something should have, is taken for dead. */
const silenceMsMax = 3000
const reconnectMs = 50

interface Letter {
  readonly event: NostrEvent
  readonly answered: PromiseWithResolvers<void>
}

export const openSender = (url: string): Sender => {
  /** In order; the first `inFlightMax` are under way where there is a socket. */
  const letters = new Map<string, Letter>()
  let underWay = new Set<string>()
  let socket: SocketConnection | undefined
  let closed = false
  let heardMs = systemClock.nowMs()

  const flow = (): void => {
    for (const { event } of letters.values()) {
      if (socket === undefined || underWay.size >= inFlightMax) return
      if (underWay.has(event.id)) continue
      underWay.add(event.id)
      socket.send(JSON.stringify(["EVENT", event]))
    }
  }
  const hear = (text: string): void => {
    heardMs = systemClock.nowMs()
    const [type, id, accepted, message] = JSON.parse(text) as [string, string, boolean, string]
    const letter = letters.get(id)
    if (type !== "OK" || letter === undefined) return
    letters.delete(id)
    underWay.delete(id)
    if (accepted || message.startsWith("duplicate:")) letter.answered.resolve()
    else letter.answered.reject(new Error(`${url} refused a command: ${message}`))
    flow()
  }
  const dial = (): void => {
    heardMs = systemClock.nowMs()
    underWay = new Set()
    const call = webSocket.connect(
      url,
      {
        opened: () => {
          socket = call
          flow()
        },
        message: hear,
        pong: () => undefined,
        closed: () => {
          socket = undefined
          if (!closed) void sleep(systemClock, reconnectMs).then(() => closed || dial())
        },
      },
      { frameBytesMax: 1024 * 1024, connectMsMax: silenceMsMax },
    )
    watch(call)
  }
  const watch = (call: SocketConnection): void =>
    void systemClock.after(
      silenceMsMax / 4,
      () => {
        if (closed || (socket !== undefined && socket !== call)) return
        if (underWay.size > 0 && systemClock.nowMs() - heardMs > silenceMsMax) return call.close(1006)
        watch(call)
      },
      { unref: true },
    )
  dial()

  return {
    publish: (event) => {
      const letter = { event, answered: Promise.withResolvers<void>() }
      letters.set(event.id, letter)
      flow()
      return letter.answered.promise
    },
    close: () => {
      closed = true
      socket?.close(1006)
    },
  }
}
