/**
 * A2 under SIGKILL: an attempt is a real process, killed at random moments (half of the time with its git children, else
 * they live on as orphans), then run to its end.
 */
import { join } from "node:path"
import { createInterface } from "node:readline"
import { Effect } from "effect"
import { execa } from "execa"
import { describe, expect, it } from "vitest"
import { runAttempt, type AttemptResult } from "../../src/executors/attempt.ts"
import { note } from "../../src/executors/note.ts"
import { seededChance } from "../../src/services/chance.ts"
import { sleep, systemClock } from "../../src/services/clock.ts"
import { artifactsIn, ask, taskOf, temporaryFolder } from "./workshop.ts"

const seed = Number(process.env["KILL_SEED"] ?? 20_260_331)
const homes = 5
const commandsPerHome = 4
/** The first command of a home is killed twice, so also while the repository is being made. */
const killsOf = (number: number): number => (number === 0 ? 2 : 1)

const program = join(import.meta.dirname, "attempt-process.ts")

/** Whether the kill came before the end. */
const killed = async (
  home: string,
  number: number,
  attempt: number,
  afterMs: number,
  all: boolean,
): Promise<boolean> => {
  const args = [program, home, String(number), String(attempt)]
  const child = execa(process.execPath, args, { reject: false })
  let ended = false
  void child.then(() => (ended = true))
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === "begun") break
  }
  await sleep(systemClock, afterMs)
  if (!ended && child.pid !== undefined) {
    const gits = all ? await childrenOf(child.pid) : []
    child.kill("SIGKILL")
    for (const pid of gits) killGroup(pid)
  }
  return (await child).isTerminated
}

const childrenOf = async (pid: number): Promise<readonly number[]> => {
  const { stdout } = await execa("ps", ["-A", "-o", "pid=,ppid="])
  const rows = stdout.split("\n").map((line) => line.trim().split(/\s+/).map(Number))
  return rows.flatMap(([child, parent]) => (parent === pid && child !== undefined ? [child] : []))
}

/** Each git is the head of a group of its own; it may have ended meanwhile. */
const killGroup = (pid: number): void => {
  try {
    process.kill(-pid, "SIGKILL")
  } catch (error) {
    expect(error).toMatchObject({ code: "ESRCH" })
  }
}

const finished = async (home: string, number: number, attempt: number): Promise<AttemptResult> => {
  const artifacts = await artifactsIn(home, attempt)
  const task = taskOf(number, attempt)
  return Effect.runPromise(runAttempt({ executor: note, task, artifacts, report: () => undefined }))
}

describe(`attempts that are killed (KILL_SEED=${seed})`, () => {
  it("A2, N2, R3: one claimed commit each, once in main, a sound repository", { timeout: 400_000 }, async () => {
    const chance = seededChance(seed)
    const kills: boolean[] = []
    for (let home = 0; home < homes; home++) {
      const folder = await temporaryFolder()
      const results: AttemptResult[] = []
      // As long as an undisturbed attempt takes here and now: kills then fall anywhere in it.
      const lengthMs = await lengthOf(await temporaryFolder())
      for (let number = 0; number < commandsPerHome; number++) {
        let attempt = 1
        for (let i = killsOf(number); i > 0; i--)
          kills.push(await killed(folder, number, attempt++, chance.next() * lengthMs, chance.next() < 0.5))
        results.push(await finished(folder, number, attempt))
      }
      await sound(join(folder, "timmy-artifacts"), results)
    }
    expect(kills).toHaveLength(25)
    expect(kills.filter(Boolean).length).toBeGreaterThan(12)
  })
})

const lengthOf = async (home: string): Promise<number> => {
  const begunMs = systemClock.nowMs()
  await finished(home, 0, 1)
  return systemClock.nowMs() - begunMs
}

const sound = async (dir: string, results: readonly AttemptResult[]): Promise<void> => {
  expect(await ask(dir, "status", "--porcelain")).toBe("")
  expect(await ask(dir, "fsck", "--full", "--strict", "--no-dangling", "--no-progress")).toBe("")
  const refs = await ask(dir, "for-each-ref", "refs/commands", "--format=%(objectname) %(refname)")
  const claims = results.map(
    ({ artifact }, number) => `${artifact?.commit} refs/commands/${taskOf(number).command}/timmy`,
  )
  expect(refs.split("\n").toSorted()).toEqual(claims.toSorted())
  expect(results.map(({ artifact }) => artifact?.branch)).toEqual(results.map(() => "main"))
  const files = (await ask(dir, "ls-tree", "-r", "--name-only", "main", "commands/")).split("\n")
  expect(files).toEqual(results.flatMap(({ artifact }) => artifact?.files.map(({ path }) => path) ?? []).toSorted())
  expect(files).toHaveLength(results.length)
}
