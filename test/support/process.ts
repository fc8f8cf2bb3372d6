/** The real CLI as a real process: started by its path, heard by its lines, ended by its pid. */
import { spawn } from "node:child_process"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export interface Exited {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface CliProcess {
  readonly pid: number
  readonly stdout: () => string
  readonly stderr: () => string
  /** The first line of either stream, past or to come, that fits. Rejects with all that was said if it ends without. */
  readonly line: (fits: RegExp) => Promise<RegExpMatchArray>
  readonly exited: Promise<Exited>
  /** Sends the signal and resolves when the process is gone. */
  readonly kill: (signal: NodeJS.Signals) => Promise<Exited>
}

const launch = fileURLToPath(new URL("../../src/launch.mjs", import.meta.url))

/** `runtime …args`. */
export const startCli = (
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): CliProcess => {
  const child = spawn(process.execPath, [launch, ...args], {
    cwd: options.cwd,
    env: { ...process.env, NO_COLOR: "1", ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  })
  const said = { stdout: "", stderr: "" }
  const looking = new Set<() => void>()
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      said[name] += text
      for (const look of looking) look()
    })
  }
  const exited = new Promise<Exited>((resolve, reject) => {
    child.once("error", reject)
    child.once("close", (code, signal) => resolve({ code, signal }))
  })
  const line: CliProcess["line"] = (fits) =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        // Whole lines only.
        const lines = Object.values(said).flatMap((text) => text.slice(0, text.lastIndexOf("\n") + 1).split("\n"))
        const found = lines.map((text) => fits.exec(text)).find((match) => match !== null)
        if (found === undefined) return
        looking.delete(look)
        resolve(found)
      }
      looking.add(look)
      look()
      void exited.then(() => {
        look()
        if (looking.delete(look)) reject(new Error(`it ended without ${fits}:\n${said.stdout}${said.stderr}`))
      }, reject)
    })
  return {
    pid: child.pid as number,
    stdout: () => said.stdout,
    stderr: () => said.stderr,
    line,
    exited,
    kill: (signal) => {
      child.kill(signal)
      return exited
    },
  }
}

/** A folder of the test's own; whoever makes it removes it. */
export const temporaryHome = (): string => mkdtempSync(join(tmpdir(), "wizardly-home-"))
