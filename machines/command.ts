/**
 * The life of one command at one wizard. Owns what may follow what; the engine steps it, workers do what it asks for.
 *
 *   arriving ─► received ─► acknowledged ─► working ─► artifact-reported
 *                  │             ▲  ▲          │
 *                  │    awaiting-approval   retrying · interrupted
 *                  └─► rejected · expired          └─► failed · cancelled · expired
 *
 * C1  An artifact is reported only from the open attempt's own success.
 * C2  Exactly one end is reached; after it nothing changes and nothing is asked for.
 * C3  At most one attempt is open, and each begins with a higher number than the one before.
 * C4  Each state entered is reported once, in order. What was read back from a relay (`import`) is not reported again.
 * C5  An open attempt that ends by anything but its own result is aborted.
 * C6  Work begins only with authority, before the deadline, and approved where a person must approve; what is refused or
 *     stale never does. An approval is for one request: it does not outlive the attempt that asked.
 * C7  What may not be repeated is begun again only by a person's `retry`.
 * C8  Attempts that fail and attempts that are lost are both bounded.
 * C9  What a state does not name is refused in the open and changes nothing.
 * C10 A timer that a state arms is disarmed when the state is left.
 */
import { assign, setup } from "xstate"
import type { Status } from "../src/protocol/status.ts"

/** Raised whenever a snapshot of the version before would be read wrongly; see `machines/migrations`. */
export const version = 1

/** What may be done with an attempt that was lost: done again, taken up where it was, or neither without a person. */
export type Repeat = "safe" | "resumable" | "never"

export interface CommandBounds {
  readonly attemptsMax: number
  readonly lossesMax: number
  readonly retryMsMin: number
  readonly retryMsMax: number
  readonly approvalSecondsMax: number
  readonly interruptedSecondsMax: number
}

export interface CommandInput {
  /** When it was taken up, unix milliseconds. */
  readonly atMs: number
  readonly repeat: Repeat
  /** Unix milliseconds; null where there is none. */
  readonly deadlineMs: number | null
  /** Why it is malformed or forbidden, in a sentence that says what to do. */
  readonly refusal: string | null
  /** Too old to be run. */
  readonly stale: boolean
  /** SHA-256 of what would be run, where a person must approve it. */
  readonly approval: string | null
  /** The last status that our own receipts on a relay tell of, where the journal knows nothing. */
  readonly imported: Status | null
  readonly bounds: CommandBounds
}

export interface CommandContext {
  readonly repeat: Repeat
  readonly deadlineMs: number | null
  readonly refusal: string | null
  readonly stale: boolean
  readonly imported: Status | null
  readonly approval: string | null
  readonly bounds: CommandBounds
  readonly takenMs: number
  readonly attempt: number
  readonly open: boolean
  readonly resume: boolean
  readonly failures: number
  readonly losses: number
  readonly reason: string | null
}

/** What an artifact is, for the event that reports it; the machine only passes it on. */
export type Result = { readonly text: string } & Readonly<Record<string, unknown>>

type At<T extends string, Data = unknown> = { readonly type: T; readonly atMs: number } & Readonly<Data>

export type CommandEvent =
  | At<"begin", { authorised: boolean }>
  | At<"succeed", { attempt: number; result: Result }>
  | At<"fail", { attempt: number; reason: string; retryable: boolean; chance: number }>
  /** The attempt's process is gone (a crash, a drain) and nobody knows how far it came. */
  | At<"lose", { attempt: number; reason: string }>
  | At<"ask", { attempt: number; hash: string }>
  | At<"approve", { hash: string }>
  | At<"deny", { hash: string; reason: string }>
  | At<"requeue">
  | At<"retry">
  | At<"cancel", { reason: string }>
  | At<"expire", { timer: "deadline" | "approval" | "interrupted" }>
  /** What our own receipts on a relay tell; `further` is false where the journal is further than they are. */
  | At<"import", { status: Status; further?: boolean }>

export type CommandTimer = "deadline" | "approval" | "interrupted" | "retry"

