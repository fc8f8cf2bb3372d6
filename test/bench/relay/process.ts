/** A relay as a process of its own, on a free loopback port, its data in a folder of its own; ended by its pid. */
import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { readdirSync, readFileSync } from "node:fs"
import { connect, createServer, type AddressInfo } from "node:net"
import { setTimeout as wait } from "node:timers/promises"

export interface Running {
  readonly url: string
  /** Resident bytes of the process and those that it started. */
  readonly resident: () => number
  readonly stop: () => Promise<void>
}

export interface Program {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env?: NodeJS.ProcessEnv
  readonly port: number
}

export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return port
}

/** Resolves when the port answers; rejects with what the program said last when it ends or takes longer than 30 s. */
export const run = async ({ command, args, cwd, env, port }: Program): Promise<Running> => {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] })
  let said = ""
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-2000)))
  // Not even a bench that throws leaves a relay behind.
  const last = (): void => void child.kill("SIGKILL")
  process.once("exit", last)
  child.once("close", () => process.off("exit", last))
  const failed = once(child, "error").then(([error]) => Promise.reject(error as Error))
  failed.catch(() => {})
  for (let tries = 0; !(await answers(port)); tries++) {
    if (child.exitCode !== null || tries > 300) {
      await end(child)
      throw new Error(`${command} does not answer on port ${port}: ${said}`)
    }
    await Promise.race([wait(100), failed])
  }
  const pid = child.pid as number
  return {
    url: `ws://127.0.0.1:${port}`,
    resident: () => family(pid).reduce((sum, each) => sum + residentOf(each), 0),
    stop: () => end(child),
  }
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy()
      resolve(true)
    })
    socket.on("error", () => resolve(false))
  })

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const pids = family(child.pid)
  const closed = once(child, "close")
  child.kill("SIGTERM")
  // Nothing of it is needed any more, and some wait half a minute for their clients.
  const late = setTimeout(() => pids.forEach(killed), 3000)
  await closed
  clearTimeout(late)
}

const killed = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // It is gone already.
  }
}

/** The process and its descendants, by `/proc`; the process alone where there is none. */
const family = (root: number): readonly number[] => {
  const parents = new Map<number, number>()
  try {
    for (const name of readdirSync("/proc")) {
      if (!/^\d+$/.test(name)) continue
      const parent = field(Number(name), "PPid")
      if (parent !== undefined) parents.set(Number(name), parent)
    }
  } catch {
    return [root]
  }
  const found = [root]
  for (const each of found) for (const [pid, parent] of parents) if (parent === each) found.push(pid)
  return found
}

const residentOf = (pid: number): number => (field(pid, "VmRSS") ?? 0) * 1024

const field = (pid: number, name: string): number | undefined => {
  try {
    const value = new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
    return value === undefined ? undefined : Number(value)
  } catch {
    return undefined
  }
}
