/** What executors run, and whether they may (P7, P16, P25, P26, P29, P31). */
import { limits } from "../../../src/limits.ts"
import { keyOf, type Ledger } from "./model.ts"

export interface Runs {
  readonly began: (run: {
    readonly life: object
    readonly command: string
    readonly wizard: string
    readonly isTwin: boolean
    readonly authorised: boolean
    readonly nowMs: number
  }) => void
  /** `done`: it came to its own end. */
  readonly over: (command: string, wizard: string, done: boolean) => void
  /** A process is gone, and what it ran. */
  readonly gone: (life: object) => void
  /** A person asked for one more. */
  readonly retried: (command: string, wizard: string) => void
}

export const openRuns = (ledger: Ledger, isRestored: boolean): Runs => {
  const { plan, violate } = ledger
  const running = new Map<string, object>()
  /** Runs that ended nobody knows how, and the times that a person asked for one more. */
  const unknown = new Map<string, number>()
  const asked = new Map<string, number>()
  const count = (map: Map<string, number>, key: string): void => void map.set(key, (map.get(key) ?? 0) + 1)
  return {
    began: ({ life, command: id, wizard, isTwin, authorised, nowMs }) => {
      const key = keyOf(id, wizard)
      const command = ledger.byId(id)
      const name = `${command?.name ?? id.slice(0, 8)} at ${wizard}`
      if (command === undefined || !ledger.mayRun(command)) return violate(`P7 P25 P29: ${name} runs, and may not`)
      if (isTwin) violate(`P26: a second instance runs ${name}`)
      if (!authorised) violate(`P29: ${name} runs although its author has no authority`)
      if (running.has(key)) violate(`P31: two runs of ${name} at a time`)
      if (ledger.isEnded(id, wizard)) violate(`P25: ${name} runs after its end`)
      const takenSeconds = ledger.receipts(id, wizard)[0]?.createdAt ?? nowMs / 1000
      if (takenSeconds - command.event.created_at > limits.commandAgeSecondsMax)
        violate(`P25: ${name} was stale when it was taken up, and runs`)
      if (command.deadlineMs !== undefined && nowMs > command.deadlineMs + 10_000)
        violate(`P16: ${name} begins after its deadline`)
      if (plan.repeat === "never" && (unknown.get(key) ?? 0) > (asked.get(key) ?? 0) && !isRestored)
        violate(`P31: ${name} may not be repeated, and is, without a person's word`)
      running.set(key, life)
    },
    over: (command, wizard, done) => {
      const key = keyOf(command, wizard)
      if (running.delete(key) && !done) count(unknown, key)
    },
    gone: (life) => {
      for (const [key, owner] of running) {
        if (owner !== life) continue
        running.delete(key)
        count(unknown, key)
      }
    },
    retried: (command, wizard) => count(asked, keyOf(command, wizard)),
  }
}