/** What it wants from the world, as data. */
export type CommandIntent =
  | { readonly type: "report"; readonly params: { status: Status; attempt: number; reason: string | null } }
  | { readonly type: "publish"; readonly params: { attempt: number; result: Result } }
  | { readonly type: "execute"; readonly params: { attempt: number; resume: boolean } }
  | { readonly type: "abort"; readonly params: { attempt: number; reason: string } }
  | { readonly type: "request"; readonly params: { hash: string; attempt: number } }
  | { readonly type: "grant"; readonly params: { attempt: number; hash: string; granted: boolean } }
  | { readonly type: "wake"; readonly params: { timer: CommandTimer; dueMs: number } }
  | { readonly type: "unwake"; readonly params: { timer: CommandTimer } }
  | { readonly type: "refuse"; readonly params: { event: string } }

type Params<T extends CommandIntent["type"]> = Extract<CommandIntent, { type: T }>["params"]
/** An action that does nothing here: what it wants is in its parameters, for whoever steps the machine. */
const intent =
  <T extends CommandIntent["type"]>(): ((_: unknown, params: Params<T>) => void) =>
  () => {}

const states = setup({
  types: {
    context: {} as CommandContext,
    input: {} as CommandInput,
    events: {} as CommandEvent,
  },
  actions: {
    report: intent<"report">(),
    publish: intent<"publish">(),
    execute: intent<"execute">(),
    abort: intent<"abort">(),
    request: intent<"request">(),
    grant: intent<"grant">(),
    wake: intent<"wake">(),
    unwake: intent<"unwake">(),
    refuse: intent<"refuse">(),
    open: assign({ attempt: ({ context }) => context.attempt + 1, open: true, reason: null }),
    shut: assign({ open: false, approval: null }),
    explain: assign({ reason: (_, reason: string) => reason }),
    countFailure: assign({ failures: ({ context }) => context.failures + 1, resume: false }),
    countLoss: assign({ losses: ({ context }) => context.losses + 1 }),
    approved: assign({ approval: null }),
    asked: assign({ approval: (_, hash: string) => hash }),
    resumeNext: assign({ resume: ({ context }) => context.repeat === "resumable" }),
    restarted: assign({ failures: 0, losses: 0, resume: false }),
  },
  guards: {
    isImported: ({ context }) => context.imported !== null,
    isRefused: ({ context }) => context.refusal !== null,
    isStale: ({ context }) => context.stale,
    isPast: ({ context, event }) =>
      context.deadlineMs !== null && context.deadlineMs <= ("atMs" in event ? event.atMs : context.takenMs),
    needsApproval: ({ context }) => context.approval !== null,
    isUnauthorised: ({ event }) => event.type === "begin" && !event.authorised,
    isOwn: ({ context, event }) => "attempt" in event && context.open && event.attempt === context.attempt,
    mayTryAgain: ({ context, event }) =>
      event.type === "fail" &&
      context.open &&
      event.attempt === context.attempt &&
      event.retryable &&
      context.failures + 1 < context.bounds.attemptsMax,
    isLostForGood: ({ context, event }) =>
      event.type === "lose" &&
      context.open &&
      event.attempt === context.attempt &&
      (context.repeat === "never" || context.losses + 1 >= context.bounds.lossesMax),
    isAskedOpen: ({ context, event }) => "hash" in event && context.open && event.hash === context.approval,
    isAsked: ({ context, event }) => "hash" in event && !context.open && event.hash === context.approval,
    hasOpen: ({ context }) => context.open,
    isDeadline: ({ event }) => event.type === "expire" && event.timer === "deadline",
    isApprovalTimer: ({ event }) => event.type === "expire" && event.timer === "approval",
    isInterruptedTimer: ({ event }) => event.type === "expire" && event.timer === "interrupted",
    isFurther: ({ event }) => event.type === "import" && event.further !== false,
    mayRun: ({ context }) => context.refusal === null && !context.stale,
    wasReported: (args) => importedNow(args) === "artifact-reported",
    wasRejected: (args) => importedNow(args) === "rejected",
    wasFailed: (args) => importedNow(args) === "failed",
    wasCancelled: (args) => importedNow(args) === "cancelled",
    wasExpired: (args) => importedNow(args) === "expired",
  },
})

/** The status that this very input brings from our own receipts: an import's, or what a command arrives with. */
const importedNow = ({
  context,
  event,
}: {
  context: CommandContext
  event: { readonly type: string }
}): Status | null => {
  if (event.type === "import") return (event as Extract<CommandEvent, { type: "import" }>).status
  return event.type === "xstate.init" ? context.imported : null
}

