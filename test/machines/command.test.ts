import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  machine,
  type CommandBounds,
  type CommandContext,
  type CommandEvent,
  type CommandInput,
} from "../../machines/command.ts"
import { begin, restore, stateOf, step, type Intent, type Step } from "../../src/engine/step.ts"
import { checkChain, type Receipt } from "../../src/protocol/receipt.ts"
import { isEnd, statuses, type Status } from "../../src/protocol/status.ts"
import { explore } from "../support/coverage.ts"

const bounds: CommandBounds = {
  attemptsMax: 3,
  lossesMax: 2,
  retryMsMin: 1_000,
  retryMsMax: 1_500,
  approvalSecondsMax: 60,
  interruptedSecondsMax: 120,
}
const deadlineMs = 10_000
const [early, late] = [1_000, 20_000]
const plain: CommandInput = {
  atMs: early,
  repeat: "safe",
  deadlineMs: null,
  refusal: null,
  stale: false,
  approval: null,
  imported: null,
  bounds,
}

/** What an attempt that is named by its number can do. */
const ofAttempt = (attempt: number, atMs = early): readonly CommandEvent[] => [
  { type: "succeed", atMs, attempt, result: { text: "done" } },
  { type: "fail", atMs, attempt, reason: "no", retryable: true, chance: 0.5 },
  { type: "fail", atMs, attempt, reason: "never", retryable: false, chance: 0.5 },
  { type: "lose", atMs, attempt, reason: "gone" },
  { type: "ask", atMs, attempt, hash: "in work" },
]
const others: readonly CommandEvent[] = [
  { type: "begin", atMs: early, authorised: true },
  { type: "begin", atMs: early, authorised: false },
  { type: "begin", atMs: late, authorised: true },
  ...["before work", "in work", "another"].flatMap((hash): readonly CommandEvent[] => [
    { type: "approve", atMs: early, hash },
    { type: "deny", atMs: early, hash, reason: "no" },
  ]),
  { type: "requeue", atMs: early },
  { type: "retry", atMs: early },
  { type: "cancel", atMs: early, reason: "not wanted" },
  ...(["deadline", "approval", "interrupted"] as const).map((timer): CommandEvent => ({
    type: "expire",
    atMs: late,
    timer,
  })),
  ...statuses.map((status): CommandEvent => ({ type: "import", atMs: early, status })),
  { type: "import", atMs: early, status: "working", further: false },
  { type: "nonsense", atMs: early } as never,
]
const inputs: readonly CommandInput[] = [
  plain,
  { ...plain, repeat: "never", deadlineMs },
  { ...plain, repeat: "resumable", approval: "before work" },
  { ...plain, refusal: "malformed" },
  { ...plain, stale: true },
  { ...plain, atMs: late, deadlineMs },
  { ...plain, refusal: "malformed", imported: "received" },
  ...statuses.map((imported): CommandInput => ({ ...plain, deadlineMs, imported })),
]

interface Played {
  /** Undefined for the arrival. */
  readonly event: CommandEvent | undefined
  readonly from: string
  readonly to: string
  readonly before: CommandContext | undefined
  readonly after: CommandContext
  readonly intents: readonly Intent[]
  readonly refused: boolean
}

/** Each step is made from what the store would hold, not from what is in memory. Attempt 0 stands for the last begun. */
const play = (input: CommandInput, events: readonly CommandEvent[]): readonly Played[] => {
  const note = (
    event: CommandEvent | undefined,
    from: string,
    before: CommandContext | undefined,
    next: Step,
  ): Played => ({
    event,
    from,
    to: stateOf(next.snapshot),
    before,
    after: next.snapshot.context as CommandContext,
    intents: next.intents,
    refused: next.refused,
  })
  let last = note(undefined, "", undefined, begin(machine, { type: "receive", input }))
  return [
    last,
    ...events.map((given) => {
      const stored = JSON.parse(JSON.stringify(last.after)) as CommandContext
      const event = "attempt" in given && given.attempt === 0 ? { ...given, attempt: stored.attempt } : given
      last = note(event, last.to, stored, step(machine, restore(machine, last.to, stored), event))
      return last
    }),
  ]
}

const begins = (authorised: boolean, atMs: number): CommandEvent => ({ type: "begin", atMs, authorised })
const goesOn = ({ type }: CommandEvent, at: number): boolean => type !== "succeed" && at !== 2

