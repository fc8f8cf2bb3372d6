/**
 * The control socket: a unix socket in the home, for its owner only, by which other processes of this machine ask the
 * running one for local matters. It orders no work: that takes a signed event, by the same road as a phone's.
 *
 * One JSON line asks, one answers. Each names the version; an unknown verb or version is an error, never ignored.
 */
import { chmodSync, existsSync, rmSync } from "node:fs"
import { createConnection, createServer, type Server, type Socket } from "node:net"
import { Schema } from "effect"

export const controlVersion = 1

export const controlVerbs = [
  "ping",
  "ps",
  "claim",
  "order",
  "outgoing",
  "outbox-resend",
  "outbox-drop",
  "relays",
  "relays-add",
  "relays-remove",
] as const

const Request = Schema.Struct({
  v: Schema.Literal(controlVersion),
  verb: Schema.Literals(controlVerbs),
  args: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
})
export type ControlVerb = (typeof Request.Type)["verb"]

const Reply = Schema.Struct({
  v: Schema.Literal(controlVersion),
  ok: Schema.Boolean,
  error: Schema.optionalKey(Schema.String),
  /** The error's name, by which the exit code is chosen. */
  tag: Schema.optionalKey(Schema.String),
  result: Schema.optionalKey(Schema.Unknown),
})

export class ControlFault extends Schema.TaggedError<ControlFault>()("ControlFault", {
  reason: Schema.String,
  /** What it was in the running process. */
  tag: Schema.optionalKey(Schema.String),
}) {
  override get message(): string {
    return this.reason
  }
}

export type ControlHandlers = {
  readonly [V in ControlVerb]: (args: Readonly<Record<string, string>>) => unknown
}

export const serveControl = async (
  file: string,
  handlers: ControlHandlers,
  bytesMax: number,
): Promise<{ readonly close: () => Promise<void> }> => {
  // The home's lock is ours, so whoever left a socket here is gone.
  if (existsSync(file)) rmSync(file)
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
    socket.on("error", () => socket.destroy())
    const refuse = (): void => void socket.end(`${refusal(`a line is longer than ${bytesMax} bytes`)}\n`)
    readLines(
      socket,
      bytesMax,
      (line) => void answer(handlers, line).then((reply) => socket.write(`${reply}\n`)),
      refuse,
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    const mask = process.umask(0o177)
    server.listen(file, resolve)
    process.umask(mask)
  })
  chmodSync(file, 0o600)
  return {
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

const answer = async (handlers: ControlHandlers, line: string): Promise<string> => {
  try {
    const { verb, args = {} } = Schema.decodeUnknownSync(Request)(JSON.parse(line))
    return JSON.stringify({ v: controlVersion, ok: true, result: (await handlers[verb](args)) ?? null })
  } catch (error) {
    const { _tag: tag, message } = error as Error & { readonly _tag?: string }
    return refusal(message.replaceAll(/\s+/g, " "), tag)
  }
}

const refusal = (error: string, tag?: string): string => JSON.stringify({ v: controlVersion, ok: false, error, tag })

/** Asks the running process. Rejects with ControlFault; undefined where none runs. */
export const askControl = (
  file: string,
  verb: ControlVerb,
  args: Readonly<Record<string, string>> = {},
): Promise<unknown> =>
  new Promise((resolve, reject) => {
    if (!existsSync(file)) return resolve(undefined)
    const socket = createConnection(file)
    socket.on("error", (error: NodeJS.ErrnoException) =>
      error.code === "ECONNREFUSED" || error.code === "ENOENT"
        ? resolve(undefined)
        : reject(new ControlFault({ reason: error.message })),
    )
    // Of no effect where it has answered.
    socket.on("close", () => reject(new ControlFault({ reason: "the running process ended without an answer" })))
    socket.on("connect", () => socket.write(`${JSON.stringify({ v: controlVersion, verb, args })}\n`))
    readLines(socket, Number.POSITIVE_INFINITY, (line) => {
      socket.end()
      try {
        const reply = Schema.decodeUnknownSync(Reply)(JSON.parse(line))
        if (reply.ok) resolve(reply.result)
        else
          reject(
            new ControlFault({ reason: reply.error ?? "refused", ...(reply.tag !== undefined && { tag: reply.tag }) }),
          )
      } catch (error) {
        reject(
          new ControlFault({ reason: `the running process answers in another version: ${(error as Error).message}` }),
        )
      }
    })
  })

const readLines = (
  socket: Socket,
  bytesMax: number,
  hear: (line: string) => void,
  tooLong: () => void = () => socket.destroy(),
): void => {
  let rest = ""
  let refused = false
  socket.setEncoding("utf8")
  socket.on("data", (chunk: string) => {
    if (refused) return
    rest += chunk
    for (let at = rest.indexOf("\n"); at >= 0 && at <= bytesMax; at = rest.indexOf("\n")) {
      hear(rest.slice(0, at))
      rest = rest.slice(at + 1)
    }
    if (rest.length <= bytesMax) return
    refused = true
    rest = ""
    tooLong()
  })
}
