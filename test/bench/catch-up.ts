/**
 * A wizard comes back to a relay in another process that went on without it for twenty days: how many events a second
 * it reads until it is live, beside the same events' signatures alone, checked in the same run before and after; and
 * what that takes of memory, beside the same return to a relay where nothing came.
 *
 *   --events N (100000)
 *
 * Of a hundred events that came meanwhile, all of which its subscriptions ask for:
 *
 *   55  notes by the operator that name nobody            5 × 4  receipts of its own, of commands that ended in a life
 *   11  notes by strangers that tag it                           that this home does not know, and 5 those commands
 *    7  commands by the operator for another wizard       2  commands for it whose deadline is past; those of the first
 *                                                            six days are older than fourteen, so stale as well
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { keyFile, readOrCreateKey } from "../../src/identity/keys.ts"
import { openSignatures, type Signatures } from "../../src/identity/signature-pool.ts"
import type { Signer } from "../../src/identity/signer.ts"
import { limits } from "../../src/limits.ts"
import { commandTemplate } from "../../src/protocol/command.ts"
import { withId, type EventTemplate, type NostrEvent, type UnsignedEvent } from "../../src/protocol/event.ts"
import { receiptTemplate } from "../../src/protocol/receipt.ts"
import type { Status } from "../../src/protocol/status.ts"
import { openStorage } from "../../src/relay/storage.ts"
import { homeOf, makeHome } from "../../src/runtime/home.ts"
import { systemClock, nowSeconds } from "../../src/services/clock.ts"
import { awaySeconds, wizardName, type Returned } from "./catch-up-process.ts"
import { secretOf } from "./council.ts"
import { freePort, run, type Running } from "./relay/process.ts"

export const catchUp = async (args: readonly string[]): Promise<void> => {
  const { values } = parseArgs({ args: [...args], options: { events: { type: "string", default: "100000" } } })
  const count = Number(values.events)
  const signatures = await openSignatures()
  const root = mkdtempSync(join(tmpdir(), "wizardly-catch-up-"))
  try {
    const empty = await away(join(root, "empty"), signatures, async () => [])
    const before: Checked[] = []
    const { events, returned } = await away(join(root, "full"), signatures, async (wizard) => {
      const came = await meanwhile(count, signatures, wizard)
      before.push(await verified(signatures, came))
      return came
    })
    const after = await verified(signatures, events)
    const checks = [...before, after]
    const alone = (checks.length * events.length) / sum(checks.map(({ seconds }) => seconds))
    const aloneProcess = sum(checks.map(({ processSeconds }) => processSeconds)) / checks.length
    const perSecond = events.length / returned.seconds
    const net = events.length / (returned.seconds - empty.returned.seconds)
    print(`${events.length} events came while it was away, signatures by ${signatures.backend}`)
    print(`until live                ${figure(perSecond)} events/s (${returned.seconds.toFixed(2)} s)`)
    print(
      `signatures alone          ${figure(alone)} events/s (${checks.map(({ seconds }) => seconds.toFixed(2)).join(" s before, ")} s after)`,
    )
    print(`until live / signatures   ${(perSecond / alone).toFixed(2)}`)
    print(
      `processor time            ${(returned.threadSeconds - empty.returned.threadSeconds).toFixed(2)} s of the thread that reads, ${(returned.processSeconds - empty.returned.processSeconds).toFixed(2)} s of all, above an empty return; the signatures alone ${aloneProcess.toFixed(2)} s`,
    )
    print(
      `an empty return           ${empty.returned.seconds.toFixed(2)} s; without it ${net.toFixed(0)} events/s, ${(net / alone).toFixed(2)}`,
    )
    print(
      `peak memory               ${megabytes(returned.peakBytes)}, ${megabytes(returned.peakBytes - empty.returned.peakBytes)} above an empty return`,
    )
    print(`commands that it answered ${returned.expired} expired; passed over: ${tellCounts(returned.counts)}`)
  } finally {
    await signatures.close()
    rmSync(root, { recursive: true, force: true })
  }
}

const print = (line: string): void => void process.stdout.write(`${line}\n`)
const figure = (value: number): string => value.toFixed(0).padStart(7)
const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MB`
const tellCounts = (counts: Returned["counts"]): string =>
  Object.entries(counts)
    .map(([reason, many]) => `${many} ${reason}`)
    .join(", ")

const operatorSecret = secretOf(1)

/** Leaves, lets things happen, and comes back. */
const away = async (
  dir: string,
  signatures: Signatures,
  happen: (wizard: Signer) => Promise<readonly NostrEvent[]>,
): Promise<{ readonly events: readonly NostrEvent[]; readonly returned: Returned }> => {
  mkdirSync(dir)
  const home = homeOf(join(dir, "home"), {})
  makeHome(home)
  const wizard = signatures.signerFor(readOrCreateKey(keyFile(home.dir, wizardName)).secret)
  const port = await freePort()
  const file = join(dir, "relay.db")
  const relay = (): Promise<Running> => {
    const launch = join(import.meta.dirname, "../../src/launch.mjs")
    const serve = [launch, "relay", "serve", "--port", String(port), "--db", file]
    return run({ command: process.execPath, args: serve, cwd: dir, port })
  }
  const live = async (job: "leave" | "return"): Promise<string> => {
    const serving = await relay()
    try {
      return await runChild(job, home.dir, serving.url, signatures.signerFor(operatorSecret).pubkey)
    } finally {
      await serving.stop()
    }
  }
  await live("leave")
  const events = await happen(wizard)
  fill(file, events)
  return { events, returned: JSON.parse(await live("return")) as Returned }
}

