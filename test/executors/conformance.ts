/**
 * What every executor is held to, whatever it does: X1 to X5 of `executor.ts`. `make` gives a fresh one and a body that it
 * can work on.
 */
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises"
import { join, relative } from "node:path"
import { Cause, Deferred, Effect, Exit, Fiber } from "effect"
import { describe, expect, it } from "vitest"
import { ExecutorFailed, type Task } from "../../src/executors/executor.ts"
import type { Trial } from "./candidates.ts"
import { ask, artifactsIn, taskOf, temporaryFolder } from "./workshop.ts"

export const executorConformance = (name: string, { make, isSlow, isMissing }: Trial): void => {
  const options = { timeout: isSlow === true ? 300_000 : 30_000 }
  describe.skipIf(isMissing === true)(`executor ${name}`, options, () => {
    const given = async (number: number, home: string) => {
      const { executor, body, host } = await make()
      const bare: Task = { ...taskOf(number), body }
      if (!executor.needsClone) return { executor, host, task: bare }
      const artifacts = await artifactsIn(home)
      const clone = await Effect.runPromise(artifacts.prepare(bare))
      return { executor, host, task: { ...bare, folder: clone.folder } }
    }

    it("bears its name and tells in one line whether it is ready", async () => {
      const { executor } = await make()
      expect(executor.name).toBe(name)
      expect(executor.about).toMatch(new RegExp(`^${name}\\b.+$`))
      const { ready, detail } = await Effect.runPromise(executor.probe())
      expect(ready).toBe(true)
      expect(detail).toMatch(/^\S.*$/)
    })

    it("X1: ends in words, and in files where it needs a clone", async () => {
      const { executor, task } = await given(1, await temporaryFolder())
      const outcome = await Effect.runPromise(executor.run(task, () => undefined))
      expect(outcome.text.trim()).not.toBe("")
      const state = task.folder === undefined ? "" : await ask(task.folder, "status", "--porcelain")
      expect(state !== "").toBe(executor.needsClone && outcome.changed !== false)
    })

    it("X1: without its folder it fails by its own error, and nothing is thrown", async () => {
      const { executor } = await make()
      if (!executor.needsClone) return
      for (const folder of [undefined, "/dev/null/nowhere"]) {
        const task: Task = { ...taskOf(1), ...(folder === undefined ? {} : { folder }) }
        const exit = await Effect.runPromiseExit(executor.run(task, () => undefined))
        // One that only answers does not look at it.
        const isAnswer = folder !== undefined && Exit.isSuccess(exit) && exit.value.changed === false
        const isOwn = Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof ExecutorFailed
        expect(isAnswer || isOwn).toBe(true)
      }
    })

    it("X2: it can be interrupted as soon as it has begun, and a second run meets no trace of the first", async () => {
      const { executor, host, task } = await given(1, await temporaryFolder())
      // Beside what it started for all its runs.
      if (isSlow === true) await Effect.runPromise(executor.run(task, () => undefined))
      const before = host.alive()
      const begun = Deferred.makeUnsafe<void>()
      const work = executor.run(task, () => void Deferred.doneUnsafe(begun, Effect.void))
      const fiber = Effect.runFork(work.pipe(Effect.ensuring(Deferred.succeed(begun, undefined))))
      await Effect.runPromise(
        Deferred.await(begun).pipe(Effect.andThen(Fiber.interrupt(fiber)), Effect.timeout(10_000)),
      )
      expect(fiber.pollUnsafe()).toBeDefined()
      expect(host.alive().filter((pid) => !before.includes(pid))).toEqual([])
      const outcome = await Effect.runPromise(executor.run(task, () => undefined))
      expect(outcome.text).not.toBe("")
    })

    it("X5: it can recover an attempt exactly where it says so", async () => {
      const { executor } = await make()
      expect(executor.recover !== undefined).toBe(executor.repeat === "resumable")
    })

    it("X3: it changes nothing outside its folder", async () => {
      const home = await temporaryFolder()
      await mkdir(join(home, "keys"))
      await writeFile(join(home, "keys", "timmy_key"), "secret")
      const { executor, task } = await given(1, home)
      const outside = async () => (await contents(home)).filter(([path]) => !within(home, task, path))
      const before = await outside()
      await Effect.runPromise(executor.run(task, () => undefined))
      expect(await outside()).toEqual(before)
    })

    it("X4: two at once do not meet", async () => {
      const home = await temporaryFolder()
      const works = [await given(1, home), await given(2, home)]
      const run = ({ executor, task }: (typeof works)[number]) => executor.run(task, () => undefined)
      const outcomes = await Effect.runPromise(Effect.all(works.map(run), { concurrency: "unbounded" }))
      expect(outcomes).toHaveLength(2)
      for (const [i, { task }] of works.entries()) {
        const other = works[1 - i]?.task.command ?? ""
        const files = task.folder === undefined ? [] : await contents(task.folder)
        expect(files.some(([path, text]) => path.includes(other) || text.includes(other))).toBe(false)
      }
    })
  })
}

const within = (home: string, task: Task, path: string): boolean =>
  task.folder !== undefined && join(home, path).startsWith(task.folder)

/** Every file below, with what is in it. */
const contents = async (folder: string): Promise<readonly (readonly [path: string, text: string])[]> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return Promise.all(
    files.toSorted().map(async (file) => [relative(folder, file), await readFile(file, "latin1")] as const),
  )
}
