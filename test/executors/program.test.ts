/**
 * The `program` executor as a wizard runs it: attempt, clone, sandbox and all. The intruder tries what an executor must not
 * have; each try is a line of its own, so that a hole is named.
 */
import { createServer } from "node:net"
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { Effect } from "effect"
import { describe, expect, it, onTestFinished } from "vitest"
import { runAttempt, type AttemptResult } from "../../src/executors/attempt.ts"
import { openChecks } from "../../src/executors/checks.ts"
import type { Executor, ExecutorFailed } from "../../src/executors/executor.ts"
import { executors } from "../../src/executors/executors.ts"
import type { Limits } from "../../src/limits.ts"
import { make } from "./candidates.ts"
import { hostIn, type TriedHost } from "./host.ts"
import { artifactsIn, ask, taskOf, temporaryFolder } from "./workshop.ts"

const given = async (settings: object, limits: Partial<Limits> = {}, env: Record<string, string> = {}) => {
  const host = await hostIn({ limits, env })
  const home = dirname(host.guards)
  const artifacts = await artifactsIn(home)
  return { host, home, artifacts, executor: await make("program", settings, host) }
}

type Given = Awaited<ReturnType<typeof given>>

const attempt = ({ artifacts, executor }: Pick<Given, "artifacts" | "executor">, body = "do it") =>
  runAttempt({ executor, task: { ...taskOf(1), body }, artifacts, report: () => undefined })
const succeeded = (on: Given, body?: string): Promise<AttemptResult> => Effect.runPromise(attempt(on, body))
const failed = (on: Given): Promise<ExecutorFailed> => Effect.runPromise(Effect.flip(attempt(on)))

describe("a program", () => {
  it("PR1: is given what was asked on stdin, names in its arguments, and its changes are committed", async () => {
    const on = await given({
      command: ["sh", "-c", 'cat > asked.txt; echo "$@"', "sh", "{command}", "{attempt}", "{body}"],
    })
    const { text, artifact } = await succeeded(on, "--help; $(touch /tmp/x)\n")
    expect(text).toBe(`${taskOf(1).command} 1 {body}`)
    expect(artifact?.files.map(({ path }) => path)).toEqual(["asked.txt"])
    expect(await readFile(join(on.artifacts.repository.dir, "asked.txt"), "utf8")).toBe("--help; $(touch /tmp/x)\n")
    expect(await readdir(join(on.home, "clones"))).toEqual([])
  })

  it("PR3: that ends badly has failed with its last words, and for good", async () => {
    const error = await failed(await given({ command: ["sh", "-c", "echo half > a.txt; echo no wand >&2; exit 3"] }))
    expect(error).toMatchObject({ kind: "final", reason: "sh ended with 3: no wand" })
  })

  it("that says it is done and changed nothing ends unverified, unless its words may be the result", async () => {
    const command = ["echo", "I fixed it"]
    expect(await failed(await given({ command }))).toMatchObject({
      kind: "unverified",
      reason: "unverified: nothing was changed",
    })
    const { text, artifact } = await succeeded(await given({ command, answers: true }))
    expect(text).toBe("I fixed it")
    expect(artifact?.files).toHaveLength(1)
  })

  it("PR2: is ended by its timers, with all that it started", async () => {
    const command = ["sh", "-c", "setsid sleep 600 & echo on; sleep 600"]
    const quiet = await given({ command, coldSeconds: 20, quietSeconds: 0.5, repeat: "safe" })
    expect(await failed(quiet)).toMatchObject({ kind: "retryable", reason: "sh: no sign of life for 0.5 s" })
    expect(quiet.host.alive()).toEqual([])
    const never = await given({ command, seconds: 0.5 })
    expect(await failed(never)).toMatchObject({ kind: "late", reason: "sh: it was not done after 0.5 s" })
    expect(never.host.alive()).toEqual([])
  })

  it("PR2: is bounded in memory and in the size of a file", async () => {
    const limits = { executorMemoryBytesMax: 64 * 1024 * 1024, executorFileBytesMax: 1024 * 1024 }
    const greedy = await given(
      { command: ["sh", "-c", "x=$(head -c 200000000 /dev/zero | tr '\\0' a); echo ${#x}"] },
      limits,
    )
    expect(await failed(greedy)).toMatchObject({ kind: "final" })
    const writes = await given(
      { command: ["sh", "-c", "head -c 2000000 /dev/zero > big; echo $? >&2; exit 9"] },
      limits,
    )
    expect((await failed(writes)).reason).toMatch(/ended with 9: .*(153|File size limit)/s)
  })

  it("is refused with settings that are wrong, and with a variable that is not there", async () => {
    const refused = (settings: object) =>
      hostIn().then((host) => Effect.runPromise(Effect.flip(Effect.scoped(executors.program.make(settings, host)))))
    expect((await refused({})).reason).toMatch(/^timmy: the settings of its executor program do not fit: .*command/)
    expect((await refused({ command: ["sh"], shell: true })).reason).toContain("shell")
    expect((await refused({ command: ["sh"], env: ["NO_SUCH"] })).reason).toContain("NO_SUCH")
  })

  it("S1: where no sandbox works it is refused, unless the settings say so, and then a person is told", async () => {
    const host = await hostIn()
    const bare: TriedHost = { ...host, env: { PATH: "/nowhere" } }
    const refusal = Effect.runPromise(Effect.flip(Effect.scoped(executors.program.make({ command: ["sh"] }, bare))))
    expect((await refusal).reason).toMatch(/there is no sandbox .* "sandbox": "none"/)
    const open = await make("program", { command: ["sh"], sandbox: "none" }, bare)
    expect(open.about).toContain("no sandbox")
    expect(host.warned).toEqual([expect.stringContaining("without a sandbox")])
  })
})

