import { hash } from "node:crypto"
import { appendFile, mkdir, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { describe, expect, it } from "vitest"
import type { Artifacts } from "../../src/artifacts/artifacts.ts"
import { commitMessage } from "../../src/artifacts/trailers.ts"
import { git } from "../../src/artifacts/git.ts"
import { runAttempt, type AttemptResult } from "../../src/executors/attempt.ts"
import { ExecutorFailed, mayRetry, type Executor, type Task } from "../../src/executors/executor.ts"
import { none } from "../../src/executors/none.ts"
import { note } from "../../src/executors/note.ts"
import { artifactsIn, ask, executorThat, taskOf, temporaryFolder } from "./workshop.ts"

const quiet = (): void => undefined
const attempt = (artifacts: Artifacts, executor: Executor, task = taskOf(1)): Promise<AttemptResult> =>
  Effect.runPromise(runAttempt({ executor, task, artifacts, report: quiet }))
const failure = (artifacts: Artifacts, executor: Executor, task = taskOf(1)): Promise<ExecutorFailed> =>
  Effect.runPromise(Effect.flip(runAttempt({ executor, task, artifacts, report: quiet })))

const inCommit = async (artifacts: Artifacts, commit: string, path: string): Promise<string> =>
  ask(artifacts.repository.dir, "show", `${commit}:${path}`)

describe("an attempt", () => {
  it("ends in a claimed commit that a person finds in the folder", async () => {
    const home = await temporaryFolder()
    const artifacts = await artifactsIn(home)
    const { dir } = artifacts.repository
    const { text, artifact } = await attempt(artifacts, note)
    expect(text).toContain("no model is attached")
    expect(artifact).toMatchObject({ branch: "main", repo: "timmy-artifacts", m: "text/markdown" })
    const [file] = artifact?.files ?? []
    const content = await readFile(join(dir, file?.path ?? ""))
    expect(file).toEqual({ path: file?.path, bytes: content.length, sha256: hash("sha256", content) })
    expect(artifact?.x).toBe(file?.sha256)
    expect(artifact?.size).toBe(content.length)
    expect(await ask(dir, "rev-parse", `refs/commands/${taskOf(1).command}/timmy`)).toBe(artifact?.commit)
    expect(await ask(dir, "status", "--porcelain")).toBe("")
    expect(await readdir(join(home, "clones"))).toEqual([])
  })

  it("T1: words that pose as trailers do not count", async () => {
    const artifacts = await artifactsIn(await temporaryFolder())
    const posing = executorThat(async (folder) => {
      await writeFile(join(folder, "a.txt"), "a")
      return { text: `Here it is.\n\nWizard: ezra\nCommand-Id: ${"1".repeat(64)}` }
    })
    const { artifact } = await attempt(artifacts, posing)
    const trailers = await ask(
      artifacts.repository.dir,
      "log",
      "-1",
      "--format=%(trailers:only)",
      artifact?.commit ?? "",
    )
    expect(trailers.trim().split("\n")).toEqual([
      `Command-Id: ${taskOf(1).command}`,
      `Trace-Id: ${taskOf(1).command}`,
      "Wizard: timmy",
      "Attempt: 1",
    ])
  })

  it("A1, A2: the same command again takes what was claimed, words included, and runs nothing", async () => {
    const artifacts = await artifactsIn(await temporaryFolder())
    const first = await attempt(artifacts, note)
    const never = executorThat(() => Promise.reject(new Error("was run")))
    expect(await attempt(artifacts, never, taskOf(1, 2))).toEqual(first)
  })

  it("A2: an attempt that did not see an earlier claim ends with that claim", async () => {
    const home = await temporaryFolder()
    const artifacts = await artifactsIn(home)
    const other = { ...(await artifactsIn(home, 2)), findClaim: () => Effect.undefined }
    const clone = await Effect.runPromise(artifacts.prepare(taskOf(1)))
    await writeFile(join(clone.folder, "a.txt"), "a")
    const commit = await Effect.runPromise(artifacts.commit(clone, "first", "the first one's words"))
    const claimed = await Effect.runPromise(artifacts.claim(clone, commit))
    expect(claimed).toEqual({ commit, claimed: "now" })
    const second = await attempt(other, note, taskOf(1, 2))
    expect(second.artifact?.commit).toBe(commit)
    expect(second.text).toBe("the first one's words")
    expect(await ask(artifacts.repository.dir, "for-each-ref", "refs/commands", "--format=%(objectname)")).toBe(commit)
  })

  it("D1: several files are hashed as sha256sum lists them", async () => {
    const artifacts = await artifactsIn(await temporaryFolder())
    const two = executorThat(async (folder) => {
      await mkdir(join(folder, "b"))
      await writeFile(join(folder, "b", "ü.bin"), Buffer.from([0, 10, 255]))
      await writeFile(join(folder, "a.txt"), "")
      await rm(join(folder, "README.md"))
    })
    const { artifact } = await attempt(artifacts, two)
    const list = `${hash("sha256", "")}  a.txt\n${hash("sha256", Buffer.from([0, 10, 255]))}  b/ü.bin\n`
    expect(artifact).toMatchObject({ x: hash("sha256", list), m: "text/plain", size: 3 })
  })

  it("A3: an executor that says there was nothing to change, and left nothing, is taken at its words, as a report", async () => {
    const artifacts = await artifactsIn(await temporaryFolder())
    const answer = executorThat(() => Promise.resolve({ text: "42", changed: false, cost: { seconds: 1 } }))
    const { text, cost, artifact } = await attempt(artifacts, answer)
    expect({ text, cost }).toEqual({ text: "42", cost: { seconds: 1 } })
    const path = `reports/2026-03-31-${taskOf(1).command.slice(0, 16)}.md`
    expect(artifact?.files.map((file) => file.path)).toEqual([path])
    expect(await inCommit(artifacts, artifact?.commit ?? "", path)).toContain("> task 1\n>\n> Command-Id: 0")
    expect(await inCommit(artifacts, artifact?.commit ?? "", path)).toContain("\n\n42\n\n— timmy (told), asked at 2026")
  })

  it("needs no clone for an executor that makes no files", async () => {
    const artifacts = await artifactsIn(await temporaryFolder())
    expect(await attempt(artifacts, none)).toEqual({
      text: "nothing was done: the none executor does nothing",
    })
  })

  it("takes a commit that the executor made itself, if its trailers are right", async () => {
    const artifacts = await artifactsIn(await temporaryFolder())
    const itself = executorThat((folder, task) => commitItself(folder, "a.txt", commitMessage("mine", "Done.", task)))
    const { artifact } = await attempt(artifacts, itself)
    expect(await inCommit(artifacts, artifact?.commit ?? "", "a.txt")).toBe("made by the executor")
  })

  it.each(["stalled", "late"] as const)("A5: what %s is tried again only where it may be repeated", async (kind) => {
    const artifacts = await artifactsIn(await temporaryFolder())
    const reason = "nobody knows how far it came"
    const stopped: Executor = { ...note, run: () => Effect.fail(new ExecutorFailed({ kind, reason })) }
    expect(await failure(artifacts, stopped)).toMatchObject({ kind: "retryable", reason })
    expect(await failure(artifacts, { ...stopped, repeat: "never" })).toMatchObject({ kind, reason })
    expect(mayRetry(kind, "never")).toBe(false)
  })

  it("A4: interrupted, it leaves no clone, and promptly", async () => {
    const home = await temporaryFolder()
    const artifacts = await artifactsIn(home)
    const begun = Deferred.makeUnsafe<void>()
    const endless: Executor = {
      ...note,
      run: () => Deferred.succeed(begun, undefined).pipe(Effect.andThen(Effect.never)),
    }
    const exit = await Effect.runPromise(
      Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(
          runAttempt({ executor: endless, task: taskOf(1), artifacts, report: quiet }),
        )
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(fiber)
        return yield* Fiber.await(fiber)
      }),
    )
    expect(Exit.isFailure(exit)).toBe(true)
    expect(await readdir(join(home, "clones"))).toEqual([])
    expect(await attempt(artifacts, note, taskOf(1, 2))).toMatchObject({ artifact: { branch: "main" } })
  })

  it("an executor that throws has failed for good, in its own name", async () => {
    const artifacts = await artifactsIn(await temporaryFolder())
    const error = await failure(
      artifacts,
      executorThat(() => Promise.reject(new Error("out of wands"))),
    )
    expect(error).toMatchObject({ _tag: "ExecutorFailed", kind: "final" })
    expect(error.reason).toContain("told broke: Error: out of wands")
  })
})

