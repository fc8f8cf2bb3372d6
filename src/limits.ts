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
  /** One frame from a relay, which may hold larger events than we do. Longer: closes with 1009, told in `runtime ps`. */
  frameInBytesMax: 16 * 1024 * 1024,
  /** How far ahead a `created_at` may be. Further: the command is `rejected`. */
  futureSecondsMax: 15 * 60,
  /** A command first seen this long after its date ends `expired (stale)`. */
  commandAgeSecondsMax: 14 * 24 * 3600,
  /** How far back the first reading of a relay looks for commands. */
  firstReadSecondsMax: 15 * 60,
  /** `since = min(cursor, now) − look-back`, at start. */
  lookBackSecondsMax: 72 * 3600,
  /** How often each relay is read back the whole way while it is connected. */
  lookBackDeepSeconds: 3600,
  /** The same on a quick reconnect. */
  lookBackSecondsQuick: 15 * 60,
  /** How often it is looked whether a cursor is ahead of a clock that was set back; less than any look-back. */
  lookAtClockSeconds: 60,
  /** How long a start waits for the history of relays that do not answer, and tasks for the backlog of those that do. */
  historyWaitSecondsMax: 10,
  /** How long a start listens for another instance of its key. */
  instanceWaitSeconds: 5,
  /** How many wizards may pass a command on, one to the next. More: `rejected`. */
  childDepthMax: 3,
  /** Commands of one author who is no operator to one wizard in a minute. More: `rejected`, as who may not. */
  authorCommandsPerMinuteMax: 60,
  /** Children that wait for their parents, and parents that are kept. More: the oldest are left until they are read again. */
  kinRowsMax: 256,
  /** How long a child waits for its parents. Longer: the same. */
  kinSecondsMax: 60,
  /** Who may not command and is told so is told once in this time by each wizard; more is counted, and unanswered. */
  refusalSeconds: 3600,
  /** Commands of one wizard that wait for an executor. More: not taken in yet, the cursor is held. */
  queueRowsMax: 10_000,
  /** Inputs that wait for the engine. More: senders wait. */
  mailboxRowsMax: 4096,
  /** Inputs in one transaction. The rest makes the next one. */
  groupRowsMax: 512,
  /** Durable actors kept in memory. More: the one stepped longest ago is read back when it is needed. */
  actorsCachedMax: 2048,
  /** Attempts of one command that were lost with their process. Then: `interrupted`, a person decides. */
  lossesMax: 10,
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
  /** How long a stop then waits for relays to take what was said last. The rest goes out at the next start. */
  farewellMsMax: 2_000,
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
  /** A relay or a subscription that was refused for good is tried again after this, or when the roster changes. */
  suspendSeconds: 3600,
  /** AUTH (NIP-42) with one relay between two stable connections. More: it is left alone for `suspendSeconds`. */
  authTriesMax: 3,
  /** How long a socket may take to open, and how long a ping may go unanswered. */
  connectMsMax: 10_000,
  pingSeconds: 25,
  pongMsMax: 10_000,
  /** What a relay says of itself (NIP-11). Longer, or later: it counts as not said, and nothing else is late for it. */
  relayInformationBytesMax: 256 * 1024,
  informationMsMax: 3_000,
  /** A relay that is reached anew is asked for it again after this; where it gave nothing, after the second. */
  informationSeconds: 3600,
  informationRetrySeconds: 60,
  /**
   * Reconciling (NIP-77): events that we hold of one filter and events that we turn out to lack. More: the relay is read
   * page by page, which is as quick then.
   */
  reconcileRowsMax: 50_000,
  reconcileNeedMax: 10_000,
  /** One message of ours, before hex. What does not fit is asked in the next one. */
  reconcileBytesMax: 60_000,
  /** Messages of one reconciliation. More: the relay goes in circles, and is read page by page. */
  reconcileRoundsMax: 64,
  /** Ids asked for in one REQ. More: the next one asks. */
  requestIdsMax: 500,
  /** How often a subscription is read for which the relay has no room among those that stay open. */
  pollSeconds: 60,
  /** Relays that are kept of somebody's list (kind 10002). More: the first ones. */
  relayListUrlsMax: 20,
  /** Events asked for in one REQ, where the relay gives so many. As many back: the next page is asked for. */
  pageRowsMax: 2000,
  /** Events from one relay that are being worked on. More: its socket is not read. */
  intakeRowsMax: 2000,
  /** Their bytes. More: the same. */
  intakeBytesMax: 32 * 1024 * 1024,
  /** The longest wait before what could not be kept is read again; the shortest is `retryMsMin`. */
  uncommittedMsMax: 10_000,
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
  /** Members of one channel. More: its definition is refused, the one before stays. */
  channelMembersMax: 1000,
  /** Events about channels (kinds 40 and 41) that are kept of the council. More: not kept. */
  channelEventsMax: 1000,
  /** Roster versions whose `prev` is missing and that wait for it. More: the oldest is dropped and read again later. */
  rosterPendingMax: 64,
  /** How often `<home>/outgoing` is looked at for commands that wait for a relay. */
  outgoingSeconds: 30,
  /** One line on the control socket. Longer: refused. */
  controlBytesMax: 64 * 1024,
  /** How often ids that are too old are taken out of `seen`. */
  sweepSeconds: 3600,
  /** How long ids stay in `seen`; longer than any command may be old. */
  seenSecondsMax: 30 * 24 * 3600,
  /** Relays that are remembered to have brought a command after the first one. More: they are not told of. */
  seenOnRelaysMax: 16,
  /** One git call. Longer: it is ended, and the attempt may be tried again. */
  gitMsMax: 120_000,
  /** What one git call may write out; so also the bytes of one artifact's files. More: the attempt ends `unverified`. */
  gitBytesMax: 64 * 1024 * 1024,
  /** How long an opening waits for a git lock of somebody still at work. Then the lock is a dead process's: removed. */
  gitLockMsMax: 3_000,
  /** Files that one artifact lists. More: the attempt ends `unverified`. */
  artifactFilesMax: 2_000,
  /** How long an executor's program may take to end when it is asked to. Longer: killed, with all that it started. */
  executorGraceMs: 2_000,
  /** How long it may take until its first sign of life, between two of them, and in all. Longer: ended. */
  executorColdSecondsMax: 300,
  executorQuietSecondsMax: 900,
  executorSecondsMax: 3_600,
  /** What is kept in memory of what a program writes: its beginning and its end. The whole goes to a file. */
  executorKeptBytesMax: 64 * 1024,
  /** All that a program may write to its output. More: ended, and the attempt is `failed`. */
  executorOutputBytesMax: 64 * 1024 * 1024,
  /** Memory of each process of a program (`RLIMIT_DATA`, where there is `prlimit`). More: it is refused memory. */
  executorMemoryBytesMax: 8 * 1024 * 1024 * 1024,
  /** One file that a program writes. Longer: it is ended by SIGXFSZ. */
  executorFileBytesMax: 1024 * 1024 * 1024,
  /** How long whole outputs stay in `<home>/outputs`. */
  executorOutputKeepSeconds: 7 * 24 * 3600,
  /** Runs of one model, or on one machine, at a time. More: they wait, and their timers have not begun. */
  modelRunsMax: 1,
  /** How often a model's server that rests is asked for a token, and how long that may take. Longer: it is started anew. */
  modelCanarySeconds: 300,
  modelCanarySecondsMax: 60,
  /** The window in which `restartsMax` restarts of a model's server may fall. More: runs fail as unavailable. */
  modelRestartWindowSeconds: 600,
  /** The embedded relay: clients at a time. More: refused with 503. */
  relayClientsMax: 1024,
  /** Open subscriptions of one client, and counts under way. More: CLOSED `rate-limited:`. */
  relaySubscriptionsMax: 64,
  /** Filters in one REQ, values in one list of a filter, and tags that one filter names. More: CLOSED `invalid:`. */
  relayFiltersMax: 20,
  relayFilterValuesMax: 5000,
  relayFilterTagsMax: 8,
  /** Values in all filters of one client's open subscriptions: each is looked at for new events. More: CLOSED `rate-limited:`. */
  relayOpenValuesMax: 20_000,
  /**
   * Stored events that one filter gets, asked for or not; the second in which that many are reached is told to its end.
   * More: the client asks for the next page with `until`, and EOSE says so (`more`).
   */
  relayRowsMax: 10_000,
  /** Rows that are sent or counted for one client before others have their turn. */
  relayTurnRowsMax: 128,
  /** Tags of one event. More: OK false `invalid:`. */
  relayTagsMax: 5000,
  /** The least that a lower bound on `created_at` may be, where the relay's owner sets one. */
  relayAgeSecondsMin: 30 * 24 * 3600,
  /** Bytes that wait for one slow client. More: it is cut off. */
  relayBufferBytesMax: 16 * 1024 * 1024,
  /** Bytes that one client's socket is given ahead of the network while stored events are sent. More: they wait. */
  relayPaceBytesMax: 256 * 1024,
  /** Bytes of one client's events that wait for their OK. More: its socket is not read. */
  relayUnansweredBytesMax: 4 * 1024 * 1024,
  /** How long a client may take to say goodbye when the relay closes. Longer: cut off. */
  relayGoodbyeMsMax: 1000,
  /** How far the date of an AUTH event may be from now. Further: OK false `invalid:`. */
  relayAuthSecondsMax: 600,
  /** Keys that one connection may authenticate. More: OK false `restricted:`. */
  relayAuthKeysMax: 16,
  /** Events of one connection and of one key in a minute, on a relay that others reach. More: `rate-limited:`. */
  relayConnectionEventsPerMinuteMax: 6000,
  relayKeyEventsPerMinuteMax: 6000,
  /** Keys whose rate is remembered. More: the one not seen for longest is forgotten. */
  relayRateKeysMax: 10_000,
  /** How often expired events are swept away when nothing is written. */
  relaySweepSeconds: 60,
  /** Negentropy (NIP-77): open at one client, events in one, and events in all of them. More: NEG-ERR `blocked:`. */
  relayNegentropiesMax: 4,
  relayNegentropyRowsMax: 200_000,
  relayNegentropyRowsTotalMax: 1_000_000,
  /** One negentropy message of ours, before hex. What does not fit is said in the next one. */
  relayNegentropyBytesMax: 60_000,
  /** How long a negentropy may rest. Longer: NEG-ERR `closed:`. */
  relayNegentropySecondsMax: 120,
  /** One management call (NIP-86). Longer: refused with 413. */
  relayAdminBytesMax: 64 * 1024,
  /** How far the date of a management call's signature (NIP-98) may be from now. Further: refused with 401. */
  relayAdminSecondsMax: 60,
} as const

/** The limits in force: the defaults, overridden by the config. */
export type Limits = { readonly [K in keyof typeof limits]: number }
