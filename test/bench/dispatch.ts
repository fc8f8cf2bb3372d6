/**
 * How long a person waits for a sign of life: from publishing a command on one client to the acknowledgement arriving
 * there, over the embedded relay of a real `runtime start`. Beside it, in the same run, what nobody can go below: a bare
 * round trip over the same relay (one client asks, another one answers with an event that it has signed before), and
 * what one durable commit takes on the same disk.
 *
 *   --commands N (200), one at a time
 */
import { fdatasync, openSync, rmSync } from "node:fs"
import { join } from "node:path"
import { parseArgs, promisify } from "node:util"
import Database from "better-sqlite3"
import { Redacted } from "effect"
import { finalizeEvent, generateSecretKey, getPublicKey } from "nostr-tools/pure"
import { keyFile, readKey } from "../../src/identity/keys.ts"
import type { NostrEvent } from "../../src/protocol/event.ts"
import { Kind } from "../../src/protocol/kinds.ts"
import { readReceipt } from "../../src/protocol/receipt.ts"
import { startCli, temporaryHome } from "../support/process.ts"
import { encode, open } from "./relay/wire.ts"

export const dispatch = async (args: readonly string[]): Promise<void> => {
  const { values } = parseArgs({ args: [...args], options: { commands: { type: "string", default: "200" } } })
  const count = Number(values.commands)
  const home = temporaryHome()
  const runtime = startCli(["start", "--role", "timmy", "--home", home, "--relay-port", "0"])
  try {
    const [url = ""] = await runtime.line(/ws:\/\/[\d.:]+/)
    await runtime.line(/timmy.*ready|runtime dispatch/)
    const operator = readKey(keyFile(home, "operator"))
    const wizard = readKey(keyFile(home, "timmy"))
    if (operator === undefined || wizard === undefined) throw new Error("the runtime made no keys")
    const secret = Redacted.value(operator.secret)
    const warm = Math.min(20, count)
    await acknowledged(url, secret, wizard.pubkey, warm)
    await roundTrips(url, warm)
    const bare: number[] = []
    const acked: number[] = []
    const commit: number[] = []
    // In turns, so that what the machine does meanwhile does it to all of them.
    for (let left = count; left > 0; left -= warm) {
      bare.push(...(await roundTrips(url, Math.min(warm, left))))
      acked.push(...(await acknowledged(url, secret, wizard.pubkey, Math.min(warm, left))))
      commit.push(...(await commits(join(home, "bench.db"), Math.min(warm, left))))
    }
    const least = quantile(bare, 0.5) + 2 * quantile(commit, 0.5)
    const print = (name: string, list: readonly number[]): void =>
      void process.stdout.write(`${name.padEnd(34)} p50 ${ms(quantile(list, 0.5))}  p95 ${ms(quantile(list, 0.95))}\n`)
    print("command to acknowledgement", acked)
    print("bare round trip over the relay", bare)
    print("one durable commit", commit)
    process.stdout.write(
      `${"a round trip and two commits".padEnd(34)} p50 ${ms(least)}\n` +
        `${"acknowledgement / that".padEnd(34)}     ${(quantile(acked, 0.5) / least).toFixed(2).padStart(7)}\n`,
    )
  } finally {
    await runtime.kill("SIGTERM")
    rmSync(home, { recursive: true, force: true })
  }
}

/** Milliseconds from each command's first byte to its `acknowledged` receipt; the next one begins when it has ended. */
const acknowledged = async (url: string, secret: Uint8Array, wizard: string, count: number): Promise<number[]> => {
  let heard: (id: string, status: string) => void = () => {}
  const client = await listen(url, { kinds: [Kind.record], authors: [wizard], limit: 0 }, (event) => {
    const receipt = readReceipt(event)
    if (receipt !== undefined) heard(receipt.command, receipt.status)
  })
  const took: number[] = []
  for (let i = 0; i < count; i++) {
    const command = signed(secret, {
      kind: Kind.command,
      tags: [
        ["p", wizard],
        ["t", "dispatch-command"],
        ["d", crypto.randomUUID()],
      ],
      content: "@timmy help",
    })
    const frame = [encode(JSON.stringify(["EVENT", command]))]
    const began = performance.now()
    client.send(frame)
    await new Promise<void>((ended) => {
      heard = (id, status) => {
        if (id !== command.id) return
        if (status === "acknowledged") took.push(performance.now() - began)
        if (status === "artifact-reported") ended()
      }
    })
  }
  await client.close()
  if (took.length !== count) throw new Error(`${took.length} of ${count} commands were acknowledged`)
  return took
}

/** Milliseconds from a stranger's event to another stranger's answer, which the relay has stored both. */
const roundTrips = async (url: string, count: number): Promise<number[]> => {
  const [asking, answering] = [generateSecretKey(), generateSecretKey()]
  const note = (secret: Uint8Array, i: number) =>
    encode(JSON.stringify(["EVENT", signed(secret, { kind: Kind.note, tags: [], content: `${i}` })]))
  const questions = Array.from({ length: count }, (_, i) => note(asking, i))
  const answers = Array.from({ length: count }, (_, i) => note(answering, i))
  const replier = await listen(url, { kinds: [Kind.note], authors: [getPublicKey(asking)], limit: 0 }, ({ content }) =>
    replier.send([answers[Number(content)] as Buffer]),
  )
  let heard = (): void => {}
  const asker = await listen(url, { kinds: [Kind.note], authors: [getPublicKey(answering)], limit: 0 }, () => heard())
  const took: number[] = []
  for (const question of questions) {
    const began = performance.now()
    const answered = new Promise<void>((resolve) => (heard = resolve))
    asker.send([question])
    await answered
    took.push(performance.now() - began)
  }
  await Promise.all([asker.close(), replier.close()])
  return took
}

/** Milliseconds of one small transaction in WAL mode until it is on the disk. */
const commits = async (file: string, count: number): Promise<number[]> => {
  const db = new Database(file)
  db.pragma("journal_mode = WAL")
  db.pragma("synchronous = NORMAL")
  db.exec("CREATE TABLE IF NOT EXISTS row (text TEXT)")
  const add = db.prepare("INSERT INTO row (text) VALUES (?)")
  const wal = openSync(`${file}-wal`, "r+")
  const sync = promisify(fdatasync)
  const took: number[] = []
  for (let i = 0; i < count; i++) {
    const began = performance.now()
    add.run("x".repeat(1000))
    await sync(wal)
    took.push(performance.now() - began)
  }
  db.close()
  return took
}

/** A client whose live subscription stands. */
const listen = async (url: string, filter: object, take: (event: NostrEvent) => void) => {
  const stands = Promise.withResolvers<void>()
  const wire = await open(url, {
    text: (text) => {
      const [type, , event] = JSON.parse(text) as [string, string, NostrEvent]
      if (type === "EVENT") take(event)
      else if (type === "EOSE") stands.resolve()
      else if (type === "CLOSED") stands.reject(new Error(text))
    },
  })
  wire.send([encode(JSON.stringify(["REQ", "bench", filter]))])
  await stands.promise
  return wire
}

const signed = (secret: Uint8Array, event: { kind: number; tags: string[][]; content: string }): NostrEvent =>
  finalizeEvent({ ...event, created_at: Math.floor(Date.now() / 1000) }, secret)

const quantile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) * share)] ?? Number.NaN

const ms = (value: number): string => `${value.toFixed(2).padStart(7)} ms`
