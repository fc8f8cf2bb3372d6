/**
 * Throws frames at a real relay process: sound ones, sound ones that were bent, and noise (P24). Afterwards the process
 * lives, its memory did not grow with the frames, and its database is sound.
 *
 *   npm run fuzz -- --frames 1000000 --seed 7
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import SQLite from "better-sqlite3"
import { WebSocket } from "ws"
import { type ChanceShape, seededChance } from "../../src/services/chance.ts"
import { startCli } from "../support/process.ts"
import { signed } from "./client.ts"

export interface FuzzReport {
  readonly frames: number
  readonly answers: Readonly<Record<string, number>>
  /** Closed by the relay, with the code. */
  readonly closes: Readonly<Record<string, number>>
  /** Of the process, after a fifth of the frames and at the end; 0 where it cannot be seen. */
  readonly megabytes: readonly [early: number, late: number]
  readonly integrity: string
  readonly exitCode: number | null
}

export const fuzz = async (frames: number, seed: number): Promise<FuzzReport> => {
  const folder = mkdtempSync(join(tmpdir(), "relay-fuzz-"))
  const file = join(folder, "fuzz.db")
  const relay = startCli(["relay", "serve", "--port", "0", "--db", file])
  let isOver = false
  try {
    const [, url] = await relay.line(/^relay (ws:\S+)/)
    void relay.exited.then((exited) => {
      if (!isOver) throw new Error(`the relay ended (${JSON.stringify(exited)}): ${relay.stderr()}`)
    })
    const answers: Record<string, number> = {}
    const closes: Record<string, number> = {}
    const chance = seededChance(seed)
    const frame = frameMaker(chance)
    let early = 0
    let sent = 0
    while (sent < frames) {
      const client = await open(url as string, answers, closes)
      // A connection lives for some thousand frames, or until one of them costs it.
      for (let rounds = 0; rounds < 20 && sent < frames && client.isOpen(); rounds++) {
        for (let n = 0; n < roundFrames && sent < frames; n++, sent++) client.send(frame())
        await client.fence()
      }
      client.close()
      if (early === 0 && sent >= frames / 5) early = megabytesOf(relay.pid)
    }
    const late = megabytesOf(relay.pid)
    isOver = true
    const { code } = await relay.kill("SIGTERM")
    const database = new SQLite(file)
    const integrity = String(database.pragma("integrity_check", { simple: true }))
    database.close()
    return { frames: sent, answers, closes, megabytes: [early, late], integrity, exitCode: code }
  } finally {
    isOver = true
    if (relay.pid !== undefined) await relay.kill("SIGKILL")
    rmSync(folder, { recursive: true, force: true })
  }
}

const roundFrames = 250

/** One connection: what came back is counted, and a fence is answered when all before it was read. */
const open = async (url: string, answers: Record<string, number>, closes: Record<string, number>) => {
  const socket = new WebSocket(url, { perMessageDeflate: false })
  let passed = Promise.withResolvers<void>()
  socket.on("error", () => undefined)
  socket.on("message", (data) => {
    const [name, id] = JSON.parse((data as Buffer).toString("utf8")) as readonly unknown[]
    answers[String(name)] = (answers[String(name)] ?? 0) + 1
    if (name === "CLOSED" && id === fenceId) passed.resolve()
  })
  socket.once("close", (code) => {
    closes[String(code)] = (closes[String(code)] ?? 0) + 1
    passed.resolve()
  })
  await new Promise((resolve, reject) => {
    socket.once("open", resolve)
    socket.once("error", reject)
  })
  return {
    isOpen: () => socket.readyState === WebSocket.OPEN,
    send: (frame: string | Buffer) => socket.send(frame, { binary: typeof frame !== "string" }),
    fence: async () => {
      passed = Promise.withResolvers()
      if (socket.readyState !== WebSocket.OPEN) return
      for (const id of ids) socket.send(JSON.stringify(["CLOSE", id]))
      socket.send(JSON.stringify(["REQ", fenceId]))
      await passed.promise
    },
    close: () => socket.terminate(),
  }
}

const fenceId = "fence"
const ids = ["a", "b", "c", "\u0000", "é"]

type Frame = () => string | Buffer

