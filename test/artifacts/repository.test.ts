import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { Effect, Fiber } from "effect"
import { describe, expect, it, onTestFinished, vi } from "vitest"
import { openArtifacts } from "../../src/artifacts/artifacts.ts"
import { claimRef } from "../../src/artifacts/claim.ts"
import { ArtifactLimits, git, gitVersion, GitMissing } from "../../src/artifacts/git.ts"
import { integrate } from "../../src/artifacts/integrate.ts"
import { openRepository, type Repository } from "../../src/artifacts/repository.ts"
import { limits } from "../../src/limits.ts"
import { seededChance } from "../../src/services/chance.ts"
import { systemClock } from "../../src/services/clock.ts"
import { waiting } from "./waiting.ts"

const temporaryFolder = async (): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), "wizardly-"))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}
const open = (dir: string) => openRepository({ dir, wizard: "timmy", clock: systemClock })
const ask = (dir: string, ...args: readonly string[]) => Effect.runPromise(git(dir, args))

/** A commit on top of `main` that is on no branch, holding one file. */
const commitBeside = async (repository: Repository, path: string, content: string): Promise<string> => {
  const clone = join(await temporaryFolder(), "clone")
  const { dir } = repository
  await Effect.runPromise(git(dir, ["clone", "--quiet", dir, clone], { outside: true }))
  await writeFile(join(clone, path), content)
  await ask(clone, "add", path)
  await ask(clone, "commit", "--quiet", "--message=beside")
  const commit = await ask(clone, "rev-parse", "HEAD")
  await ask(dir, "fetch", "--quiet", clone, commit)
  return commit
}

/** The pid of what git started there, once it has. */
const pidIn = (folder: string): Promise<number> =>
  vi.waitFor(async () => Number(await readFile(join(folder, "begun"), "utf8")), { timeout: 5_000, interval: 10 })

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe("opening", () => {
  it("makes a repository with one commit on main, once, however many open it", async () => {
    const dir = join(await temporaryFolder(), "deep", "timmy-artifacts")
    await Effect.runPromise(Effect.all([open(dir), open(dir), open(dir)], { concurrency: "unbounded" }))
    await Effect.runPromise(open(dir))
    expect(await ask(dir, "log", "--format=%an %s", "main")).toBe("timmy The artifacts begin")
    expect(await ask(dir, "status", "--porcelain")).toBe("")
    expect(await readdir(join(dir, ".."))).toEqual(["timmy-artifacts"])
  })

  it("removes what a kill left half-made", async () => {
    const home = await temporaryFolder()
    await mkdir(join(home, "timmy-artifacts.unfinished-aB3xYz", ".git"), { recursive: true })
    await mkdir(join(home, "timmy-artifacts"))
    await Effect.runPromise(open(join(home, "timmy-artifacts")))
    expect(await readdir(home)).toEqual(["timmy-artifacts"])
  })

  it("R1: refuses a folder with files, a bare repository and one without main, and leaves them", async () => {
    const home = await temporaryFolder()
    await writeFile(join(home, "letter.txt"), "mine")
    const files = await Effect.runPromise(Effect.flip(open(home)))
    expect(files.message).toContain("is no git repository")
    expect(await readdir(home)).toEqual(["letter.txt"])
    const empty = await temporaryFolder()
    await Effect.runPromise(git(empty, ["init", "--quiet"], { outside: true }))
    expect((await Effect.runPromise(Effect.flip(open(empty)))).message).toContain("no commit on a branch main")
    await ask(empty, "config", "core.bare", "true")
    expect((await Effect.runPromise(Effect.flip(open(empty)))).message).toContain("bare")
  })

  it("R3: removes a dead process's locks", async () => {
    const dir = join(await temporaryFolder(), "timmy-artifacts")
    await Effect.runPromise(open(dir))
    const locks = [join(dir, ".git/index.lock"), join(dir, ".git/refs/heads/main.lock")]
    for (const lock of locks) await writeFile(lock, "")
    await Effect.runPromise(open(dir))
    expect(await readdir(join(dir, ".git/refs/heads"))).toEqual(["main"])
    expect(await readdir(join(dir, ".git"))).not.toContain("index.lock")
  })
})

describe("integrating", () => {
  const made = async () => Effect.runPromise(open(join(await temporaryFolder(), "timmy-artifacts")))

  it("N3: brings both in when main went on, and twice is once", async () => {
    const repository = await made()
    const { dir } = repository
    const commits = [await commitBeside(repository, "a.txt", "a"), await commitBeside(repository, "b.txt", "b")]
    for (const commit of [...commits, ...commits])
      expect(await Effect.runPromise(integrate(repository, commit))).toEqual({ integrated: true })
    expect((await readdir(dir)).toSorted()).toEqual([".git", "README.md", "a.txt", "b.txt"])
    expect(await ask(dir, "rev-list", "--count", "main")).toBe("4")
    expect(await ask(dir, "status", "--porcelain")).toBe("")
  })

  it("N1: leaves out what conflicts, and what a person's own files stand in the way of", async () => {
    const repository = await made()
    const { dir } = repository
    const [a, other] = [await commitBeside(repository, "a.txt", "a"), await commitBeside(repository, "a.txt", "other")]
    expect(await Effect.runPromise(integrate(repository, a))).toEqual({ integrated: true })
    expect(await Effect.runPromise(integrate(repository, other))).toMatchObject({ integrated: false })
    const b = await commitBeside(repository, "b.txt", "the runtime's")
    await writeFile(join(dir, "b.txt"), "a person's")
    expect(await Effect.runPromise(integrate(repository, b))).toMatchObject({ integrated: false })
    expect(await readFile(join(dir, "b.txt"), "utf8")).toBe("a person's")
    expect(await ask(dir, "rev-parse", "main")).toBe(a)
    await rm(join(dir, "b.txt"))
    await ask(dir, "switch", "--quiet", "--create", "mine")
    expect(await Effect.runPromise(integrate(repository, b))).toMatchObject({ integrated: false })
  })

  it("N2: goes on where a kill left files half-written", async () => {
    const repository = await made()
    const { dir } = repository
    const added = await commitBeside(repository, "a.txt", "the whole text")
    await writeFile(join(dir, "a.txt"), "the who")
    expect(await Effect.runPromise(integrate(repository, added))).toEqual({ integrated: true })
    expect(await readFile(join(dir, "a.txt"), "utf8")).toBe("the whole text")
    const changed = await commitBeside(repository, "a.txt", "another text")
    await writeFile(join(dir, "a.txt"), "anoth")
    expect(await Effect.runPromise(integrate(repository, changed))).toEqual({ integrated: true })
    expect(await readFile(join(dir, "a.txt"), "utf8")).toBe("another text")
    expect(await ask(dir, "status", "--porcelain")).toBe("")
  })
})