describe("checks that a role demands", () => {
  const checked = async (on: Given, commands: readonly (readonly string[])[]) => {
    const [first, ...rest] = commands
    if (first === undefined) throw new Error("no check")
    const check = await Effect.runPromise(
      openChecks({ commands: [first as [string], ...(rest as [string][])] }, on.host),
    )
    return runAttempt({
      executor: on.executor,
      task: taskOf(1),
      artifacts: on.artifacts,
      report: () => undefined,
      check,
    })
  }

  it("A3: are run on what is committed; one that fails makes it unverified, with what it said", async () => {
    const on = await given({ command: ["sh", "-c", "echo 1 > a.txt; echo done"] })
    const bad = await checked(on, [
      ["test", "-f", "a.txt"],
      ["sh", "-c", "echo a.txt is wrong; exit 1"],
    ])
    const error = await Effect.runPromise(Effect.flip(bad))
    expect(error.kind).toBe("unverified")
    expect(error.reason).toBe("unverified: the check `sh -c echo a.txt is wrong; exit 1` ended with 1: a.txt is wrong")
    expect(await ask(on.artifacts.repository.dir, "for-each-ref", "refs/commands")).toBe("")
    const good = await Effect.runPromise(await checked(on, [["grep", "-q", "1", "a.txt"]]))
    expect(good.artifact?.branch).toBe("main")
  })
})