const frameMaker = (chance: ChanceShape): Frame => {
  const pick = <T>(values: readonly T[]): T => values[Math.floor(chance.next() * values.length)] as T
  const upTo = (most: number): number => Math.floor(chance.next() * (most + 1))
  const text = (): string =>
    pick([
      () => "",
      () => "\u0000",
      () => "\ud800",
      () => "a".repeat(64),
      () => chance.hex(32),
      () => "x".repeat(upTo(3000)),
      () => String.fromCharCode(...Array.from({ length: upTo(20) }, () => upTo(0xffff))),
      () =>
        pick(["__proto__", "constructor", "-", "d", "e", "p", "30079:", "-1", "1e999", "null", "'; DROP TABLE events"]),
    ])()
  const number = (): number =>
    pick([
      0,
      1,
      -1,
      4,
      5,
      1059,
      22_242,
      30_079,
      65_535,
      65_536,
      1.5,
      2 ** 31,
      2 ** 53,
      2 ** 53 - 1,
      -(2 ** 53),
      1e300,
      NaN,
    ])
  const value = (depth = 3): unknown =>
    pick([text, number, () => null, () => true, ...(depth > 0 ? [() => listOf(depth), () => objectOf(depth)] : [])])()
  const listOf = (depth: number): unknown[] => Array.from({ length: upTo(4) }, () => value(depth - 1))
  const objectOf = (depth: number): object =>
    Object.fromEntries(Array.from({ length: upTo(3) }, () => [text(), value(depth - 1)]))

  const events = Array.from({ length: 300 }, (_, n) =>
    signed({
      kind: pick([0, 1, 4, 5, 7, 78, 1059, 20_001, 30_023, 30_079]),
      content: `${n}`,
      created_at: 1_700_000_000 + upTo(5),
      tags: pick([
        [],
        [["d", "x"]],
        [["d"]],
        [
          ["t", "x"],
          ["p", "a".repeat(64)],
        ],
        [["-"]],
        [["expiration", "9999999999"]],
      ]),
    }),
  )
  for (const event of events.filter(({ kind }) => kind === 1).slice(0, 20))
    events.push(signed({ kind: 5, tags: [["e", event.id]] }))
  const fields = ["id", "pubkey", "created_at", "kind", "tags", "content", "sig", "more"]
  const bent = (object: object, names: readonly string[]): object =>
    chance.next() < 0.7 ? object : { ...object, [pick(names)]: value() }
  const filter = (): object => {
    const event = pick(events)
    const parts: [string, () => unknown][] = [
      ["ids", () => [event.id]],
      ["authors", () => [event.pubkey, chance.hex(32)]],
      ["kinds", () => [event.kind, upTo(40_000)]],
      ["#t", () => ["x", text()]],
      ["#e", () => [event.id]],
      ["#p", () => ["a".repeat(64)]],
      [`#${pick([..."abcdXYZ"])}`, () => [text()]],
      ["since", () => 1_700_000_000 + upTo(5)],
      ["until", () => 1_700_000_000 + upTo(5)],
      ["limit", () => upTo(20)],
    ]
    const chosen = parts.filter(() => chance.next() < 0.25).map(([name, make]) => [name, make()])
    return bent(Object.fromEntries(chosen) as object, [...parts.map(([name]) => name), "#é", "search"])
  }
  const sub = (): unknown => (chance.next() < 0.9 ? pick(ids) : value())
  const bytes = (): Buffer => (chance.next() < 0.3 ? Buffer.alloc(0) : Buffer.from(chance.hex(upTo(100)), "hex"))

  const messages: readonly (() => unknown)[] = [
    () => ["EVENT", pick(events)],
    () => ["EVENT", bent(pick(events), fields)],
    () => ["EVENT", { ...pick(events), tags: Array.from({ length: upTo(300) }, () => listOf(1)) }],
    () => ["REQ", sub(), ...Array.from({ length: upTo(3) }, filter)],
    () => ["COUNT", sub(), filter()],
    () => ["CLOSE", sub()],
    () => ["AUTH", chance.next() < 0.5 ? bent(pick(events), fields) : value()],
    () => ["NEG-OPEN", sub(), filter(), chance.next() < 0.5 ? `61${bytes().toString("hex")}` : value()],
    () => ["NEG-MSG", sub(), chance.next() < 0.7 ? `61${bytes().toString("hex")}` : value()],
    () => ["NEG-CLOSE", sub()],
    () => [value(), value()],
    () => value(),
  ]
  const whole = (): string => JSON.stringify(pick(messages)()) ?? "null"
  const noise: readonly Frame[] = [
    () => whole().slice(0, upTo(200)),
    () => {
      const frame = whole()
      const at = upTo(frame.length)
      return frame.slice(0, at) + text() + frame.slice(at + upTo(3))
    },
    () => text(),
    () => "[".repeat(upTo(5000)),
    () => `["REQ","a",${"[".repeat(2000)}${"]".repeat(2000)}]`,
    () => `["EVENT",{"created_at":1${"0".repeat(upTo(400))}}]`,
  ]
  return () => {
    const dice = chance.next()
    if (dice < 0.0005) return bytes()
    return dice < 0.8 ? whole() : (pick(noise)() as string)
  }
}

const megabytesOf = (pid: number): number => {
  try {
    return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024)
  } catch {
    return 0
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { frames: { type: "string", default: "100000" }, seed: { type: "string", default: "1" } },
  })
  process.stdout.write(`${JSON.stringify(await fuzz(Number(values.frames), Number(values.seed)), null, 2)}\n`)
}