const commitItself = async (folder: string, path: string, message: string): Promise<void> => {
  await writeFile(join(folder, path), "made by the executor")
  await ask(folder, "add", "--all")
  await Effect.runPromise(git(folder, ["commit", "--quiet", "--allow-empty", "--file=-"], { input: message }))
}

const wrong = (task: Task, change: Partial<Task>): string => commitMessage("work", "Done.", { ...task, ...change })

const lies: Record<string, readonly [said: string, act: (folder: string, task: Task) => Promise<void>]> = {
  "nothing is done": ["nothing was changed", async () => undefined],
  "an empty commit with the right trailers": [
    "changes no file",
    async (folder, task) => {
      const input = commitMessage("work", "Done.", task)
      await Effect.runPromise(git(folder, ["commit", "--allow-empty", "--file=-"], { input }))
    },
  ],
  "a dirty tree beside a good commit": [
    "not clean",
    async (folder, task) => {
      await commitItself(folder, "a.txt", commitMessage("work", "Done.", task))
      await writeFile(join(folder, "b.txt"), "forgotten")
    },
  ],
  "somebody else's commit": [
    "does not descend",
    async (folder, task) => {
      await ask(folder, "switch", "--quiet", "--orphan", "elsewhere")
      await commitItself(folder, "a.txt", commitMessage("work", "Done.", task))
    },
  ],
  "a grafted commit": [
    "does not descend",
    async (folder, task) => {
      const base = await ask(folder, "rev-parse", "HEAD")
      await ask(folder, "switch", "--quiet", "--orphan", "elsewhere")
      await commitItself(folder, "a.txt", commitMessage("work", "Done.", task))
      await mkdir(join(folder, ".git/info"), { recursive: true })
      await writeFile(join(folder, ".git/info/grafts"), `${await ask(folder, "rev-parse", "HEAD")} ${base}\n`)
      await ask(folder, "replace", "--graft", "HEAD", base)
    },
  ],
  "no trailers": ["not name this command", (folder) => commitItself(folder, "a.txt", "work")],
  "the trailers of another command": [
    "not name this command",
    (folder, task) => commitItself(folder, "a.txt", wrong(task, { command: "0".repeat(64) })),
  ],
  "the trailers of another wizard": [
    "not name this wizard",
    (folder, task) => commitItself(folder, "a.txt", wrong(task, { wizard: "ezra" })),
  ],
  "the trailers of another attempt": [
    "not name this attempt",
    (folder, task) => commitItself(folder, "a.txt", wrong(task, { attempt: 7 })),
  ],
  "a trailer twice": [
    "not name this command",
    (folder, task) => commitItself(folder, "a.txt", `${commitMessage("w", "", task)}Command-Id: ${task.command}\n`),
  ],
  "a nested repository": [
    "nested git repository",
    async (folder) => {
      const inner = join(folder, "inner")
      await mkdir(inner)
      await Effect.runPromise(git(inner, ["init", "--quiet"], { outside: true }))
      await commitItself(inner, "a.txt", "work")
    },
  ],
  "a .git that leads elsewhere": [
    ".git folder was replaced",
    async (folder) => {
      await rm(join(folder, ".git"), { recursive: true })
      await symlink(join(folder, "..", "..", "..", "timmy-artifacts", ".git"), join(folder, ".git"))
    },
  ],
}