/** Entering a state tells of it, except where the news came from our own receipts (C4). */
const tell = (status: Status) =>
  states.enqueueActions(({ context, event, enqueue }) => {
    if (importedNow({ context, event }) === status) return
    enqueue({ type: "report", params: { status, attempt: context.attempt, reason: context.reason } })
  })

const because = (reason: string) => ({ type: "explain", params: reason }) as const

/** An attempt that has not given its own result is told to stop (C5). */
const abortOpen = states.enqueueActions(({ context, event, enqueue }) => {
  if (!context.open) return
  const reason = "reason" in event ? event.reason : event.type
  enqueue({ type: "abort", params: { attempt: context.attempt, reason } })
  enqueue("shut")
})

const armDeadline = states.enqueueActions(({ context, enqueue }) => {
  if (context.deadlineMs !== null) enqueue({ type: "wake", params: { timer: "deadline", dueMs: context.deadlineMs } })
})

const disarmDeadline = states.enqueueActions(({ context, enqueue }) => {
  if (context.deadlineMs !== null) enqueue({ type: "unwake", params: { timer: "deadline" } })
})

const arm = (timer: "approval" | "interrupted", bound: "approvalSecondsMax" | "interruptedSecondsMax") => ({
  type: "wake" as const,
  params: ({ context, event }: { context: CommandContext; event: CommandEvent }) => ({
    timer,
    dueMs: (event.atMs ?? context.takenMs) + context.bounds[bound] * 1000,
  }),
})

const disarm = (timer: CommandTimer) => ({ type: "unwake", params: { timer } }) as const

const reasonOf = {
  type: "explain" as const,
  params: ({ event }: { event: CommandEvent }) => ("reason" in event ? event.reason : event.type),
}

const end = (status: Status) => ({ type: "final", entry: [abortOpen, tell(status), disarmDeadline] }) as const

/** The wait before attempt n + 1: doubled each time, with jitter by the chance that came with the event. */
const backoffMs = (context: CommandContext, chance: number): number => {
  const { retryMsMin, retryMsMax } = context.bounds
  return Math.round(Math.min(retryMsMax, retryMsMin * 2 ** Math.max(0, context.failures - 1)) * (0.5 + chance / 2))
}

/** What an open attempt's own end leads to; alike while it works and while it waits for a person's word. */
const results = {
  succeed: {
    guard: "isOwn",
    target: "artifact-reported",
    actions: [
      "shut",
      {
        type: "publish",
        params: ({ context, event }: { context: CommandContext; event: CommandEvent }) => ({
          attempt: context.attempt,
          result: (event as Extract<CommandEvent, { type: "succeed" }>).result,
        }),
      },
    ],
  },
  fail: [
    {
      guard: "mayTryAgain",
      target: "retrying",
      actions: [
        "shut",
        reasonOf,
        "countFailure",
        {
          type: "wake",
          params: ({ context, event }: { context: CommandContext; event: CommandEvent }) => ({
            timer: "retry" as const,
            dueMs: event.atMs + backoffMs(context, event.type === "fail" ? event.chance : 0),
          }),
        },
      ],
    },
    { guard: "isOwn", target: "failed", actions: ["shut", reasonOf] },
  ],
  lose: [
    { guard: "isLostForGood", target: "interrupted", actions: ["shut", reasonOf, "countLoss"] },
    { guard: "isOwn", target: "acknowledged", actions: ["shut", reasonOf, "countLoss", "resumeNext"] },
  ],
} as const

/** What can happen to a command wherever it rests before its end. */
const imported = [
  { guard: "wasReported", target: "artifact-reported" },
  { guard: "wasRejected", target: "rejected" },
  { guard: "wasFailed", target: "failed" },
  { guard: "wasCancelled", target: "cancelled" },
  { guard: "wasExpired", target: "expired" },
] as const
const pastDeadline = {
  guard: "isDeadline",
  target: "expired",
  actions: because("its deadline passed"),
} as const
const unended = {
  cancel: { target: "cancelled", actions: reasonOf },
  expire: pastDeadline,
  import: [
    ...imported,
    {
      guard: "isFurther",
      target: "interrupted",
      // One that is interrupted already goes on from the end of the longer chain.
      reenter: true,
      actions: because("an earlier life of this wizard had come further; nobody knows how far"),
    },
  ],
} as const

