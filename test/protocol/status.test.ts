import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { initialTransition, transition } from "xstate"
import { machine, type CommandEvent } from "../../machines/command.ts"
import {
  endStatuses,
  followers,
  foreignNames,
  isEnd,
  isStatus,
  mayFollow,
  statuses,
} from "../../src/protocol/status.ts"
import type { Status } from "../../src/protocol/status.ts"

describe("status", () => {
  it("is an end exactly where nothing follows", () => {
    expect(statuses.filter(isEnd)).toEqual(statuses.filter((status) => followers[status].length === 0))
    expect(statuses.filter(isEnd)).toEqual([...endStatuses])
  })

  it("knows its own words only", () => {
    for (const status of statuses) expect(isStatus(status)).toBe(true)
    for (const other of ["", "done", "constructor", "Working", undefined, 3]) expect(isStatus(other)).toBe(false)
  })

  it("lets an artifact follow an attempt only, and a refusal nothing but the arrival", () => {
    expect(statuses.filter((before) => mayFollow(before, "artifact-reported"))).toEqual([
      "awaiting-approval",
      "working",
    ])
    expect(statuses.filter((before) => mayFollow(before, "rejected"))).toEqual(["received"])
  })

  it("calls ends, and ends only, by others' names for ends", () => {
    const a2aEnds = ["COMPLETED", "REJECTED", "FAILED", "CANCELED"].map((name) => `TASK_STATE_${name}`)
    const nip90Ends: readonly string[] = ["success", "error"]
    expect(statuses.filter((status) => a2aEnds.includes(foreignNames[status].a2a))).toEqual([...endStatuses])
    expect(statuses.filter((status) => nip90Ends.includes(foreignNames[status].nip90))).toEqual([...endStatuses])
  })

  it("lets follow whatever the machine tells, in any order of events", () => {
    const reported = new Set<string>()
    fc.assert(
      fc.property(inputs, fc.array(events, { maxLength: 25 }), (input, walk) => {
        const told: Status[] = []
        const note = (actions: readonly { type: string; params?: unknown }[]): void => {
          for (const action of actions)
            if (action.type === "report") told.push((action.params as { status: Status }).status)
        }
        let [snapshot, actions] = initialTransition(machine, input)
        note(actions)
        for (const event of walk) {
          if (snapshot.status !== "active") break
          const attempt = snapshot.context.attempt
          const hash = snapshot.context.approval ?? "other"
          ;[snapshot, actions] = transition(machine, snapshot, { ...event, attempt, hash } as CommandEvent)
          note(actions)
        }
        expect(told[0]).toBe(input.imported === null ? "received" : "interrupted")
        expect(told.slice(1).filter((status, at) => !mayFollow(told[at] as Status, status))).toEqual([])
        for (const status of told) reported.add(status)
      }),
      { numRuns: 2000 },
    )
    expect([...reported].sort()).toEqual([...statuses].sort())
  })
})

const inputs = fc.record({
  atMs: fc.constant(1_000_000),
  repeat: fc.constantFrom("safe" as const, "resumable" as const, "never" as const),
  deadlineMs: fc.constantFrom(null, null, null, 1, 2_000_000),
  refusal: fc.constantFrom(null, null, null, "malformed"),
  stale: fc.constantFrom(false, false, false, true),
  approval: fc.constantFrom(null, "hash"),
  imported: fc.constantFrom(null, null, "working" as const),
  bounds: fc.constant({
    attemptsMax: 3,
    lossesMax: 3,
    retryMsMin: 10,
    retryMsMax: 100,
    approvalSecondsMax: 60,
    interruptedSecondsMax: 60,
  }),
})

const at = { atMs: 1_000_001, reason: "because" }
const events = fc.constantFrom(
  { ...at, type: "begin" as const, authorised: true },
  { ...at, type: "begin" as const, authorised: true },
  { ...at, type: "begin" as const, authorised: false },
  { ...at, type: "succeed" as const, result: { text: "done" } },
  { ...at, type: "fail" as const, retryable: true, chance: 0.5 },
  { ...at, type: "fail" as const, retryable: false, chance: 0.5 },
  { ...at, type: "lose" as const },
  { ...at, type: "ask" as const },
  { ...at, type: "approve" as const },
  { ...at, type: "deny" as const },
  { ...at, type: "requeue" as const },
  { ...at, type: "retry" as const },
  { ...at, type: "cancel" as const },
  { ...at, type: "expire" as const, timer: "deadline" as const },
  { ...at, type: "expire" as const, timer: "interrupted" as const },
)
