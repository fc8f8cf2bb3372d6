/**
 * Where a runtime keeps its things. With `--home DIR` or RUNTIME_HOME everything is under that folder and nothing
 * outside is touched; without it the database is under XDG_DATA_HOME, keys are `~/.<name>_key` and artifacts
 * `~/<name>-artifacts`, as the dispatch protocol says.
 */
import { mkdirSync } from "node:fs"
import { homedir } from "node:os"
import { join, resolve } from "node:path"
import { Schema } from "effect"

/** The folder cannot be what a person wants of it; the message says why. */
export class HomeUnusable extends Schema.TaggedError<HomeUnusable>()("HomeUnusable", {
  dir: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `${this.dir} cannot be a home (${this.reason}): name another with --home DIR`
  }
}

export interface Home {
  readonly dir: string
  /** Given by the person; then it holds the keys and the artifacts too. */
  readonly explicit: string | undefined
  readonly database: string
  readonly relayDatabase: string
  readonly config: string
  /** The council's public key that this home pinned, apart from the database. */
  readonly pin: string
  readonly control: string
  /** Commands that wait for a relay, one signed event a file. */
  readonly outgoing: string
  /** One clone for each attempt under way. */
  readonly work: string
  /** What executors run, and what their programs wrote. */
  readonly guards: string
  readonly outputs: string
  /** What a wizard's executor keeps between attempts. */
  readonly executors: string
  readonly artifacts: (wizard: string) => string
}

/** The home that a person names, or the default one. */
export const homeOf = (given: string | undefined, env: NodeJS.ProcessEnv = process.env): Home => {
  const explicit = given ?? (env["RUNTIME_HOME"] || undefined)
  const data = env["XDG_DATA_HOME"] || join(homedir(), ".local", "share")
  const dir = explicit === undefined ? join(data, "wizardly-runtime") : resolve(explicit)
  return {
    dir,
    explicit: explicit === undefined ? undefined : dir,
    database: join(dir, "runtime.db"),
    relayDatabase: join(dir, "relay.db"),
    config: join(dir, "config.json"),
    pin: join(dir, "council.npub"),
    control: join(dir, "control.sock"),
    outgoing: join(dir, "outgoing"),
    work: join(dir, "work"),
    guards: join(dir, "guards"),
    outputs: join(dir, "outputs"),
    executors: join(dir, "executors"),
    artifacts: (wizard) => join(explicit === undefined ? homedir() : join(dir, "artifacts"), `${wizard}-artifacts`),
  }
}

/** Makes its folders, for nobody else to read. Throws HomeUnusable. */
export const makeHome = (home: Home): void => {
  const bytes = Buffer.byteLength(home.control)
  if (bytes > socketBytesMax)
    throw new HomeUnusable({
      dir: home.dir,
      reason: `its name is too long by ${bytes - socketBytesMax} for the control socket inside it`,
    })
  try {
    for (const dir of [home.dir, home.outgoing, home.work]) mkdirSync(dir, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new HomeUnusable({ dir: home.dir, reason: (error as Error).message })
  }
}

/** The shortest bound that a system in use has on a unix socket's path (macOS; Linux has 107). */
const socketBytesMax = 103