export const machine = states.createMachine({
  id: "command",
  context: ({ input }) => ({
    repeat: input?.repeat ?? "never",
    deadlineMs: input?.deadlineMs ?? null,
    refusal: input?.refusal ?? null,
    stale: input?.stale ?? false,
    imported: input?.imported ?? null,
    approval: input?.approval ?? null,
    bounds: input?.bounds,
    takenMs: input?.atMs ?? 0,
    attempt: 0,
    open: false,
    resume: false,
    failures: 0,
    losses: 0,
    reason: null,
  }),
  initial: "arriving",
  on: { "*": { actions: { type: "refuse", params: ({ event }) => ({ event: event.type }) } } },
  states: {
    arriving: {
      always: [
        ...imported,
        {
          guard: "isImported",
          target: "interrupted",
          actions: [because("an earlier life of this wizard had begun it; nobody knows how far it came"), armDeadline],
        },
        { target: "received" },
      ],
    },
    received: {
      entry: tell("received"),
      always: [
        {
          guard: "isRefused",
          target: "rejected",
          actions: { type: "explain", params: ({ context }) => context.refusal ?? "" },
        },
        { guard: "isStale", target: "expired", actions: because("stale: it was first seen long after its date") },
        { guard: "isPast", target: "expired", actions: because("its deadline had passed when it came") },
        { target: "acknowledged", actions: armDeadline },
      ],
    },
    acknowledged: {
      entry: tell("acknowledged"),
      always: { guard: "needsApproval", target: "awaiting-approval" },
      on: {
        ...unended,
        begin: [
          { guard: "isUnauthorised", target: "cancelled", actions: because("authority withdrawn") },
          { guard: "isPast", target: "expired", actions: because("its deadline passed") },
          {
            target: "working",
            actions: [
              "open",
              {
                type: "execute",
                params: ({ context }) => ({ attempt: context.attempt, resume: context.resume }),
              },
            ],
          },
        ],
      },
    },
    "awaiting-approval": {
      entry: [
        tell("awaiting-approval"),
        { type: "request", params: ({ context }) => ({ hash: context.approval ?? "", attempt: context.attempt }) },
        arm("approval", "approvalSecondsMax"),
      ],
      exit: disarm("approval"),
      on: {
        ...unended,
        ...results,
        approve: [
          {
            guard: "isAskedOpen",
            target: "working",
            actions: [
              {
                type: "grant",
                params: ({ context, event }) => ({ attempt: context.attempt, hash: event.hash, granted: true }),
              },
              "approved",
            ],
          },
          { guard: "isAsked", target: "acknowledged", actions: "approved" },
        ],
        deny: [
          {
            guard: "isAskedOpen",
            target: "working",
            actions: [
              {
                type: "grant",
                params: ({ context, event }) => ({ attempt: context.attempt, hash: event.hash, granted: false }),
              },
              "approved",
            ],
          },
          { guard: "isAsked", target: "cancelled", actions: reasonOf },
        ],
        expire: [
          pastDeadline,
          { guard: "isApprovalTimer", target: "expired", actions: because("nobody approved it in time") },
        ],
      },
    },
    working: {
      entry: tell("working"),
      on: {
        ...unended,
        ...results,
        ask: {
          guard: "isOwn",
          target: "awaiting-approval",
          actions: { type: "asked", params: ({ event }) => event.hash },
        },
      },
    },
    retrying: {
      entry: tell("retrying"),
      exit: disarm("retry"),
      on: { ...unended, requeue: "acknowledged", retry: "acknowledged" },
    },
    interrupted: {
      entry: [abortOpen, tell("interrupted"), arm("interrupted", "interruptedSecondsMax")],
      exit: disarm("interrupted"),
      on: {
        ...unended,
        retry: { guard: "mayRun", target: "acknowledged", actions: "restarted" },
        expire: [
          pastDeadline,
          { guard: "isInterruptedTimer", target: "expired", actions: because("nobody decided about it in time") },
        ],
      },
    },
    "artifact-reported": end("artifact-reported"),
    rejected: end("rejected"),
    failed: end("failed"),
    cancelled: end("cancelled"),
    expired: end("expired"),
  },
})
