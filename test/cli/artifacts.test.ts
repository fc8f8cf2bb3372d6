import { join } from "node:path"
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { openArtifacts } from "../../src/artifacts/artifacts.ts"
import { runAttempt } from "../../src/executors/attempt.ts"
import { homeOf, makeHome } from "../../src/runtime/home.ts"
import { systemChance } from "../../src/services/chance.ts"
import { systemClock } from "../../src/services/clock.ts"
import { openStore } from "../../src/store/store.ts"
import { ask, executorThat, taskOf, temporaryFolder } from "../executors/workshop.ts"
import { writeFile } from "node:fs/promises"
import { run } from "./run.ts"

/** A home in which timmy reported a result of those files, and what was reported may be changed. */
const reported = async (files: Readonly<Record<string, string>>, lie: object = {}) => {
  const folder = await temporaryFolder()
  const home = homeOf(folder)
  makeHome(home)
  const artifacts = await Effect.runPromise(
    openArtifacts({
      wizard: "timmy",
      dir: home.artifacts("timmy"),
      clones: join(home.work, "timmy"),
      clock: systemClock,
      chance: systemChance,
    }),
  )
  const executor = executorThat(async (clone) => {
    for (const [path, text] of Object.entries(files)) await writeFile(join(clone, path), text)
    return { text: "Here it is.", cost: { tokensOut: 21, tokensOutPerSecond: 6.5 } }
  })
  const task = taskOf(1)
  const result = await Effect.runPromise(runAttempt({ executor, task, artifacts, report: () => undefined }))
  const store = openStore(home.database)
  store.database.transaction(() =>
    store.command.add({
      actor: `command/${task.command}/timmy`,
      id: task.command,
      wizard: "timmy",
      author: task.author,
      trace: task.trace,
      parent: null,
      form: "command",
      work: "task",
      executor: "told",
      body: "make it",
      priority: 1,
      deadline_ms: null,
      created_at: task.createdAt,
      arrived: 1,
      arrived_ms: 1_800_000_000_000,
      state: "artifact-reported",
      since_ms: 1_800_000_000_000,
      ended: 1,
      reason: null,
      result: JSON.stringify({ ...result, artifact: { ...result.artifact, ...lie } }),
      receipts: 0,
      tip: null,
      relay: null,
      lanes: 0,
    }),
  )
  store.database.close()
  const id = task.command.slice(0, 8)
  return {
    id,
    task,
    dir: artifacts.repository.dir,
    artifacts: (verb: string, ...args: string[]) => run("artifacts", verb, ...args, "--home", folder),
  }
}

describe("runtime artifacts", () => {
  it("list, show, open: what came of a command, its files, and where they are", async () => {
    const on = await reported({ "answer.md": "forty-two\n" })
    expect((await on.artifacts("list")).stdout).toMatch(new RegExp(`^${on.id}  timmy .* 10 bytes  answer.md\n$`))
    expect(JSON.parse((await on.artifacts("list", "--json")).stdout)).toMatchObject([{ id: on.task.command, size: 10 }])
    const shown = (await on.artifacts("show", on.id)).stdout
    expect(shown).toContain("Here it is.")
    expect(shown).toContain("answer.md  (10 bytes)")
    expect(shown).toContain("tokensOutPerSecond 6.5")
    expect((await on.artifacts("show", on.id, "answer.md")).stdout).toBe("forty-two\n")
    expect((await on.artifacts("show", on.id, "other.md")).code).toBe(3)
    expect((await on.artifacts("open", on.id)).stdout).toBe(`${join(on.dir, "answer.md")}\n`)
    expect((await on.artifacts("show", "00000000")).code).toBe(3)
    expect((await on.artifacts("show", "nonsense")).code).toBe(2)
  })

  it("E1–E3 verify: what was reported is there, and it is that", async () => {
    const on = await reported({ "a.txt": "a", "b.txt": "b" })
    const { code, stdout } = await on.artifacts("verify", on.id)
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("2 files are what was reported"),
    })
    await ask(on.dir, "update-ref", "-d", `refs/commands/${on.task.command}/timmy`)
    expect(await on.artifacts("verify", on.id)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("is not there"),
    })
    await ask(on.dir, "update-ref", `refs/commands/${on.task.command}/timmy`, "main~1")
    expect(await on.artifacts("verify", on.id)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("not this command's"),
    })
  })

  it.each([
    ["another hash", { x: "0".repeat(64) }, "does not follow"],
    ["another size", { size: 7 }, "does not follow"],
    ["another commit", { commit: "0".repeat(40) }, "the claim names"],
    ["a file that is not there", { files: [{ path: "no.txt", bytes: 1, sha256: "0".repeat(64) }] }, "no.txt is not in"],
    ["another content", { files: [{ path: "a.txt", bytes: 1, sha256: "0".repeat(64) }] }, "a.txt is not what was"],
  ])("E1–E3 verify sees that %s was reported", async (_what, lie, said) => {
    const on = await reported({ "a.txt": "a" }, lie)
    expect(await on.artifacts("verify", on.id)).toMatchObject({ code: 1, stderr: expect.stringContaining(said) })
  })
})
