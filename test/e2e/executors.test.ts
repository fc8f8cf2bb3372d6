/**
 * Executors in a real runtime, with real processes: cancelled, and killed with SIGKILL together with nothing else, while
 * each of them works (P31); and ten commands at once to one local model, which answers `status check` meanwhile.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { execFileSync } from "node:child_process"
import { join } from "node:path"
import { afterEach, describe, expect, it, vi } from "vitest"
import type { GuardRecord } from "../../src/executors/guard.ts"
import { membersOf } from "../../src/executors/processes.ts"
import { sleep, systemClock } from "../../src/services/clock.ts"
import { openStore, type AttemptRow, type CommandRow } from "../../src/store/store.ts"
import { agentSettings } from "../executors/acp-home.ts"
import { mlxMissing, mlxSettings, mlxWhy, prompt } from "../executors/mlx-home.ts"
import { startCli, temporaryHome, type CliProcess } from "../support/process.ts"

vi.setConfig({ testTimeout: 400_000, hookTimeout: 60_000 })

const homes: string[] = []
const running: CliProcess[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((cli) => cli.kill("SIGKILL")))
  // Guards end what they guard when their runtime is gone.
  for (const home of homes.splice(0)) {
    while (marksIn(home).some((mark) => membersOf(undefined, mark).length > 0)) await sleep(systemClock, 50)
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  }
})

const run = (args: readonly string[]): CliProcess => {
  const cli = startCli(args)
  running.push(cli)
  return cli
}

/** A home in which timmy has that executor. `flag` is a path that its programs may write. */
const homeWith = (executor: string, settings: (flags: string) => object): string => {
  const home = temporaryHome()
  homes.push(home)
  const flags = join(home, "flags")
  mkdirSync(flags)
  const limits = { instanceWaitSeconds: 0.2, retryMsMin: 100, executorGraceMs: 500 }
  const roles = { timmy: { executor, settings: settings(flags) } }
  writeFileSync(join(home, "config.json"), JSON.stringify({ limits, roles }))
  return home
}

const started = async (home: string): Promise<CliProcess> => {
  const cli = run(["start", "--role", "timmy", "--relay-port", "0", "--home", home])
  await cli.line(/timmy .* ready/)
  return cli
}

const dispatch = async (home: string, text: string): Promise<string> => {
  const cli = run(["dispatch", text, "--json", "--home", home])
  await cli.exited
  return (JSON.parse(cli.stdout()) as { readonly command: string }).command
}

const inStore = <A>(
  home: string,
  read: (row: CommandRow | undefined, attempts: readonly AttemptRow[]) => A,
  id: string,
): A => {
  const store = openStore(join(home, "runtime.db"), { readonly: true })
  try {
    const row = store.command.byId(id)[0]
    return read(row, row === undefined ? [] : store.attempt.of(row.actor))
  } finally {
    store.database.close()
  }
}

const stateOf = (home: string, id: string): string | undefined => inStore(home, (row) => row?.state, id)

const until = async (holds: () => boolean, withinMs = 180_000): Promise<void> => {
  const end = systemClock.nowMs() + withinMs
  while (!holds()) {
    if (systemClock.nowMs() > end) throw new Error("it did not come to that")
    await sleep(systemClock, 50)
  }
}

const marksIn = (home: string): readonly string[] => {
  const folder = join(home, "guards")
  try {
    const files = readdirSync(folder).filter((name) => name.endsWith(".json"))
    return files.map((name) => (JSON.parse(readFileSync(join(folder, name), "utf8")) as GuardRecord).mark)
  } catch {
    return []
  }
}

const claims = (home: string): number =>
  execFileSync("git", ["for-each-ref", "refs/commands"], {
    cwd: join(home, "artifacts/timmy-artifacts"),
    encoding: "utf8",
  })
    .split("\n")
    .filter((line) => line !== "").length

/** The first time it works for long and leaves its process group; after that it is quick. */
const slowOnce = (flags: string): object => ({
  command: [
    "sh",
    "-c",
    `if [ -e ${flags}/begun ]; then cat > result.txt; echo done; exit; fi; touch ${flags}/begun; setsid sleep 600 & sleep 600`,
  ],
  writable: [flags],
})

interface Case {
  readonly executor: string
  readonly settings: (flags: string) => object
  readonly body: string
  /** What becomes of it when the runtime was killed in the middle. */
  readonly after: "artifact-reported" | "interrupted"
  /** Whether it is at work, beyond having been begun. */
  readonly works: (home: string) => boolean
  /** Processes that stay when no command is at work: a model's server and its guard. */
  readonly stays?: boolean
  readonly isMissing?: boolean
}

