import { mkdir, readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { Effect, Exit, Fiber, Scope } from "effect"
import { execa } from "execa"
import { describe, expect, it, onTestFinished } from "vitest"
import { ExecutorFailed } from "../../src/executors/executor.ts"
import { startGuarded, sweepGuards, type Guarded, type Program } from "../../src/executors/guarded.ts"
import type { GuardRecord } from "../../src/executors/guard.ts"
import { identityOf, isAlive, membersOf, type Identity } from "../../src/executors/processes.ts"
import { runProgram } from "../../src/executors/run-program.ts"
import { sleep, systemClock } from "../../src/services/clock.ts"
import { hostIn } from "./host.ts"
import { temporaryFolder } from "./workshop.ts"

const sh = (script: string, cwd = "/"): Program => ({
  file: "sh",
  args: ["-c", script],
  cwd,
  env: { PATH: process.env["PATH"] ?? "" },
})

/** One that leaves its session and its group behind. */
const escaping = "setsid sleep 600 & setsid sh -c 'sleep 600' & echo up; sleep 600"

const opened = async (program: Program, host: Parameters<typeof startGuarded>[1]) => {
  const scope = Scope.makeUnsafe()
  onTestFinished(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  const guarded = await Effect.runPromise(startGuarded(program, host).pipe(Scope.provide(scope)))
  return { guarded, close: () => Effect.runPromise(Scope.close(scope, Exit.void)) }
}

const said = async ({ stdout }: Pick<Guarded, "stdout">, word: string): Promise<void> => {
  for await (const line of createInterface({ input: stdout })) if (line === word) return
  throw new Error(`it ended without ${word}`)
}

describe("a guarded program", () => {
  it("gets its input, gives its output and exit code, and nothing of our environment", async () => {
    const host = await hostIn()
    const run = runProgram(sh("cat; env | sort; echo bad >&2; exit 7"), host, { input: "hello\n", label: "x" })
    const ran = await Effect.runPromise(run)
    expect(ran).toMatchObject({ exitCode: 7, signal: null, stderr: { text: "bad\n" } })
    const [hello, ...env] = ran.stdout.text.trim().split("\n")
    expect(hello).toBe("hello")
    expect(
      env.map((line) => line.split("=")[0]).filter((name) => !["PWD", "SHLVL", "_", "OLDPWD"].includes(name ?? "")),
    ).toEqual(["PATH", "WIZARDLY_GUARD"])
    expect(await readdir(host.guards)).toEqual([])
  })

  it("G2, U2: closed, it is gone with all that it started, also what left its group and what ignores SIGTERM", async () => {
    const host = await hostIn({ limits: { executorGraceMs: 300 } })
    const { guarded, close } = await opened(sh(`trap '' TERM; ${escaping}`), host)
    await said(guarded, "up")
    expect(host.alive().length).toBeGreaterThanOrEqual(3)
    expect(membersOf(guarded.pid, "").length).toBeGreaterThan(0)
    await close()
    expect(host.alive()).toEqual([])
    expect(await readdir(host.guards)).toEqual([])
  })

  it("G2: what it leaves running in the background when it ends is ended too", async () => {
    const host = await hostIn()
    const ran = await Effect.runPromise(
      runProgram(sh("sleep 600 & setsid sleep 600 & echo done"), host, { label: "x" }),
    )
    expect(ran.stdout.text).toBe("done\n")
    expect(host.alive()).toEqual([])
  })

  it("is told that it cannot be run", async () => {
    const program = { ...sh(""), file: "no-such-program" }
    const error = await Effect.runPromise(Effect.flip(runProgram(program, await hostIn(), { label: "x" })))
    expect(error).toMatchObject({ kind: "unavailable" })
    expect(error.reason).toContain("no-such-program cannot be run")
  })

  it("U2: where its guard is killed, it is ended all the same", async () => {
    const host = await hostIn()
    const { guarded } = await opened(sh(escaping), host)
    await said(guarded, "up")
    const [record] = await readRecords(host.guards)
    process.kill((record as GuardRecord).guard.pid, "SIGKILL")
    const error = await Effect.runPromise(Effect.flip(guarded.ended))
    expect(error).toBeInstanceOf(ExecutorFailed)
    expect(error.reason).toContain("guard was killed")
    expect(host.alive()).toEqual([])
  })

  it("its output is bounded in memory, whole in a file, and ended where it is too much", async () => {
    const host = await hostIn({ limits: { executorKeptBytesMax: 1000, executorOutputBytesMax: 100_000 } })
    const ran = await Effect.runPromise(runProgram(sh("seq 1 10000"), host, { label: "long" }))
    expect(ran.stdout.bytes).toBe(48_894)
    expect(ran.stdout.text.length).toBeLessThan(1100)
    expect(ran.stdout.text).toMatch(/^1\n2\n[\s\S]*… 47894 bytes left out …[\s\S]*\n9999\n10000\n$/)
    const whole = await execa("cat", [join(host.outputs, "long.out")])
    expect(whole.stdout).toBe(Array.from({ length: 10_000 }, (_, i) => String(i + 1)).join("\n"))
    const error = await Effect.runPromise(Effect.flip(runProgram(sh("yes"), host, { label: "endless" })))
    expect(error).toMatchObject({ kind: "excess", reason: "it wrote more than 100000 bytes" })
    expect(host.alive()).toEqual([])
  })
})

const readRecords = async (folder: string): Promise<readonly GuardRecord[]> =>
  Promise.all(
    (await readdir(folder)).map(
      async (name) => JSON.parse((await execa("cat", [join(folder, name)])).stdout) as GuardRecord,
    ),
  )

describe("when the runtime dies", () => {
  const program = join(import.meta.dirname, "guard-process.ts")
  /** A process that runs the escaping program under a guard, and is killed. */
  const killed = async (folder: string) => {
    const child = execa(process.execPath, [program, folder, escaping], { reject: false })
    for await (const line of createInterface({ input: child.stdout })) if (line === "up") break
    const [record] = await readRecords(folder)
    if (record?.program === undefined) throw new Error("there is no record of it")
    expect(membersOf(record.program.pid, record.mark).length).toBeGreaterThanOrEqual(3)
    return { child, guard: record.guard, program: record.program, mark: record.mark }
  }
  const untilGone = async (identity: Identity): Promise<void> => {
    while (isAlive(identity)) await sleep(systemClock, 10)
  }

  it("G2: by kill -9, the guard ends everything and then itself", async () => {
    const folder = await temporaryFolder()
    const { child, guard, mark, program } = await killed(folder)
    child.kill("SIGKILL")
    await untilGone(guard)
    expect(membersOf(program.pid, mark)).toEqual([])
    expect(await readdir(folder)).toEqual([])
  })

  it("U3: by kill -9 with its guard, the next start ends what is left, and only that", async () => {
    const host = await hostIn()
    await mkdir(host.guards, { recursive: true })
    const { child, guard, mark, program } = await killed(host.guards)
    process.kill(guard.pid, "SIGSTOP")
    child.kill("SIGKILL")
    process.kill(guard.pid, "SIGKILL")
    await untilGone(guard)
    expect(membersOf(program.pid, mark).length).toBeGreaterThanOrEqual(3)
    // Somebody else's process that has got the pid of a program of old.
    const other = execa("sleep", ["600"], { reject: false, detached: true })
    onTestFinished(async () => {
      other.kill()
      await other
    })
    const stale: GuardRecord = {
      guard: { pid: other.pid ?? 0, began: "long ago" },
      mark: "nobody's",
      program: { pid: other.pid ?? 0, began: "long ago" },
    }
    await writeFile(join(host.guards, "stale.json"), JSON.stringify(stale))
    await writeFile(join(host.guards, "half.json.new"), "{")
    await Effect.runPromise(sweepGuards(host))
    expect(membersOf(program.pid, mark)).toEqual([])
    expect(identityOf(other.pid ?? 0)).toBeDefined()
    expect(await readdir(host.guards)).toEqual([])
  })

  it("interrupted while it starts, nothing is left either", { timeout: 60_000 }, async () => {
    const host = await hostIn()
    for (let ms = 0; ms <= 160; ms += 40) {
      const fiber = Effect.runFork(runProgram(sh(escaping), host, { label: "x" }))
      await sleep(systemClock, ms)
      await Effect.runPromise(Fiber.interrupt(fiber))
      expect(host.alive()).toEqual([])
    }
  })
})