describe("git", () => {
  it("fails by its own words, with what it was asked", async () => {
    const error = await Effect.runPromise(Effect.flip(git(await temporaryFolder(), ["status"])))
    expect(error).toMatchObject({ args: ["status"], exitCode: 128 })
    expect(error.message).toContain("not a git repository")
  })

  it("G2: a Ctrl-C in the terminal leaves git at work; a second one leaves nothing", async () => {
    for (const second of [false, true]) {
      const folder = await temporaryFolder()
      const program = join(import.meta.dirname, "git-process.ts")
      const child = spawn(process.execPath, [program, folder], { detached: true, stdio: ["ignore", "pipe", "inherit"] })
      const closed = once(child, "close")
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
      const begun = await pidIn(folder)
      process.kill(-(child.pid as number), "SIGINT")
      expect((await lines.next()).value).toBe("heard")
      expect(isAlive(begun)).toBe(true)
      if (second) process.kill(-(child.pid as number), "SIGINT")
      else await writeFile(join(folder, "go"), "")
      expect((await lines.next()).value).toBe(second ? undefined : "ended")
      expect(await closed).toEqual([second ? 130 : 0, null])
      await vi.waitFor(() => expect(isAlive(begun)).toBe(false))
    }
  })

  it("G1 G2: interrupted or out of time it is gone with all that it started", async () => {
    const interrupted = await temporaryFolder()
    const fiber = Effect.runFork(git(interrupted, waiting, { outside: true }))
    const begun = await pidIn(interrupted)
    await Effect.runPromise(Fiber.interrupt(fiber))
    expect(isAlive(begun)).toBe(false)

    const slow = await temporaryFolder()
    const late = git(slow, waiting, { outside: true }).pipe(
      Effect.provideService(ArtifactLimits, { ...limits, gitMsMax: 300 }),
    )
    expect((await Effect.runPromise(Effect.flip(late))).message).toContain("took longer than 0.3 s")
    expect(isAlive(await pidIn(slow))).toBe(false)
  })

  it("ended by a signal it names the signal, and nothing of its command line", async () => {
    const killed = git(await temporaryFolder(), ["-c", "alias.dies=!kill -KILL $PPID", "dies"], { outside: true })
    const error = await Effect.runPromise(Effect.flip(killed))
    expect(error).toMatchObject({ exitCode: -1, stderr: "ended by SIGKILL" })
    const nowhere = git(join(await temporaryFolder(), "gone"), ["status"])
    expect(await Effect.runPromise(Effect.flip(nowhere))).toMatchObject({ stderr: "could not be run (ENOENT)" })
  })

  it("the limits in force count, not the defaults", async () => {
    const home = await temporaryFolder()
    const artifacts = await Effect.runPromise(
      openArtifacts({
        wizard: "timmy",
        dir: join(home, "timmy-artifacts"),
        clones: join(home, "clones"),
        clock: systemClock,
        chance: seededChance(1),
        limits: { ...limits, artifactFilesMax: 0, answerCharsMax: 3 },
      }),
    )
    const names = { command: "c".repeat(64), trace: "c".repeat(64), wizard: "timmy", attempt: 1 }
    const clone = await Effect.runPromise(artifacts.prepare(names))
    await writeFile(join(clone.folder, "a.txt"), "a")
    const commit = await Effect.runPromise(artifacts.commit(clone, "a", "words"))
    expect(await ask(clone.folder, "log", "-1", "--format=%B", commit)).toContain("\n\nwor\n\n")
    const error = await Effect.runPromise(Effect.flip(artifacts.describe(clone.folder, commit)))
    expect(error.message).toContain("1 files; an artifact holds 0 at most")
  })

  it("where there is none, says what to install", async () => {
    const path = process.env["PATH"]
    onTestFinished(() => void (process.env["PATH"] = path))
    process.env["PATH"] = await temporaryFolder()
    const error = await Effect.runPromise(Effect.flip(gitVersion()))
    expect(error).toBeInstanceOf(GitMissing)
    expect(error.message).toContain("apt install git")
  })

  it("names a claim by command and wizard", () => {
    expect(claimRef({ command: "ab", wizard: "timmy" })).toBe("refs/commands/ab/timmy")
  })
})
