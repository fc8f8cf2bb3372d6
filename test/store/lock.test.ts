import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { virtualClock } from "../../src/services/clock.ts"
import { HomeHeld, type Lock, readHolder, takeLock } from "../../src/store/lock.ts"
import { DatabaseBroken } from "../../src/store/sqlite.ts"

const clock = virtualClock(1_800_000_000_000)
let folder: string
let home: string
const children: ChildProcess[] = []
const locks: Lock[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lock-"))
  home = join(folder, "new", "home")
})
afterEach(async () => {
  for (const lock of locks.splice(0)) lock.release()
  await Promise.all(children.splice(0).map((child) => killed(child)))
  rmSync(folder, { recursive: true })
})

const take = (): Lock => {
  const lock = takeLock(home, clock)
  locks.push(lock)
  return lock
}
const refused = (): HomeHeld => {
  try {
    take()
  } catch (error) {
    if (error instanceof HomeHeld) return error
    throw error
  }
  throw new Error("the home was taken twice")
}
const child = async (): Promise<{ readonly process: ChildProcess; readonly said: string }> => {
  const process = fork(new URL("./lock-holder.ts", import.meta.url), [home])
  children.push(process)
  const [said] = (await once(process, "message")) as [string]
  return { process, said }
}
const killed = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, "exit")
  child.kill("SIGKILL")
  await exit
}

describe("a home's lock", () => {
  it("L1: is had once in a process, and again after its release", () => {
    const lock = take()
    expect(readHolder(home)).toEqual({ pid: process.pid, since: 1_800_000_000 })
    expect(refused()).toMatchObject({ home, pid: process.pid, since: 1_800_000_000 })
    lock.release()
    lock.release()
    expect(existsSync(join(home, "holder.json"))).toBe(false)
    take()
  })

  it("L1: another process gets it refused, told by whom and since when, and what to do", async () => {
    take()
    const { said } = await child()
    expect(said).toContain(`${home} is in use by process ${process.pid} since 2027-01-15T08:00:00.000Z`)
    expect(said).toContain("--home")
  })

  it("is free at once when its holder is killed", async () => {
    const holder = await child()
    expect(holder.said).toBe("held")
    expect(refused().pid).toBe(holder.process.pid)
    await killed(holder.process)
    take()
    expect(readHolder(home)?.pid).toBe(process.pid)
  })

  it("L1: of many processes at once exactly one gets it", async () => {
    const said = (await Promise.all([child(), child(), child()])).map(({ said }) => said)
    expect(said.filter((text) => text === "held")).toHaveLength(1)
  })

  it("L2: is kept though nobody keeps the lock's object", async () => {
    takeLock(home, clock)
    const { setFlagsFromString } = await import("node:v8")
    const { runInNewContext } = await import("node:vm")
    setFlagsFromString("--expose-gc")
    const collect = runInNewContext("gc") as () => void
    for (let round = 0; round < 5; round++) collect()
    expect((await child()).said).toContain(`process ${process.pid}`)
  })

  it("is refused with the reason where the home cannot be", () => {
    writeFileSync(join(folder, "new"), "")
    expect(() => take()).toThrow(DatabaseBroken)
  })

  it("says less, but refuses as well, while the holder has not written who it is", () => {
    take()
    rmSync(join(home, "holder.json"))
    expect(refused().message).toContain("in use by another process: stop it, or start with another --home")
    writeFileSync(join(home, "holder.json"), '{"pid":"x"}')
    expect(refused().pid).toBeUndefined()
  })
})
