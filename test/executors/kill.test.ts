/**
 * A2 under SIGKILL: an attempt is a real process, killed at random moments (half of the time with its git children, else
 * they live on as orphans), then run to its end.
 */
import { join } from "node:path"
import { createInterface } from "node:readline"
import { execa } from "execa"
import { describe, expect, it } from "vitest"
import type { AttemptResult } from "../../src/executors/attempt.ts"
import { seededChance } from "../../src/services/chance.ts"
import { sleep, systemClock } from "../../src/services/clock.ts"
import { ask, taskOf, temporaryFolder } from "./workshop.ts"

const seed = Number(process.env["KILL_SEED"] ?? 20_260_331)
const homes = 5
const killsPerHome = 5

const start = (home: string, number: number, attempt: number) =>
  execa(process.execPath, [join(import.meta.dirname, "attempt-process.ts"), home, String(number), String(attempt)], {
    detached: true,
    reject: false,
  })

/** Whether the kill came before the end. */
const killed = async (
  home: string,
  number: number,
  attempt: number,
  afterMs: number,
  all: boolean,
): Promise<boolean> => {
  const child = start(home, number, attempt)
  let ended = false
  void child.then(() => (ended = true))
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === "begun") break
  }
  await sleep(systemClock, afterMs)
  if (!ended && child.pid !== undefined) process.kill(all ? -child.pid : child.pid, "SIGKILL")
  return (await child).isTerminated
}

const finished = async (home: string, number: number, attempt: number): Promise<AttemptResult> => {
  const { stdout, stderr } = await start(home, number, attempt)
  const line = stdout.split("\n")[1]
  if (line === undefined) throw new Error(`no result: ${stderr}`)
  return JSON.parse(line) as AttemptResult
}

describe(`attempts that are killed (KILL_SEED=${seed})`, () => {
  it("A2, N2, R3: one claimed commit each, once in main, a sound repository", { timeout: 150_000 }, async () => {
    const chance = seededChance(seed)
    let kills = 0
    let killMsMax = 0
    for (let home = 0; home < homes; home++) {
      const folder = await temporaryFolder()
      const dir = join(folder, "timmy-artifacts")
      const begunMs = systemClock.nowMs()
      // Undisturbed once, in another home: kills then fall anywhere in such a length.
      if (home === 0) await finished(await temporaryFolder(), 0, 1)
      if (home === 0) killMsMax = systemClock.nowMs() - begunMs
      const results: AttemptResult[] = []
      for (let number = 0; kills < (home + 1) * killsPerHome; number++) {
        let attempt = 1
        // The first command of a home is killed twice, so also while the repository is being made.
        for (let i = number === 0 ? 2 : 1; i > 0; i--) {
          if (await killed(folder, number, attempt++, chance.next() * killMsMax, chance.next() < 0.5)) kills++
        }
        results.push(await finished(folder, number, attempt))
      }
      await sound(dir, results)
    }
    expect(kills).toBeGreaterThanOrEqual(homes * killsPerHome)
  })
})

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
