/**
 * A client's web socket as a service, so that the simulator can give relays of its own making.
 *
 * Owns the bound on one incoming frame: above it the socket closes with 1009 and says so in `reason`. Calls `closed` exactly once, also where a connection was never opened; after it,
 * nothing else. One of the two files that touch `ws`; the other is the embedded relay's.
 */
import { Context, Layer } from "effect"
import { WebSocket } from "ws"

export interface SocketHandlers {
  readonly opened: () => void
  /** A text frame. Binary frames close the socket. */
  readonly message: (text: string) => void
  readonly pong: () => void
  /** `code` is 1006 where the other side did not say goodbye; `reason` may be the error's text. */
  readonly closed: (code: number, reason: string) => void
}

export interface SocketConnection {
  readonly send: (text: string) => void
  readonly ping: () => void
  readonly close: (code?: number, reason?: string) => void
  /** Bytes handed over that the network has not taken yet. */
  readonly bufferedBytes: () => number
  /** Stops reading, so that the other side feels it; `resume` reads on. */
  readonly pause: () => void
  readonly resume: () => void
}

export interface SocketShape {
  readonly connect: (
    url: string,
    handlers: SocketHandlers,
    /** `frameBytesMax` bounds what comes in. */
    limits: { readonly frameBytesMax: number; readonly connectMsMax: number },
  ) => SocketConnection
}

export class Socket extends Context.Service<Socket, SocketShape>()("wizardly/services/Socket") {
  static readonly layer = Layer.sync(Socket, () => webSocket)
}

export const webSocket: SocketShape = {
  connect: (url, handlers, limits) => {
    const socket = new WebSocket(url, {
      maxPayload: limits.frameBytesMax,
      handshakeTimeout: limits.connectMsMax,
      perMessageDeflate: false,
    })
    let fault = ""
    socket.on("open", handlers.opened)
    socket.on("message", (data, binary) => {
      if (binary) socket.close(1003, "text frames only")
      else handlers.message((data as Buffer).toString("utf8"))
    })
    socket.on("pong", handlers.pong)
    socket.on("error", (error) => {
      fault = error.message
    })
    socket.once("close", (code, reason) => handlers.closed(code, reason.toString("utf8") || fault))
    return {
      send: (text) => {
        if (socket.readyState === WebSocket.OPEN) socket.send(text)
      },
      ping: () => {
        if (socket.readyState === WebSocket.OPEN) socket.ping()
      },
      close: (code = 1000, reason = "") => {
        if (code === 1006) socket.terminate()
        else socket.close(code, reason)
      },
      bufferedBytes: () => socket.bufferedAmount,
      pause: () => socket.pause(),
      resume: () => socket.resume(),
    }
  },
}