describe("the sandbox", () => {
  it("hides keys, home, control socket, other clones, the operator's verbs, loopback, and runs no hook of its", async () => {
    const secret = "nsec-of-this-test"
    const host = await hostIn({ env: { COUNCIL_SECRET: secret, ALLOWED: "yes" } })
    const home = dirname(host.guards)
    const artifacts = await artifactsIn(home)
    const person = await temporaryFolder()
    await mkdir(join(home, "keys"))
    await writeFile(join(home, "keys", "timmy_key"), secret)
    await writeFile(join(person, ".timmy_key"), secret)
    const other = await Effect.runPromise(artifacts.prepare(taskOf(2)))
    await writeFile(join(other.folder, "secret.txt"), secret)
    const socket = join(home, "control.sock")
    const heard: string[] = []
    const listen = async (where: string | number): Promise<number> => {
      const server = createServer((connection) => {
        heard.push(String(where))
        connection.end(secret)
      })
      onTestFinished(() => void server.close())
      await new Promise<void>((resolve) =>
        typeof where === "string" ? server.listen(where, resolve) : server.listen(where, "127.0.0.1", resolve),
      )
      const address = server.address()
      return typeof address === "object" && address !== null ? address.port : 0
    }
    await listen(socket)
    const port = await listen(0)
    const node = process.execPath
    const root = join(import.meta.dirname, "../..")
    const tries = [
      `cat ${home}/keys/timmy_key`,
      `cat ${person}/.timmy_key`,
      `ls -A ${home}/keys`,
      `cat ~/.timmy_key; ls -A ~root; ls -A /root; ls -A /home`,
      `cat ${other.folder}/secret.txt`,
      `${node} -e 'require("net").connect(${JSON.stringify(socket)}).on("data", (d) => console.log(String(d)))'`,
      `${node} -e 'require("net").connect(${port}, "127.0.0.1").on("data", (d) => console.log(String(d)))'`,
      `${node} ${root}/src/launch.mjs approve 1a2b3c4d --home ${home}`,
      `${node} ${root}/src/launch.mjs dispatch "@timmy status check" --home ${home}`,
      `cat /proc/*/environ | tr '\\0' '\\n' | grep -a SECRET`,
      `cat /proc/1/root${home}/keys/timmy_key`,
      `cat /etc/shadow`,
      `cat ${artifacts.repository.dir}/README.md`,
      `printf '#!/bin/sh\\ntouch ${home}/sprung\\n' > ${artifacts.repository.dir}/.git/hooks/pre-commit`,
    ]
    const script = [
      ...tries.map(
        (each, n) => `echo "try ${n}" >> tried.txt; (${each}) >> tried.txt 2>> errors.txt; echo "code $?" >> tried.txt`,
      ),
      `for hook in pre-commit post-commit reference-transaction post-checkout; do printf '#!/bin/sh\\ntouch ${home}/sprung\\n' > .git/hooks/$hook; chmod +x .git/hooks/$hook; done`,
      `git config core.hooksPath .git/hooks; git config core.fsmonitor 'touch ${home}/sprung'`,
      `echo "allowed $ALLOWED" >> tried.txt; git log --oneline >> tried.txt`,
      // What it makes there is on a disk of its own.
      `echo touched > ${artifacts.repository.dir}/stray.txt; echo touched > ${artifacts.repository.dir}/.git/objects/stray`,
      `rm errors.txt; mkdir -p .git/hooks; echo tried`,
    ].join("\n")
    const settings = {
      command: ["sh", "-c", `mkdir -p .git/hooks\n${script}`],
      env: ["ALLOWED"],
      readable: [dirname(node)],
    }
    const executor: Executor = await make("program", settings, host)
    const { artifact } = await Effect.runPromise(attempt({ artifacts, executor }))
    const dir = artifacts.repository.dir
    expect(artifact?.files.map(({ path }) => path)).toEqual(["tried.txt"])
    const tried = await readFile(join(dir, "tried.txt"), "utf8")
    expect(tried).not.toContain(secret)
    expect(heard).toEqual([])
    // Each try came to nothing, by its exit code; what it is allowed it has.
    const codes = tried.split("\n").filter((line) => line.startsWith("code "))
    expect(codes).toHaveLength(tries.length)
    expect(codes.map((line, n) => `${tries[n]}: ${line}`).filter((line) => line.endsWith("code 0"))).toEqual([])
    expect(tried).toContain("allowed yes\n")
    expect(tried).toContain("The artifacts begin")
    expect(await readdir(home)).not.toContain("sprung")
    expect(await readdir(dir)).not.toContain("stray.txt")
    expect(await readdir(join(dir, ".git/objects"))).not.toContain("stray")
    expect(await readdir(join(home, "clones"))).toEqual([`${taskOf(2).command}-timmy`])
  })
})
