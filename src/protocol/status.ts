/**
 * The states of a command as the wire names them: in receipts, in answers, in every list. One list, one table of what
 * may follow what, one table of what other protocols call them. Which event leads from one to the next is the business
 * of `machines/command.ts`.
 *
 *   received → acknowledged → working → artifact-reported
 *                  off the road: awaiting-approval, retrying, interrupted
 *                  other ends:   rejected, failed, cancelled, expired
 */

/** All states, in the order of the road. */
export const statuses = [
  "received",
  "acknowledged",
  "awaiting-approval",
  "working",
  "retrying",
  "interrupted",
  "artifact-reported",
  "rejected",
  "failed",
  "cancelled",
  "expired",
] as const

export type Status = (typeof statuses)[number]

/** The states that nothing follows. A command reaches exactly one of them. */
export const endStatuses = ["artifact-reported", "rejected", "failed", "cancelled", "expired"] as const

export type EndStatus = (typeof endStatuses)[number]

export const isStatus = (value: unknown): value is Status => (statuses as readonly unknown[]).includes(value)

export const isEnd = (status: Status): status is EndStatus => (endStatuses as readonly Status[]).includes(status)

/**
 * What may follow a state in a chain of receipts: what the machine does, and `interrupted` after anything that has not
 * ended, since a runtime that lost its database goes on with the chain that it reads back from a relay.
 */
export const followers = {
  received: ["acknowledged", "interrupted", "rejected", "cancelled", "expired"],
  acknowledged: ["awaiting-approval", "working", "interrupted", "cancelled", "expired"],
  "awaiting-approval": [
    "acknowledged",
    "working",
    "retrying",
    "interrupted",
    "artifact-reported",
    "failed",
    "cancelled",
    "expired",
  ],
  working: [
    "acknowledged",
    "awaiting-approval",
    "retrying",
    "interrupted",
    "artifact-reported",
    "failed",
    "cancelled",
    "expired",
  ],
  retrying: ["acknowledged", "interrupted", "cancelled", "expired"],
  interrupted: ["acknowledged", "cancelled", "expired"],
  "artifact-reported": [],
  rejected: [],
  failed: [],
  cancelled: [],
  expired: [],
} as const satisfies Record<Status, readonly Status[]>

export const mayFollow = (before: Status, after: Status): boolean =>
  (followers[before] as readonly Status[]).includes(after)

/** What others call our states: A2A's `TaskState` (1.0), and the `status` of a NIP-90 job feedback. */
export const foreignNames = {
  received: { a2a: "TASK_STATE_SUBMITTED", nip90: "processing" },
  acknowledged: { a2a: "TASK_STATE_SUBMITTED", nip90: "processing" },
  "awaiting-approval": { a2a: "TASK_STATE_INPUT_REQUIRED", nip90: "processing" },
  working: { a2a: "TASK_STATE_WORKING", nip90: "processing" },
  retrying: { a2a: "TASK_STATE_WORKING", nip90: "processing" },
  interrupted: { a2a: "TASK_STATE_INPUT_REQUIRED", nip90: "processing" },
  "artifact-reported": { a2a: "TASK_STATE_COMPLETED", nip90: "success" },
  rejected: { a2a: "TASK_STATE_REJECTED", nip90: "error" },
  failed: { a2a: "TASK_STATE_FAILED", nip90: "error" },
  cancelled: { a2a: "TASK_STATE_CANCELED", nip90: "error" },
  expired: { a2a: "TASK_STATE_FAILED", nip90: "error" },
} as const satisfies Record<Status, { readonly a2a: A2aTaskState; readonly nip90: Nip90Status }>

/** A2A 1.0, "TaskState", as its JSON writes it; the states that can be told apart by a client. */
export type A2aTaskState = `TASK_STATE_${
  | "SUBMITTED"
  | "WORKING"
  | "INPUT_REQUIRED"
  | "AUTH_REQUIRED"
  | "COMPLETED"
  | "CANCELED"
  | "FAILED"
  | "REJECTED"}`

/** NIP-90, "Job Feedback Status". */
export type Nip90Status = "payment-required" | "processing" | "error" | "success" | "partial"
