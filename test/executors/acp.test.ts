/** The `acp` executor with a real agent program on the other side of its pipes. */
import { readdir } from "node:fs/promises"
import { dirname, join } from "node:path"
import { Deferred, Effect, Fiber } from "effect"
import { describe, expect, it } from "vitest"
import { runAttempt } from "../../src/executors/attempt.ts"
import type { Action, Task } from "../../src/executors/executor.ts"
import { agentSettings } from "./acp-home.ts"
import { make } from "./candidates.ts"
import { hostIn } from "./host.ts"
import { artifactsIn, ask, taskOf } from "./workshop.ts"

const given = async (settings: object = {}) => {
  const host = await hostIn()
  const artifacts = await artifactsIn(dirname(host.guards))
  const executor = await make("acp", { ...agentSettings, ...settings }, host)
  const told: string[] = []
  const attempt = (number: number, body: string, more: Partial<Task> = {}) =>
    runAttempt({
      executor,
      artifacts,
      report: ({ text }) => told.push(text),
      task: { ...taskOf(number), body, ...more },
    })
  const fileOf = (commit: string | undefined, path: string): Promise<string> =>
    ask(artifacts.repository.dir, "show", `${commit}:${path}`)
  return { host, artifacts, attempt, told, fileOf }
}

describe("acp", { timeout: 60_000 }, () => {
  it("AC1, AC3: an agent's changes are committed, its last words are the result's, its updates are progress", async () => {
    const { attempt, told, fileOf, host } = await given()
    const body = "say I shall write it.\nwrite a.txt magic\nsay It is written."
    const { text, artifact, cost } = await Effect.runPromise(attempt(1, body))
    expect(text).toBe("It is written.")
    expect(await fileOf(artifact?.commit, "a.txt")).toBe("magic")
    expect(told).toEqual(["I shall write it.", "write a.txt", "It is written."])
    expect(cost?.seconds).toBeGreaterThan(0)
    expect(host.alive()).toEqual([])
  })

  it.each([
    ["a person's yes", {}, true, "yes"],
    ["a person's no", {}, false, "no"],
    ["nobody there", {}, undefined, "no"],
    ["the settings' allow", { permissions: "allow" }, undefined, "yes"],
    ["the settings' deny", { permissions: "deny" }, true, "no"],
  ])("AC2: permission is given by %s, once", async (_who, settings, word, answer) => {
    const { attempt, fileOf } = await given(settings)
    const asked: Action[] = []
    const permit = async (action: Action): Promise<boolean> => {
      asked.push(action)
      return word === true
    }
    const { artifact } = await Effect.runPromise(
      attempt(1, "ask remove the build", word === undefined ? {} : { permit }),
    )
    expect(await fileOf(artifact?.commit, "asked.txt")).toBe(answer)
    const wasAsked = word !== undefined && !("permissions" in settings)
    expect(asked.map(({ title }) => title)).toEqual(wasAsked ? ["remove the build"] : [])
    expect(asked.every(({ detail }) => detail.includes("rm -rf dist"))).toBe(true)
  })

  it.each([
    ["stop refusal", "stopped: refusal"],
    ["stop max_tokens", "stopped: max_tokens"],
    ["die", "ended (7) before it was done: out of wands"],
    ["say I fixed it all", "unverified: nothing was changed"],
  ])("AC4: %s is no success", async (body, said) => {
    const { attempt, host } = await given()
    const error = await Effect.runPromise(Effect.flip(attempt(1, body)))
    expect(error.reason).toContain(said)
    expect(host.alive()).toEqual([])
  })

  it("a program that is no such agent fails, with what it wrote", async () => {
    const { attempt } = await given({ command: ["sh", "-c", "echo I speak no protocol >&2; exit 3"] })
    const error = await Effect.runPromise(Effect.flip(attempt(1, "say hello")))
    expect(error.reason).toContain("I speak no protocol")
  })

  it("AC5: a follow-up goes on in the session of its parent; a lost attempt in its own; another command in none", async () => {
    const { attempt, told } = await given({ answers: true, repeat: "resumable" })
    const first = await Effect.runPromise(attempt(1, "say one"))
    expect(first.text).toBe("one")
    const followUp = await Effect.runPromise(attempt(2, "recall", { parent: taskOf(1).command }))
    expect(followUp.text).toMatch(/^begun \| say one \| The working folder is a new clone.* recall$/)
    const cut = Effect.runFork(attempt(3, "say cut\nsleep"))
    while (told.at(-1) !== "cutsleeping") await Effect.runPromise(Effect.sleep(20))
    await Effect.runPromise(Fiber.interrupt(cut))
    const again = await Effect.runPromise(attempt(3, "recall", { attempt: 2 }))
    expect(again.text).toMatch(/^begun \| say cut sleep \| You were interrupted.* recall$/)
    const other = await Effect.runPromise(attempt(4, "recall"))
    expect(other.text).toBe("begun | recall")
  })

  it("cancelled, neither the agent nor what it started is left, nor the clone", async () => {
    const { artifacts, host } = await given()
    const begun = Deferred.makeUnsafe<void>()
    const executor = await make("acp", agentSettings, host)
    const run = runAttempt({
      executor,
      artifacts,
      task: { ...taskOf(1), body: "sleep" },
      report: () => Deferred.doneUnsafe(begun, Effect.void),
    })
    const fiber = Effect.runFork(run)
    await Effect.runPromise(Deferred.await(begun))
    expect(host.alive().length).toBeGreaterThan(1)
    await Effect.runPromise(Fiber.interrupt(fiber))
    expect(host.alive()).toEqual([])
    expect(await readdir(join(dirname(artifacts.repository.dir), "clones"))).toEqual([])
  })
})