const runChild = async (...args: readonly string[]): Promise<string> => {
  const child = spawn(process.execPath, [join(import.meta.dirname, "catch-up-process.ts"), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  let text = ""
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
  const [code] = (await once(child, "close")) as [number]
  if (code !== 0) throw new Error(`${args[0]} ended with ${code}`)
  return text
}

/** Into the database of the stopped relay. */
const fill = (file: string, events: readonly NostrEvent[]): void => {
  const storage = openStorage({ file, rowsMax: limits.relayRowsMax, durability: "normal" })
  const now = nowSeconds(systemClock)
  for (let at = 0; at < events.length; at += 5000)
    storage.transaction(now, () => {
      for (const event of events.slice(at, at + 5000)) storage.put(event, JSON.stringify(event), now)
    })
  storage.close()
}

interface Checked {
  readonly seconds: number
  readonly processSeconds: number
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

/** What the signatures alone take, given as readers give them: a page at a time, the next one while it is done. */
const verified = async (signatures: Signatures, events: readonly NostrEvent[]): Promise<Checked> => {
  const began = performance.now()
  const beganUsage = process.cpuUsage()
  const pages = Array.from({ length: Math.ceil(events.length / pageRows) }, (_, n) =>
    events.slice(n * pageRows, (n + 1) * pageRows),
  ).values()
  await Promise.all(
    Array.from({ length: 2 }, async () => {
      for (const page of pages)
        if (!(await signatures.verifier.verify(page)).every(Boolean)) throw new Error("a signature that is none")
    }),
  )
  const { user, system } = process.cpuUsage(beganUsage)
  return { seconds: (performance.now() - began) / 1000, processSeconds: (user + system) / 1e6 }
}

const pageRows = 512

/** What came, in the order of its dates. */
const meanwhile = async (count: number, signatures: Signatures, wizard: Signer): Promise<readonly NostrEvent[]> => {
  const operator = signatures.signerFor(operatorSecret)
  const stranger = signatures.signerFor(secretOf(3))
  const other = signatures.signerFor(secretOf(4)).pubkey
  const until = nowSeconds(systemClock) - 60
  const dated = (n: number): number => until - Math.floor(((count - n) / count) * (awaySeconds - 3600))
  const note = (n: number, tags: EventTemplate["tags"]): EventTemplate => ({
    kind: 1,
    created_at: dated(n),
    tags,
    content: `Number ${n}: what a person says of the day, long enough to look like a note and short enough for a phone.`,
  })
  const command = (n: number, target: string, deadline = {}): EventTemplate =>
    commandTemplate({ text: `do thing number ${n}`, targets: [target], d: `d${n}`, createdAt: dated(n), ...deadline })
  const made: { signer: Signer; event: UnsignedEvent }[] = []
  const add = (signer: Signer, template: EventTemplate): UnsignedEvent => {
    const event = withId(signer.pubkey, template)
    made.push({ signer, event })
    return event
  }
  while (made.length < count) {
    const n = made.length
    const place = n % 100
    if (place < 55) add(operator, note(n, [["t", "day"]]))
    else if (place < 66) add(stranger, note(n, [["p", wizard.pubkey]]))
    else if (place < 73) add(operator, command(n, other))
    else if (place < 75) add(operator, command(n, wizard.pubkey, { deadlineMs: (dated(n) + 60) * 1000 }))
    else chained(add(operator, command(n, wizard.pubkey)), wizard).forEach((template) => add(wizard, template))
  }
  const events: NostrEvent[] = []
  for (let at = 0; at < made.length; at += 10_000) {
    const bite = made.slice(at, at + 10_000)
    const signers = [...new Set(bite.map(({ signer }) => signer))]
    const signed = await Promise.all(
      signers.map((signer) => signer.sign(bite.flatMap((one) => (one.signer === signer ? [one.event] : [])))),
    )
    const byId = new Map(signed.flat().map((event) => [event.id, event]))
    for (const { event } of bite) events.push(byId.get(event.id) as NostrEvent)
  }
  return events
}

/** The receipts of a command that ended well. */
const chained = (command: UnsignedEvent, wizard: Signer): readonly EventTemplate[] => {
  const states: readonly Status[] = ["received", "acknowledged", "working", "artifact-reported"]
  const templates: EventTemplate[] = []
  for (const [at, status] of states.entries()) {
    const before = templates.at(-1)
    templates.push(
      receiptTemplate({
        command: command.id,
        author: command.pubkey,
        wizard: wizardName,
        status,
        ...(before === undefined ? {} : { prev: withId(wizard.pubkey, before).id }),
        n: at + 1,
        roster: 1,
        instance: "elsewhere",
        createdAt: command.created_at + at,
        content: {},
      }),
    )
  }
  return templates
}