describe("a lying executor ends unverified:", () => {
  it.each(Object.entries(lies))("V: %s", async (_name, [said, act]) => {
    const home = await temporaryFolder()
    const artifacts = await artifactsIn(home)
    const error = await failure(artifacts, executorThat(act))
    expect(error.reason).toMatch(/^unverified: /)
    expect(error.reason).toContain(said)
    expect(error.kind).toBe("unverified")
    expect(await ask(artifacts.repository.dir, "for-each-ref", "refs/commands")).toBe("")
    expect(await ask(artifacts.repository.dir, "rev-list", "--count", "main")).toBe("1")
    expect(await readdir(join(home, "clones"))).toEqual([])
  })

  it("C2: programs that an executor hid in the clone's configuration are not run", async () => {
    const home = await temporaryFolder()
    const artifacts = await artifactsIn(home)
    const trap = `touch ${join(home, "sprung")}; cat`
    const trapper = executorThat(async (folder) => {
      await writeFile(join(folder, ".gitattributes"), "* filter=trap\n")
      await writeFile(join(folder, "a.txt"), "a")
      const section = `[filter "trap"]\n\tclean = "${trap}"\n[core]\n\tfsmonitor = "${trap}"\n\thooksPath = hooks\n`
      await appendFile(join(folder, ".git/config"), section)
      await mkdir(join(folder, "hooks"))
      await writeFile(join(folder, "hooks", "pre-commit"), `#!/bin/sh\n${trap}\n`, { mode: 0o755 })
    })
    expect((await attempt(artifacts, trapper)).artifact?.files.map((file) => file.path)).toContain("a.txt")
    expect(await readdir(home)).not.toContain("sprung")
  })
})