const cases: Record<string, Case> = {
  "program that may be repeated": {
    executor: "program",
    settings: (flags) => ({ ...slowOnce(flags), repeat: "safe" }),
    body: "work",
    after: "artifact-reported",
    works: (home) => readdirSync(join(home, "flags")).includes("begun"),
  },
  "program that may not": {
    executor: "program",
    settings: slowOnce,
    body: "work",
    after: "interrupted",
    works: (home) => readdirSync(join(home, "flags")).includes("begun"),
  },
  "coding agent": {
    executor: "acp",
    settings: () => agentSettings,
    body: "sleep",
    after: "interrupted",
    // The agent and what it started.
    works: (home) => marksIn(home).some((mark) => membersOf(undefined, mark).length > 3),
  },
  [`model by its server${mlxWhy}`]: {
    executor: "mlx",
    settings: () => ({ ...mlxSettings, maxTokens: 60 }),
    body: prompt,
    after: "artifact-reported",
    // Its server begins with the first command.
    works: (home) => marksIn(home).some((mark) => membersOf(undefined, mark).length > 0),
    stays: true,
    isMissing: mlxMissing,
  },
  [`model by mlx_lm.generate${mlxWhy}`]: {
    executor: "mlx",
    settings: () => ({ ...mlxSettings, mode: "generate" }),
    body: prompt,
    after: "artifact-reported",
    // The mark is written before the program is there.
    works: (home) => marksIn(home).some((mark) => membersOf(undefined, mark).length > 0),
    isMissing: mlxMissing,
  },
}

const atWork = async (home: string, { body, works }: Case): Promise<string> => {
  const id = await dispatch(home, `@timmy ${body}`)
  await until(() => stateOf(home, id) === "working" && works(home))
  return id
}

describe.each(Object.entries(cases))("a %s", (_name, each) => {
  it.skipIf(each.isMissing === true)("cancelled, leaves no process and no clone", async () => {
    const home = homeWith(each.executor, each.settings)
    await started(home)
    const id = await atWork(home, each)
    const marks = marksIn(home)
    expect(marks.length).toBeGreaterThan(0)
    await dispatch(home, `@timmy cancel ${id.slice(0, 16)}`)
    await until(() => stateOf(home, id) === "cancelled")
    await until(() => readdirSync(join(home, "work", "timmy")).length === 0)
    const alive = (): number => marks.flatMap((mark) => membersOf(undefined, mark)).length
    if (each.stays !== true) await until(() => alive() === 0, 20_000)
    expect(alive() > 0).toBe(each.stays === true)
    expect(claims(home)).toBe(0)
  })

  it.skipIf(each.isMissing === true)(
    "P31: kill -9 of the runtime leaves no orphan, and at most one claim",
    async () => {
      const home = homeWith(each.executor, each.settings)
      const life = await started(home)
      const id = await atWork(home, each)
      const marks = marksIn(home)
      expect(marks.length).toBeGreaterThan(0)
      expect(marks.flatMap((mark) => membersOf(undefined, mark)).length).toBeGreaterThan(0)
      await life.kill("SIGKILL")
      // At once again: recovery waits for the guards of the life before.
      await started(home)
      await until(() => stateOf(home, id) === each.after)
      expect(marks.flatMap((mark) => membersOf(undefined, mark))).toEqual([])
      const again = each.after === "artifact-reported"
      expect(claims(home)).toBe(again ? 1 : 0)
      expect(inStore(home, (_, attempts) => attempts.map(({ outcome }) => outcome), id)).toEqual(
        again ? ["lose", "succeed"] : ["lose"],
      )
    },
  )
})

describe.skipIf(mlxMissing)(`ten commands at once to one local model${mlxWhy}`, () => {
  it("are done one at a time, while status check answers at once", async () => {
    const home = homeWith("mlx", () => ({ ...mlxSettings, maxTokens: 12 }))
    await started(home)
    const ids = await Promise.all(Array.from({ length: 10 }, () => dispatch(home, "@timmy Hi")))
    await until(() => ids.some((id) => stateOf(home, id) === "working"))
    const asked = run(["dispatch", "@timmy status check", "--wait", "--json", "--home", home])
    await asked.exited
    const ended = (): number => ids.filter((id) => stateOf(home, id) === "artifact-reported").length
    expect(asked.stdout()).toContain("artifact-reported")
    expect(ended()).toBeLessThan(10)
    await until(() => ended() === 10, 300_000)
    const spans = ids
      .flatMap((id) =>
        inStore(
          home,
          (_, attempts) => attempts.map(({ begun_ms, ended_ms }) => [begun_ms, ended_ms ?? 0] as const),
          id,
        ),
      )
      .toSorted(([a], [b]) => a - b)
    expect(spans).toHaveLength(10)
    for (const [n, [begun]] of spans.entries()) expect(begun).toBeGreaterThanOrEqual(spans[n - 1]?.[1] ?? 0)
    expect(claims(home)).toBe(10)
  })
})
