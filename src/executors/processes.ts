/**
 * The process table: who is in a group, who bears a mark, and whether a process is the one that it was. Loads nothing
 * heavy, because the guard imports it.
 *
 * On Linux it is read from /proc, so that nothing need be installed; elsewhere `ps` tells it, and marks are not seen there.
 */
import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { scheduler } from "node:timers/promises"

/** A process and when it began: pids are used again, the pair is not. */
export interface Identity {
  readonly pid: number
  /** As the system tells it: the boot and the ticks since on Linux, a date elsewhere. */
  readonly began: string
}

/** The variable that marks everything an executor's program starts, also what left its process group. */
export const markName = "WIZARDLY_GUARD"

interface Row extends Identity {
  readonly group: number
}

/** Undefined where there is no such process, or only its remains (a zombie). */
export const identityOf = (pid: number): Identity | undefined => {
  const row = isLinux ? rowOf(pid) : table().find((each) => each.pid === pid)
  return row === undefined ? undefined : { pid, began: row.began }
}

export const isAlive = ({ pid, began }: Identity): boolean => identityOf(pid)?.began === began

/** The living members of a group, and those that bear the mark. Never this very process. */
export const membersOf = (group: number | undefined, mark: string): readonly number[] =>
  (isLinux ? linuxTable() : table())
    .filter((row) => row.pid !== process.pid && (row.group === group || bears(row.pid, mark)))
    .map(({ pid }) => pid)

/** Sends a signal to each; one that is gone meanwhile is fine. */
export const signalAll = (pids: readonly number[], signal: NodeJS.Signals): void => {
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch {
      // It ended before the signal came.
    }
  }
}

/** Kills group and marked until none is left; what a fork made meanwhile is found in the next round. */
export const killAll = async (group: number | undefined, mark: string): Promise<void> => {
  for (let members = membersOf(group, mark); members.length > 0; members = membersOf(group, mark)) {
    signalAll(members, "SIGKILL")
    await scheduler.wait(5)
  }
}

const isLinux = process.platform === "linux"

const boot = isLinux ? readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim() : ""

const linuxTable = (): readonly Row[] =>
  readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? (rowOf(Number(name)) ?? []) : []))

/** `pid (comm) state ppid pgrp …`, `starttime` being the 22nd; comm may hold anything, brackets too. */
const rowOf = (pid: number): Row | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8")
    const [state, , group, ...rest] = text.slice(text.lastIndexOf(")") + 2).split(" ")
    const began = rest[16]
    if (state === "Z" || state === "X" || began === undefined) return undefined
    return { pid, group: Number(group), began: `${boot}/${began}` }
  } catch {
    return undefined
  }
}

const bears = (pid: number, mark: string): boolean => {
  if (!isLinux) return false
  try {
    return `\0${readFileSync(`/proc/${pid}/environ`, "latin1")}`.includes(`\0${markName}=${mark}\0`)
  } catch {
    return false
  }
}

const table = (): readonly Row[] =>
  execFileSync("ps", ["-A", "-o", "pid=,pgid=,stat=,lstart="], { encoding: "utf8" })
    .split("\n")
    .flatMap((line) => {
      const [, pid, group, state, began] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.+)$/.exec(line) ?? []
      if (pid === undefined || began === undefined || state?.startsWith("Z")) return []
      return [{ pid: Number(pid), group: Number(group), began: began.trim() }]
    })
