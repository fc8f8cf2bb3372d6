import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { describe, expect, it, onTestFinished } from "vitest"
import { claimRef } from "../../src/artifacts/claim.ts"
import { git, gitVersion, GitMissing } from "../../src/artifacts/git.ts"
import { integrate } from "../../src/artifacts/integrate.ts"
import { openRepository, type Repository } from "../../src/artifacts/repository.ts"
import { systemClock } from "../../src/services/clock.ts"

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
