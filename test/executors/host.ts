/** What an executor is given in tests: a home in a temporary folder, and a look at what it started. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "vitest"
import type { ExecutorHost } from "../../src/executors/kind.ts"
import { membersOf } from "../../src/executors/processes.ts"
import { limits, type Limits } from "../../src/limits.ts"
import { systemChance } from "../../src/services/chance.ts"
import { systemClock } from "../../src/services/clock.ts"
import { temporaryFolder } from "./workshop.ts"

const kept: string[] = []
afterAll(() => Promise.all(kept.map((folder) => rm(folder, { recursive: true, force: true }))))

const folderToKeep = async (): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), "wizardly-"))
  kept.push(folder)
  return folder
}

export interface TriedHost extends ExecutorHost {
  /** Processes that live and were started under a guard of this host. */
  readonly alive: () => readonly number[]
  readonly warned: readonly string[]
}

/** A host in a folder of its own. */
export const hostIn = async (
  options: {
    readonly limits?: Partial<Limits>
    readonly env?: ExecutorHost["env"]
    /** Until the end of the file, not of the test. */
    readonly keep?: boolean
  } = {},
): Promise<TriedHost> => {
  const home = options.keep === true ? await folderToKeep() : await temporaryFolder()
  const marks: string[] = []
  const warned: string[] = []
  return {
    wizard: "timmy",
    guards: join(home, "guards"),
    outputs: join(home, "outputs"),
    state: join(home, "executors", "timmy"),
    clock: systemClock,
    chance: {
      ...systemChance,
      hex: (bytes) => {
        const hex = systemChance.hex(bytes)
        marks.push(hex)
        return hex
      },
    },
    limits: { ...limits, ...options.limits },
    env: { PATH: process.env["PATH"], ...options.env },
    warn: (message) => warned.push(message),
    alive: () => marks.flatMap((mark) => membersOf(undefined, mark)),
    warned,
  }
}