/** Mostly what keeps a command going. */
const moves = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...ofAttempt(0).filter(goesOn)) },
  { weight: 1, arbitrary: fc.constantFrom(...ofAttempt(0), ...ofAttempt(1), ...ofAttempt(7)) },
  { weight: 5, arbitrary: fc.constantFrom(begins(true, early)) },
  { weight: 1, arbitrary: fc.constantFrom(begins(false, early), begins(true, late)) },
  { weight: 4, arbitrary: fc.constantFrom(...others.filter(({ type }) => type === "requeue" || type === "retry")) },
  { weight: 2, arbitrary: fc.constantFrom(...others.filter(({ type }) => type === "approve")) },
  { weight: 1, arbitrary: fc.constantFrom(...others) },
)
const [alive, rare] = [inputs.slice(0, 3), inputs.slice(3)]
const lives = fc
  .tuple(
    fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...alive) }, fc.constantFrom(...rare)),
    fc.array(moves, { maxLength: 30 }),
  )
  .map(([input, events]) => play(input, events))
const holds = (check: (life: readonly Played[]) => void): void => fc.assert(fc.property(lives, check), { numRuns: 400 })

const intentsOf = (life: readonly Played[], type: string): readonly Intent["params"][] =>
  life.flatMap(({ intents }) => intents.filter((intent) => intent.type === type).map(({ params }) => params))
const has = (played: Played, type: string): boolean => played.intents.some((intent) => intent.type === type)
/** States that are passed through in one step are told too. */
const told = (life: readonly Played[]): readonly Status[] =>
  intentsOf(life, "report").map(({ status }) => status as Status)

