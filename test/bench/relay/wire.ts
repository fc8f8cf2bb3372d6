/**
 * A WebSocket client that costs next to nothing, so that what is measured is the relay: frames are encoded before the
 * clock starts (masked with zeros, which the protocol allows), many go out in one write, nothing is parsed but the text.
 *
 * Not for anything but measuring: it trusts the server, knows no compression, and gives up on what it does not know.
 */
import { randomBytes } from "node:crypto"
import { connect as dial, type Socket } from "node:net"

export interface Wire {
  /** Frames made by `encode`, in one write. */
  readonly send: (frames: readonly Buffer[]) => void
  /** Resolves when the socket is gone. */
  readonly close: () => Promise<void>
  readonly closed: () => boolean
}

export interface WireHandlers {
  readonly text: (text: string) => void
  /** Everything that had arrived is handed over: the moment to send more. */
  readonly turn?: () => void
}

export const encode = (text: string): Buffer => {
  const body = Buffer.from(text)
  const short = body.length < 126
  const head = Buffer.alloc(short ? 6 : body.length < 65_536 ? 8 : 14)
  head[0] = 0x81
  head[1] = 0x80 | (short ? body.length : body.length < 65_536 ? 126 : 127)
  if (head.length === 8) head.writeUInt16BE(body.length, 2)
  if (head.length === 14) head.writeBigUInt64BE(BigInt(body.length), 2)
  return Buffer.concat([head, body])
}

/** Rejects when the relay does not take the connection. */
export const open = (url: string, handlers: WireHandlers): Promise<Wire> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const socket = dial({ host: hostname, port: Number(port), noDelay: true })
    const gone = new Promise<void>((end) => socket.once("close", () => end()))
    const wire: Wire = {
      send: (frames) => {
        if (!socket.destroyed) socket.write(frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames))
      },
      close: () => {
        socket.destroy()
        return gone
      },
      closed: () => socket.destroyed,
    }
    socket.once("connect", () =>
      socket.write(
        `GET / HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
      ),
    )
    socket.on("error", reject)
    socket.once("close", () => reject(new Error(`${url} closed the connection`)))
    greet(socket, handlers, () => resolve(wire), reject)
  })

const greet = (socket: Socket, handlers: WireHandlers, opened: () => void, failed: (error: Error) => void): void => {
  let head = Buffer.alloc(0)
  const read = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk])
    const end = head.indexOf("\r\n\r\n")
    if (end < 0) return
    socket.off("data", read)
    const status = head.toString("latin1", 0, head.indexOf("\r\n"))
    if (!status.includes(" 101 ")) {
      failed(new Error(`answered ${status}`))
      socket.destroy()
      return
    }
    const take = frames(socket, handlers)
    socket.on("data", take)
    opened()
    if (head.length > end + 4) take(head.subarray(end + 4))
  }
  socket.on("data", read)
}

/** Takes chunks as they come, hands over whole messages. */
const frames = (socket: Socket, { text, turn }: WireHandlers): ((chunk: Buffer) => void) => {
  let waiting: Buffer[] = []
  let bytes = 0
  let need = 2
  let begun: Buffer[] = []
  return (chunk) => {
    waiting.push(chunk)
    bytes += chunk.length
    if (bytes < need) return
    let data = waiting.length === 1 ? chunk : Buffer.concat(waiting)
    for (;;) {
      const frame = frameOf(data)
      if (typeof frame === "number") {
        need = frame
        break
      }
      const body = data.subarray(frame.from, frame.to)
      data = data.subarray(frame.to)
      if (frame.opcode === 9) socket.write(pong(body))
      else if (frame.opcode === 8) socket.destroy()
      else if (frame.opcode <= 1) {
        if (frame.last && begun.length === 0) text(body.toString())
        else {
          begun.push(body)
          if (frame.last) text(Buffer.concat(begun).toString())
          if (frame.last) begun = []
        }
      }
    }
    waiting = data.length === 0 ? [] : [data]
    bytes = data.length
    turn?.()
  }
}

interface Frame {
  readonly opcode: number
  readonly last: boolean
  readonly from: number
  readonly to: number
}

/** The first frame, or how many bytes it takes to know more. */
const frameOf = (data: Buffer): Frame | number => {
  if (data.length < 2) return 2
  const size = (data[1] as number) & 0x7f
  const from = size === 126 ? 4 : size === 127 ? 10 : 2
  if (data.length < from) return from
  const length = size === 126 ? data.readUInt16BE(2) : size === 127 ? Number(data.readBigUInt64BE(2)) : size
  const to = from + length
  const first = data[0] as number
  return data.length < to ? to : { opcode: first & 0x0f, last: (first & 0x80) !== 0, from, to }
}

const pong = (body: Buffer): Buffer => Buffer.concat([Buffer.from([0x8a, 0x80 | body.length, 0, 0, 0, 0]), body])
