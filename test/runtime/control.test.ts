import { chmodSync, existsSync, mkdtempSync, rmSync, statSync } from "node:fs"
import { fork } from "node:child_process"
import { once } from "node:events"
import { connect, createServer, type Server } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { askControl, ControlFault, serveControl, type ControlHandlers } from "../../src/runtime/control.ts"

let folder: string
let file: string
const closers: (() => Promise<unknown>)[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "control-"))
  file = join(folder, "control.sock")
})
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
  rmSync(folder, { recursive: true })
})

const handlers = {
  ping: (args: unknown) => ({ pong: args }),
  ps: () => undefined,
  claim: () => {
    throw new Error("not now,\nlater")
  },
  order: async () => ({ version: 2 }),
  outgoing: () => null,
} as unknown as ControlHandlers
const serve = async (bytesMax = 1000): Promise<void> => {
  const control = await serveControl(file, handlers, bytesMax)
  closers.push(control.close)
}
/** What is answered to raw bytes, up to the other side's end or the first line. */
const raw = async (bytes: string): Promise<string> => {
  const socket = connect(file)
  closers.push(async () => socket.destroy())
  socket.setEncoding("utf8").write(bytes)
  let answer = ""
  for await (const chunk of socket) {
    answer += String(chunk)
    if (answer.endsWith("\n")) break
  }
  return answer
}

describe("the control socket", () => {
  it("is for its owner only", async () => {
    await serve()
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  it("answers what is asked, with and without arguments, and what a handler has nothing to say to", async () => {
    await serve()
    expect(await askControl(file, "ping", { word: "é\n☂" })).toEqual({ pong: { word: "é\n☂" } })
    expect(await askControl(file, "order")).toEqual({ version: 2 })
    expect(await askControl(file, "ps")).toBeNull()
  })

  it("tells a handler's refusal in one line", async () => {
    await serve()
    await expect(askControl(file, "claim")).rejects.toEqual(new ControlFault({ reason: "not now, later" }))
  })

  it.each([
    ["an unknown verb", '{"v":1,"verb":"dispatch"}', /verb/],
    ["another version", '{"v":2,"verb":"ping"}', /"v"/],
    ["no version", '{"verb":"ping"}', /"v"/],
    ["arguments that are no texts", '{"v":1,"verb":"ping","args":{"a":1}}', /args/],
    ["what is not JSON", "hello", /JSON/],
    ["an empty line", "", /JSON/],
    ["a list", "[]", /./],
  ])("refuses %s", async (_, line, reason) => {
    await serve()
    const answer = JSON.parse(await raw(`${line}\n`)) as { v: number; ok: boolean; error: string }
    expect(answer).toMatchObject({ v: 1, ok: false })
    expect(answer.error).toMatch(reason)
    expect(await askControl(file, "ping")).toEqual({ pong: {} })
  })

  it("refuses a line that is too long, whether it ends or not, and goes on for others", async () => {
    await serve(100)
    for (const bytes of ["x".repeat(101), `${"x".repeat(5000)}`]) {
      expect(JSON.parse(await raw(bytes))).toEqual({ v: 1, ok: false, error: "a line is longer than 100 bytes" })
    }
    await expect(askControl(file, "ping", { a: "x".repeat(200) })).rejects.toThrow("longer than 100 bytes")
    expect(await askControl(file, "ping")).toEqual({ pong: {} })
  })

  it("answers several lines of one client, and one line that comes in pieces", async () => {
    await serve()
    const socket = connect(file)
    closers.push(async () => socket.destroy())
    socket.setEncoding("utf8").write('{"v":1,"verb":"pi')
    socket.write('ng"}\n{"v":1,"verb":"outgoing"}\n')
    let answer = ""
    for await (const chunk of socket) {
      answer += String(chunk)
      if (answer.split("\n").length > 2) break
    }
    expect(answer).toBe('{"v":1,"ok":true,"result":{"pong":{}}}\n{"v":1,"ok":true,"result":null}\n')
  })

  it("survives a client that goes away in the middle", async () => {
    await serve()
    const socket = connect(file)
    await once(socket, "connect")
    socket.write('{"v":1')
    socket.destroy()
    await once(socket, "close")
    expect(await askControl(file, "ping")).toEqual({ pong: {} })
  })

  it("takes the place of one that a killed process left", async () => {
    const child = fork(new URL("./control-holder.ts", import.meta.url), [file])
    await once(child, "message")
    child.kill("SIGKILL")
    await once(child, "exit")
    expect(existsSync(file)).toBe(true)
    expect(await askControl(file, "ping")).toBeUndefined()
    await serve()
    expect(await askControl(file, "ping")).toEqual({ pong: {} })
  })

  it("is gone when it is closed, with everybody who is connected", async () => {
    const control = await serveControl(file, handlers, 100)
    const socket = connect(file)
    await once(socket, "connect")
    const gone = once(socket, "close")
    await control.close()
    await gone
    expect(existsSync(file)).toBe(false)
  })
})

describe("asking", () => {
  const fake = async (answer: (server: Server) => void): Promise<void> => {
    const server = createServer()
    answer(server)
    await new Promise<void>((resolve) => server.listen(file, resolve))
    closers.push(() => new Promise((resolve) => server.close(resolve)))
  }

  it("gives nothing where no process runs", async () => {
    expect(await askControl(file, "ping")).toBeUndefined()
  })

  it("is refused, not left waiting, where the process ends without an answer", async () => {
    await fake((server) => server.on("connection", (socket) => socket.once("data", () => socket.destroy())))
    await expect(askControl(file, "ping")).rejects.toThrow("ended without an answer")
  })

  it("says so where another version answers", async () => {
    await fake((server) => server.on("connection", (socket) => socket.resume().end('{"v":9,"ok":true}\n')))
    await expect(askControl(file, "ping")).rejects.toThrow("another version")
  })

  it.skipIf(process.getuid?.() === 0)("says so where it may not", async () => {
    await serve()
    chmodSync(file, 0)
    await expect(askControl(file, "ping")).rejects.toThrow(/EACCES/)
  })
})
