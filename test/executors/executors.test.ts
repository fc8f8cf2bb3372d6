import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { isExecutorName } from "../../src/executors/executors.ts"
import { none } from "../../src/executors/none.ts"
import { note } from "../../src/executors/note.ts"
import { candidates } from "./candidates.ts"
import { executorConformance } from "./conformance.ts"
import { taskOf, temporaryFolder } from "./workshop.ts"

for (const [name, trial] of Object.entries(candidates)) executorConformance(name, trial)

describe("the list of executors", () => {
  it("knows its names and no inherited ones", () => {
    expect(["note", "none", "toString"].map(isExecutorName)).toEqual([true, true, false])
  })
})

describe("none", () => {
  it("says that nothing was done", async () => {
    const { text } = await Effect.runPromise(none.run(taskOf(1), () => undefined))
    expect(text).toBe("nothing was done: the none executor does nothing")
  })
})

describe("the note", () => {
  it("where it cannot write tells why, and no path of this machine", async () => {
    const home = await temporaryFolder()
    const folder = join(home, "clone")
    await writeFile(folder, "in the way")
    const { reason } = await Effect.runPromise(Effect.flip(note.run({ ...taskOf(1), folder }, () => undefined)))
    expect(reason).toContain("ENOTDIR")
    expect(reason).toContain("…/commands")
    expect(reason).not.toContain(home)
  })

  it("tells who asked, when and what, and that no model is attached", async () => {
    const folder = await temporaryFolder()
    const task = { ...taskOf(1), folder, body: "fix bug\n# in nexus", deadlineMs: 1_774_972_800_000 }
    const { text } = await Effect.runPromise(note.run(task, () => undefined))
    const path = `commands/2026-03-31-${task.command.slice(0, 8)}.md`
    expect(text).toContain(path)
    const content = await readFile(join(folder, path), "utf8")
    expect(content).toContain("asked by npub10xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqpkge6d\n")
    expect(content).toContain("asked at 2026-03-31T12:00:00Z\n")
    expect(content).toContain("deadline 2026-03-31T16:00:00Z\n")
    expect(content).toContain("> fix bug\n> # in nexus\n")
    expect(content).toContain("no model is attached")
  })

  it("two commands of one day that begin alike get a file each", async () => {
    const folder = await temporaryFolder()
    const one = { ...taskOf(1), folder }
    const two = { ...one, command: one.command.slice(0, 8) + "0".repeat(56) }
    await Effect.runPromise(note.run(one, () => undefined))
    const { text } = await Effect.runPromise(note.run(two, () => undefined))
    expect(text).toContain(two.command)
  })
})
