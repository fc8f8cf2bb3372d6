/**
 * Every bound of the runtime, with its unit in its name. Each can be set in the config file under `limits`; what
 * happens at a bound is told beside it. Machines get theirs in their input.
 */
export const limits = {
  /** A command's text. Longer: `rejected`, with this figure. */
  commandBytesMax: 64 * 1024,
  /** One event as JSON, in and out. Longer: refused at the socket. */
  eventBytesMax: 512 * 1024,
  /** One frame on a socket. Longer: the socket closes with 1009. */
  frameBytesMax: 1024 * 1024,
  /** How far ahead a `created_at` may be. Further: the command is `rejected`. */
  futureSecondsMax: 15 * 60,
  /** A command first seen this long after its date ends `expired (stale)`. */
  commandAgeSecondsMax: 14 * 24 * 3600,
  /** How far back the first reading of a relay looks for commands. */
  firstReadSecondsMax: 15 * 60,
  /** `since = min(cursor, now) − look-back`, at start. */
  lookBackSecondsMax: 72 * 3600,
  /** The same on a quick reconnect. */
  lookBackSecondsQuick: 15 * 60,
  /** How long a start waits for the history of relays that do not answer. */
  historyWaitSecondsMax: 10,
  /** How long a start listens for another instance of its key. */
  instanceWaitSeconds: 5,
  /** Commands of one wizard that wait for an executor. More: not taken in yet, the cursor is held. */
  queueRowsMax: 10_000,
  /** Inputs that wait for the engine. More: senders wait. */
  mailboxRowsMax: 4096,
  /** Inputs in one transaction. The rest makes the next one. */
  groupRowsMax: 512,
  /** Attempts of one command, the first included. Then: `failed`. */
  attemptsMax: 3,
  /** The first wait before another attempt; doubled each time. */
  retryMsMin: 2_000,
  retryMsMax: 5 * 60_000,
  /** Open attempts of one wizard at a time. More: they wait in the queue. */
  concurrentAttemptsMax: 1,
  /** One attempt's length. Longer: aborted, and `failed` or tried again. */
  attemptSecondsMax: 3600,
  /** How long `awaiting-approval` and `interrupted` wait for a person. Then: `expired`. */
  approvalSecondsMax: 24 * 3600,
  interruptedSecondsMax: 14 * 24 * 3600,
  /** How long SIGTERM waits for running work. */
  drainSecondsMax: 30,
  /** Restarts of one supervised child in the window. More: escalation. */
  restartsMax: 5,
  restartWindowSeconds: 60,
  restartMsMin: 100,
  restartMsMax: 10_000,
  /** Reconnecting to a relay: backoff with jitter between these. */
  reconnectMsMin: 500,
  reconnectMsMax: 5 * 60_000,
  /** A connection that lived this long is stable: its backoff starts anew. */
  reconnectStableSeconds: 30,
  /** How long a socket may take to open, and how long a ping may go unanswered. */
  connectMsMax: 10_000,
  pingSeconds: 25,
  pongMsMax: 10_000,
  /** Events asked for in one REQ. As many back: the next page is asked for. */
  pageRowsMax: 500,
  /** Events from one relay that are being worked on. More: its socket is not read. */
  intakeRowsMax: 1000,
  /** Publishing: tries of one event at one relay. Then: a dead letter. */
  deliveryTriesMax: 20,
  /** How long a relay may take for its OK. Longer: sent again. */
  okMsMax: 15_000,
  /** Events under way to one relay at a time. */
  deliveriesInFlightMax: 64,
  /** Heartbeats: the default interval and its bounds (`heartbeat faster|slower`). */
  heartbeatSeconds: 300,
  heartbeatSecondsMin: 30,
  heartbeatSecondsMax: 3600,
  /** How long relays keep a heartbeat (NIP-40). */
  heartbeatKeepSeconds: 30 * 24 * 3600,
  /** The result's own text in a final answer. Longer: cut at a paragraph. */
  answerCharsMax: 2000,
  /** Roster versions whose `prev` is missing and that wait for it. More: the oldest is dropped and read again later. */
  rosterPendingMax: 64,
  /** One line on the control socket. Longer: refused. */
  controlBytesMax: 64 * 1024,
  /** How long ids stay in `seen`; longer than any command may be old. */
  seenSecondsMax: 30 * 24 * 3600,
} as const

/** The limits in force: the defaults, overridden by the config. */
export type Limits = { readonly [K in keyof typeof limits]: number }
