/**
 * What finished work and idle wizards cost in memory: the resident set of a real runtime process, after a collection,
 * against the same process with nothing of it.
 *
 *   --finished N (100000)   finished commands in the database
 *   --wizards N (1000)      idle wizards, each with its live actor, heartbeats and a connection to a relay: once a relay in
 *                           a process of its own, once the embedded one, whose end of each socket is counted too
 */
import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"

const print = (line: string): void => void process.stdout.write(`${line}\n`)

export const memory = async (args: readonly string[]): Promise<void> => {
  const { values } = parseArgs({
    args: [...args],
    options: { finished: { type: "string", default: "100000" }, wizards: { type: "string", default: "1000" } },
  })
  const finished = Number(values.finished)
  const wizards = Number(values.wizards)
  const empty = await residentOf({ finished: 0, wizards: 1, relay: "embedded" })
  const full = await residentOf({ finished, wizards: 1, relay: "embedded" })
  print(`empty runtime                  ${megabytes(empty)}`)
  print(`with ${finished} finished commands  ${megabytes(full)}  (${megabytes(full - empty)} more)`)
  const alone = await residentOf({ finished: 0, wizards: 1, relay: "apart" })
  const many = await residentOf({ finished: 0, wizards, relay: "apart" })
  print(`empty runtime, relay apart     ${megabytes(alone)}`)
  print(`with ${wizards} idle wizards         ${megabytes(many)}  (${megabytes(many - alone)} more)`)
  const both = await residentOf({ finished: 0, wizards, relay: "embedded" })
  print(`the same, relay embedded       ${megabytes(both)}  (${megabytes(both - empty)} more than the empty runtime)`)
}

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MB`.padStart(10)

/** Bytes, as the process itself reads them when it has settled. */
const residentOf = async (what: {
  readonly finished: number
  readonly wizards: number
  readonly relay: "embedded" | "apart"
}): Promise<number> => {
  const dir = mkdtempSync(join(tmpdir(), "wizardly-memory-"))
  const relay = what.relay === "apart" ? await startRelay(dir) : undefined
  try {
    if (what.finished > 0) await runChild("fill", dir, what.finished)
    return Number(await runChild("idle", dir, what.wizards, ...(relay === undefined ? [] : [relay.url])))
  } finally {
    relay?.child.kill("SIGTERM")
    if (relay !== undefined) await once(relay.child, "close")
    rmSync(dir, { recursive: true, force: true })
  }
}

const startRelay = async (dir: string): Promise<{ readonly url: string; readonly child: ChildProcess }> => {
  const launch = join(import.meta.dirname, "../../src/launch.mjs")
  const args = [launch, "relay", "serve", "--port", "0", "--db", join(dir, "apart.db")]
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
  const [line] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string]
  return { url: /ws:\S+/.exec(line)?.[0] ?? "", child }
}

const runChild = async (job: string, dir: string, count: number, ...rest: string[]): Promise<string> => {
  const file = join(import.meta.dirname, "memory-process.ts")
  const child = spawn(process.execPath, ["--expose-gc", file, job, dir, String(count), ...rest], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  let text = ""
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
  const [code] = (await once(child, "close")) as [number]
  if (code !== 0) throw new Error(`${job} ended with ${code}`)
  return text
}
