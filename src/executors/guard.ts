/**
 * The guard: a small process between the runtime and an executor's program. Run by `guarded.ts`, which talks to it over an
 * IPC channel; the program's stdin, stdout and stderr go past it.
 *
 *   runtime ══ IPC ══ guard ── session of its own ── program ── whatever it starts
 *
 * G1: the program runs in a session and process group of its own, and all that it starts bears the guard's mark.
 * G2: when the runtime says so, or is gone (however it died, the channel closes), or the program itself has ended, the
 *     whole group and all marked are ended: asked first, killed after `graceMs`.
 * G3: what runs is on the disk before it runs, so that a later start finds it even where the guard itself was killed.
 * G4: the guard ends last; while it lives, something of the program may live.
 *
 * It must be up in milliseconds, so it imports nothing but Node and uses Node's own spawn.
 */
import { spawn } from "node:child_process"
import { renameSync, rmSync, writeFileSync } from "node:fs"
import { scheduler } from "node:timers/promises"
import { identityOf, killAll, markName, membersOf, signalAll, type Identity } from "./processes.ts"

/** What the runtime sends, once. Nothing of it is in an argument or a variable of the guard's own. */
export interface GuardOrder {
  readonly file: string
  readonly args: readonly string[]
  readonly cwd: string
  /** The program's whole environment. */
  readonly env: Readonly<Record<string, string>>
  readonly mark: string
  /** Where G3 writes. */
  readonly record: string
  readonly graceMs: number
}

/** What it answers. */
export type GuardWord =
  | { readonly type: "started"; readonly pid: number }
  | { readonly type: "ended"; readonly exitCode: number | null; readonly signal: string | null }
  | { readonly type: "failed"; readonly reason: string }

/** G3, as it lies on the disk. */
export interface GuardRecord {
  readonly guard: Identity
  readonly mark: string
  readonly program?: Identity
}

const main = (order: GuardOrder): void => {
  const self = identityOf(process.pid)
  if (self === undefined) throw new Error("the process table cannot be read")
  const write = (record: GuardRecord): void => {
    writeFileSync(`${order.record}.new`, JSON.stringify(record), { mode: 0o600, flush: true })
    renameSync(`${order.record}.new`, order.record)
  }
  write({ guard: self, mark: order.mark })
  const child = spawn(order.file, order.args, {
    cwd: order.cwd,
    env: { ...order.env, [markName]: order.mark },
    stdio: "inherit",
    detached: true,
  })
  let over: Promise<void> | undefined
  const finish = (word: GuardWord, graceMs: number): void => {
    over ??= end(child.pid, order.mark, graceMs).then(() => {
      rmSync(order.record, { force: true })
      if (!process.connected) process.exit(0)
      process.send?.(word, () => process.exit(0))
    })
  }
  child.once("error", (error) => finish({ type: "failed", reason: error.message }, 0))
  child.once("spawn", () => {
    const program = child.pid === undefined ? undefined : identityOf(child.pid)
    if (program !== undefined) write({ guard: self, mark: order.mark, program })
    if (child.pid !== undefined && process.connected)
      process.send?.({ type: "started", pid: child.pid } satisfies GuardWord)
  })
  child.once("exit", (exitCode, signal) => finish({ type: "ended", exitCode, signal }, 0))
  const stop = (): void => finish({ type: "ended", exitCode: null, signal: "SIGTERM" }, order.graceMs)
  process.on("disconnect", stop)
  process.on("message", stop)
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, stop)
}

/** G2. The guard holds the program's pipes as well: what still writes there must not keep a reader waiting. */
const end = async (group: number | undefined, mark: string, graceMs: number): Promise<void> => {
  if (graceMs > 0) {
    signalAll(membersOf(group, mark), "SIGTERM")
    for (let waited = 0; waited < graceMs && membersOf(group, mark).length > 0; waited += 20) await scheduler.wait(20)
  }
  await killAll(group, mark)
}

process.once("message", (order) => main(order as GuardOrder))
process.once("disconnect", () => {
  // No order came: nothing runs.
  if (process.listenerCount("disconnect") === 0) process.exit(0)
})