describe("command", () => {
  it("every state and every transition of the definition is reached", () => {
    const events = [...ofAttempt(1), ...others]
    const enough = (context: Readonly<Record<string, unknown>>): boolean => (context["attempt"] as number) > 1
    const all = inputs.map((input) => explore(machine, input, events, enough))
    const missedByAll = (lists: readonly (readonly string[])[]) =>
      (lists[0] ?? []).filter((each) => lists.every((list) => list.includes(each)))
    expect(missedByAll(all.map(({ missed }) => missed))).toEqual([])
    expect(missedByAll(all.map(({ missedStates }) => missedStates))).toEqual([])
  })

  it("C1: an artifact is reported only from the open attempt's own success, and published with it", () => {
    holds((life) => {
      for (const played of life) {
        const { event, before, to, from } = played
        const reported = intentsOf([played], "report").some(({ status }) => status === "artifact-reported")
        expect(has(played, "publish")).toBe(reported)
        const isOwn = event?.type === "succeed" && before?.open === true && event.attempt === before.attempt
        const fromWork = from === "working" || from === "awaiting-approval"
        expect(reported).toBe(isOwn && fromWork)
        const isNews = event?.type === "import" || event === undefined
        expect(to !== "artifact-reported" || from === to || reported || isNews).toBe(true)
      }
    })
  })

  it("C2: exactly one end is reached, and after it nothing changes and nothing is asked for", () => {
    holds((life) => {
      const at = life.findIndex(({ to }) => isEnd(to as Status))
      expect(told(life).filter(isEnd).length).toBeLessThanOrEqual(1)
      for (const played of at === -1 ? [] : life.slice(at + 1)) {
        expect([played.to, played.intents, played.refused]).toEqual([life[at]?.to, [], true])
        expect(played.after).toEqual(life[at]?.after)
      }
    })
  })

  it("C3: at most one attempt is open, and each begins with a higher number", () => {
    holds((life) => {
      let open: number | undefined
      let last = 0
      for (const { event, intents, refused, after } of life) {
        const own = !refused && (event?.type === "succeed" || event?.type === "fail" || event?.type === "lose")
        if (own) open = undefined
        for (const { type, params } of intents) {
          if (type === "abort") open = undefined
          if (type !== "execute") continue
          expect(open).toBeUndefined()
          expect(params["attempt"]).toBeGreaterThan(last)
          last = open = params["attempt"] as number
        }
        expect([after.open, after.attempt]).toEqual([open !== undefined, last])
      }
    })
  })

  it("C4: each state entered is reported once, in order; the receipts make a chain that anybody can check", () => {
    holds((life) => {
      const imported = (life[0]?.after.imported ?? null) as Status | null
      const chain: Receipt[] = []
      const add = (status: Status): void => {
        const n = chain.length + 1
        const prev = chain.at(-1)
        chain.push({
          id: String(n).padStart(64, "0"),
          pubkey: "me",
          command: "c",
          author: "a",
          wizard: "w",
          status,
          ...(prev !== undefined && { prev: prev.id }),
          n,
          roster: 1,
          instance: "i",
          createdAt: 1,
          content: {},
        })
      }
      // What a relay gave back: some chain that leads to that status.
      const before = (status: Status): readonly Status[] => roads[status]
      if (imported !== null) for (const status of before(imported)) add(status)
      for (const played of life) {
        if (played.event?.type === "import" && !played.refused) {
          chain.length = 0
          for (const status of before(played.event.status)) add(status)
        }
        for (const status of told([played])) add(status)
        expect(chain.at(-1)?.status).toBe(played.to)
      }
      expect(checkChain(chain)).toBeUndefined()
    })
  })

  it("C5: an open attempt that ends by anything but its own result is aborted, and only such a one", () => {
    holds((life) => {
      for (const played of life) {
        const { event, before, after } = played
        const ended = before?.open === true && !after.open
        const own = event?.type === "succeed" || event?.type === "fail" || event?.type === "lose"
        expect(has(played, "abort")).toBe(ended && !own)
        const mayBeOpen = played.to === "working" || played.to === "awaiting-approval"
        expect(after.open && !mayBeOpen).toBe(false)
      }
    })
  })

  it("C6: work begins only with authority, before the deadline, approved, and never if refused or stale", () => {
    holds((life) => {
      let asked: unknown
      for (const played of life) {
        const { event, before } = played
        for (const { hash } of intentsOf([played], "request")) asked = hash
        if (!has(played, "execute")) continue
        expect(event).toMatchObject({ type: "begin", authorised: true })
        expect(before).toMatchObject({ refusal: null, stale: false, approval: null })
        const dueMs = before?.deadlineMs ?? Number.POSITIVE_INFINITY
        expect(event?.atMs).toBeLessThan(dueMs)
      }
      const first = life.findIndex((played) => has(played, "execute"))
      if (first === -1 || life[0]?.after.approval === null) return
      const yes = life.slice(0, first).filter(({ event, refused }) => event?.type === "approve" && !refused)
      expect(yes.map(({ event }) => event)).toMatchObject([{ hash: "before work" }])
      expect(asked).toBeDefined()
    })
  })

  it("C6: an approval that an attempt asked for does not outlive it", () => {
    const ask: readonly CommandEvent[] = [
      { type: "begin", atMs: early, authorised: true },
      { type: "ask", atMs: early, attempt: 1, hash: "in work" },
    ]
    const ended = ofAttempt(1).filter(({ type }) => type === "fail" || type === "lose")
    const again = ended.map((event) => play(plain, [...ask, event, { type: "requeue", atMs: early }]).at(-1))
    expect(again.map((last) => [last?.to, last?.after.approval])).toEqual([
      ["acknowledged", null],
      ["failed", null],
      ["acknowledged", null],
    ])
  })

  it("C7: what may not be repeated is begun again only by a person's retry", () => {
    holds((life) => {
      if (life[0]?.after.repeat !== "never") return
      for (const [at, { event, refused, to }] of life.entries()) {
        if (event?.type !== "lose" || refused) continue
        expect(to).toBe("interrupted")
        const next = life.slice(at + 1).findIndex((played) => has(played, "execute"))
        if (next === -1) continue
        const between = life.slice(at + 1, at + 1 + next)
        expect(between.some((played) => played.event?.type === "retry" && !played.refused)).toBe(true)
      }
    })
  })

  it("C7: only what is resumable is taken up where it was, and only after it was lost", () => {
    holds((life) => {
      let lost = false
      for (const played of life) {
        for (const { resume } of intentsOf([played], "execute")) {
          expect(resume).toBe(lost && played.after.repeat === "resumable")
          lost = false
        }
        if (played.refused) continue
        if (played.event?.type === "lose") lost = true
        if (played.event?.type === "retry" && played.from === "interrupted") lost = false
      }
    })
  })

  it("C8: attempts that fail and attempts that are lost are both bounded between two words of a person", () => {
    holds((life) => {
      let [failures, losses] = [0, 0]
      for (const { event, refused, from } of life) {
        if (refused) continue
        if (event?.type === "retry" && from === "interrupted") [failures, losses] = [0, 0]
        if (event?.type === "fail") failures += 1
        if (event?.type === "lose") losses += 1
        expect(failures).toBeLessThanOrEqual(bounds.attemptsMax)
        expect(losses).toBeLessThanOrEqual(bounds.lossesMax)
      }
    })
  })

  it("C8: at its bound it is failed, or interrupted, and not one attempt earlier or later", () => {
    const again = (event: CommandEvent) =>
      play(
        plain,
        Array.from({ length: 8 }, () => [begins(true, early), event, { type: "requeue", atMs: early } as const]).flat(),
      )
    const [failing, losing] = ["fail", "lose"].map((type) => again(ofAttempt(0).find((each) => each.type === type)!))
    expect([intentsOf(failing ?? [], "execute").length, failing?.at(-1)?.to]).toEqual([bounds.attemptsMax, "failed"])
    expect([intentsOf(losing ?? [], "execute").length, losing?.at(-1)?.to]).toEqual([bounds.lossesMax, "interrupted"])
  })

  it("C8: the wait before another attempt doubles, with jitter, up to its bound", () => {
    const round = (attempt: number, chance: number): readonly CommandEvent[] => [
      { type: "begin", atMs: early, authorised: true },
      { type: "fail", atMs: early, attempt, reason: "no", retryable: true, chance },
      { type: "requeue", atMs: early },
    ]
    const waits = [0, 1].map((chance) =>
      intentsOf(
        play(
          plain,
          [1, 2].flatMap((attempt) => round(attempt, chance)),
        ),
        "wake",
      ).map(({ dueMs }) => (dueMs as number) - early),
    )
    expect(waits).toEqual([
      [500, 750],
      [1000, 1500],
    ])
  })

  it("C9: what a state does not name is refused in the open and changes nothing", () => {
    holds((life) => {
      expect(life.some(({ event, refused }) => (event?.type as string) === "nonsense" && !refused)).toBe(false)
      for (const { intents, before, after, from, to } of life.filter(({ refused }) => refused))
        expect([to, after, intents]).toEqual([from, before, []])
    })
  })

  it("C10: a timer is armed only while the state that it belongs to lasts", () => {
    holds((life) => {
      const armed = new Map<string, number>()
      for (const { intents, to, after } of life) {
        for (const { type, params } of intents) {
          if (type === "wake") armed.set(params["timer"] as string, params["dueMs"] as number)
          if (type === "unwake") armed.delete(params["timer"] as string)
        }
        const own = new Map([
          ["awaiting-approval", "approval"],
          ["retrying", "retry"],
          ["interrupted", "interrupted"],
        ]).get(to)
        const deadline = after.deadlineMs !== null && !isEnd(to as Status) ? ["deadline"] : []
        expect([...armed.keys()].sort()).toEqual([...deadline, ...(own === undefined ? [] : [own])].sort())
        expect(armed.get("deadline") ?? after.deadlineMs).toBe(after.deadlineMs)
      }
    })
  })

  it("what arrives with an end that our own receipts tell of stays ended", () => {
    const ends = statuses.filter(isEnd)
    expect(ends.map((imported) => play({ ...plain, imported }, [])[0])).toMatchObject(
      ends.map((to) => ({ to, intents: [] })),
    )
  })

  it("one that was refused and comes back begun is not run by a retry", () => {
    const last = play({ ...plain, refusal: "malformed", imported: "working" }, [{ type: "retry", atMs: early }]).at(-1)
    expect([last?.to, last?.refused]).toEqual(["interrupted", true])
  })
})

/** A chain that leads to each status. */
const roads: Readonly<Record<Status, readonly Status[]>> = {
  received: ["received"],
  acknowledged: ["received", "acknowledged"],
  "awaiting-approval": ["received", "acknowledged", "awaiting-approval"],
  working: ["received", "acknowledged", "working"],
  retrying: ["received", "acknowledged", "working", "retrying"],
  interrupted: ["received", "acknowledged", "working", "interrupted"],
  "artifact-reported": ["received", "acknowledged", "working", "artifact-reported"],
  rejected: ["received", "rejected"],
  failed: ["received", "acknowledged", "working", "failed"],
  cancelled: ["received", "cancelled"],
  expired: ["received", "expired"],
}
