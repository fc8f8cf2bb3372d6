/**
 * A wizard's connections, one to each of its relays: what it reads there, and what it gives a relay that is reached.
 * Relays come and go while it runs; the store is told before (`relays.ts`).
 *
 * CN1 A relay that comes while the history is being read is waited for like the others; later it is read in the same
 *     order (roster, own, commands), so its commands are judged by what it holds of our own past.
 * CN2 What is read deep is every relay, at start and every `lookBackDeepSeconds`, and one where what came could not be
 *     kept: what is read again for it may be dated before the quick look-back (P28). So is one
 *     whose cursor stands at a time that has not come yet, as the clock was set back (P6).
 * CN3 A relay that is asked for commands anew may hold a backlog: until it is read, refused or overdue, `isBacklogRead` is
 *     false, so that what comes first there is not begun before what is more urgent.
 */
import {
  isConnected,
  openRelayConnection,
  type RelayConnection,
  type RelayReport,
} from "../../actors/relay-connection.ts"
import type { Batch, Subscription } from "../../actors/subscription.ts"
import { superviseActor } from "../../actors/bridge.ts"
import { NotCommitted } from "../engine/command-host.ts"
import type { Signer } from "../identity/signer.ts"
import type { VerifierShape } from "../identity/verifier.ts"
import type { Intake } from "../intake/intake.ts"
import type { Limits } from "../limits.ts"
import type { NostrEvent } from "../protocol/event.ts"
import type { Publisher } from "../publish/publisher.ts"
import type { ChanceShape } from "../services/chance.ts"
import type { ClockShape } from "../services/clock.ts"
import type { RelayInformationShape } from "../services/relay-information.ts"
import type { SocketShape } from "../services/socket.ts"
import type { StoreShape } from "../store/store.ts"
import type { Announcer } from "./announce.ts"
import { subscriptionsOf } from "./reading.ts"
import type { RosterKeeper } from "./roster-keeper.ts"
import type { RosterReaders } from "./roster-readers.ts"
import type { Child } from "./supervisor.ts"

export interface ConnectionsOptions {
  readonly name: string
  readonly signer: Signer
  readonly relays: readonly string[]
  readonly store: StoreShape
  readonly publisher: Publisher
  readonly rosters: RosterKeeper
  readonly readers: RosterReaders
  readonly verifier: VerifierShape
  readonly clock: ClockShape
  readonly chance: ChanceShape
  readonly socket: SocketShape
  readonly limits: Limits
  readonly warn: (message: string) => void
  readonly announcer: Announcer
  readonly intake: Pick<Intake, "take" | "hear" | "importOwn" | "wanted">
  /** Whether commands may be asked for. */
  readonly isOpen: () => boolean
  /** The roster and the own history of every relay are read, refused or overdue. */
  readonly historyRead: () => void
  /** A relay can be reached. */
  readonly reached: () => void
  /** No relay is being read for a backlog any more. */
  readonly backlogRead: () => void
  /** What a relay says of itself (NIP-11); without it none says anything. */
  readonly information?: RelayInformationShape
}

export interface Connections {
  readonly urls: () => readonly string[]
  /** A supervised child for each relay. */
  readonly children: () => readonly Child[]
  readonly childOf: (url: string) => Child
  /** From now on it is one of the relays; its child is started by the supervisor. */
  readonly add: (url: string) => void
  /** It is one no more; its child is stopped already. */
  readonly remove: (url: string) => void
  readonly reports: () => readonly RelayReport[]
  /** To every relay that is connected. True when one took it. */
  readonly send: (event: NostrEvent) => Promise<boolean>
  readonly isHistoryRead: () => boolean
  readonly isBacklogRead: () => boolean
  readonly resubscribe: () => void
  /** What is asked for changed, and nothing else did. */
  readonly relist: () => void
  readonly rereadCommands: (urls: readonly string[]) => void
  /** Another roster is in force: what was refused may be taken now, and what it lists is asked for. */
  readonly follow: () => void
  /** What the wizard says of itself may have changed. */
  readonly announce: () => void
  readonly close: () => void
}

export const childName = (url: string): string => `relay-connection ${url}`

export const openConnections = (options: ConnectionsOptions): Connections => {
  const { name, signer, store, clock, limits, rosters, readers, publisher, intake, announcer, information, warn } =
    options
  const { pubkey } = signer
  const relays = new Set(options.relays)
  const connections = new Map<string, RelayConnection>()
  const unread = new Map<string, Set<string>>(options.relays.map((url) => [url, historyNames()]))
  /** Relays that are to be read back the whole way (CN2). */
  const deep = new Map<string, symbol>()
  const isDeep = (url: string): boolean => deep.has(url)
  /** Relays that were asked for commands on the connection that there is: another's loss does not end that. */
  const asked = new Set<string>()
  /** Those of them whose backlog is being read, each with what ends the wait (CN3). */
  const backlogs = new Map<string, () => void>()

  const connect = (url: string): RelayConnection => {
    let before: RelayReport["state"] = "idle"
    const connection = openRelayConnection({
      url,
      identity: pubkey,
      socket: options.socket,
      clock,
      chance: options.chance,
      limits,
      verifier: options.verifier,
      signer,
      ...(information !== undefined && { information: () => information.of(url) }),
      subscriptions: () => subscriptionsFor(url),
      take: (batch) => take(url, batch),
      verified: (subscription, event, stored) => subscription === "own" && intake.hear(event, stored),
      read: (subscription, whole) => void read(connection, url, subscription, whole),
      changed: (report) => {
        if (!isConnected(report.state)) lost(url)
        // From `live` it only reads something more: nothing that the relay refused is worth another try (U6).
        if (report.state === "catching-up" && before !== "live") greet(connection, url)
        before = report.state
      },
    })
    // One that failed reports no state any more.
    connection.actor.subscribe({ error: () => lost(url) })
    connections.set(url, connection)
    publisher.attach(name, { relay: url, publish: connection.publish })
    return connection
  }

  /** Offers a relay what it lacks of us; it was just reached, or may take now what it refused. */
  const greet = (connection: RelayConnection, url: string): void => {
    publisher.reconnected(name, url)
    options.reached()
    void announcer.give(url, connection.publish)
  }

  /** So that an outage is told once. */
  let unwritten = false
  const take = async (url: string, batch: Batch): Promise<void> => {
    const demand = deep.get(url)
    await intake.take(batch).catch((error: unknown) => {
      if (batch.subscription === "commands") deep.set(url, Symbol("not kept"))
      if (error instanceof NotCommitted && !unwritten)
        warn(`${name}: what comes in cannot be kept (${error.reason}): make room; it is read again until it can`)
      unwritten ||= error instanceof NotCommitted
      throw error
    })
    unwritten = false
    // Whoever asks for it has it begun anew, so one that ends with that demand began with it.
    const isRead = batch.subscription === "commands" && batch.phase === "stored" && batch.cursorMs !== undefined
    if (isRead && deep.get(url) === demand) deep.delete(url)
    if (batch.subscription !== "roster") return
    for (const { id } of batch.events) rosters.given(url).add(id)
    // A cursor is given only with everything that the relay holds.
    if (batch.cursorMs !== undefined) rosters.heardRelay(url)
  }

  const lost = (url: string): void => {
    asked.delete(url)
    readers.lost(url, name)
    backlogOver(url)
  }

  const backlogBegins = (url: string): void => {
    const waitMs = limits.historyWaitSecondsMax * 1000
    backlogs.set(
      url,
      clock.after(waitMs, () => backlogOver(url), { unref: true }),
    )
  }
  const backlogOver = (url: string): void => {
    backlogs.get(url)?.()
    if (backlogs.delete(url) && backlogs.size === 0) options.backlogRead()
  }

  const read = async (
    connection: RelayConnection,
    url: string,
    subscription: string,
    whole: boolean,
  ): Promise<void> => {
    if (subscription === "roster") {
      giveRosters(connection, url)
      readers.over(url, name, whole)
      // Another one may have read it meanwhile.
      if (whole) connection.relist()
      return
    }
    if (subscription === "commands") backlogOver(url)
    // The first time all relays are waited for: one alone may not hold the end of a chain.
    if (subscription === "own" && options.isOpen()) {
      await intake
        .importOwn()
        .catch((error: unknown) => warn(`${name}: own receipts of ${url}: ${(error as Error).message}`))
      // What it tells of that is not here may be at any relay.
      if (store.ownReceipt.open(name, 1).length > 0) for (const each of connections.values()) each.relist()
    }
    readHistory(url, subscription)
  }

  const isHistoryRead = (): boolean => [...unread.values()].every((names) => names.size === 0)
  const readHistory = (url: string, subscription: string): void => {
    unread.get(url)?.delete(subscription)
    if (isHistoryRead()) options.historyRead()
  }

  /** K2 of the roster keeper: a relay that lacks a version gets it. */
  const giveRosters = (connection: RelayConnection, url: string): void =>
    void offerRosters(connection, url).catch((error: unknown) =>
      warn(`${name}: no roster for ${url}: ${(error as Error).message}`),
    )
  const offerRosters = async (connection: RelayConnection, url: string): Promise<void> => {
    const given = rosters.given(url)
    for (const { id, event } of rosters.signed()) {
      if (given.has(id)) continue
      // Marked before it is answered, so that a thousand wizards of one home do not all send it.
      given.add(id)
      const answer = await connection.publish(event()).catch(() => undefined)
      if (answer?.accepted !== true) given.delete(id)
    }
  }

  let cancelDeep = (): void => {}
  const readDeep = (): void => {
    cancelDeep = clock.after(limits.lookBackDeepSeconds * 1000, readDeep, { unref: true })
    for (const url of relays) rereadDeep(url)
  }
  const rereadDeep = (url: string): void => {
    deep.set(url, Symbol("asked for"))
    connections.get(url)?.reread("commands")
  }
  readDeep()

  let cancelLook = (): void => {}
  /** Where the clock had run ahead for less than that is within the look-back. */
  const lookAtClock = (): void => {
    cancelLook = clock.after(limits.lookAtClockSeconds * 1000, lookAtClock, { unref: true })
    for (const { relay, subscription } of store.cursor.ahead(pubkey, clock.nowMs())) {
      if (subscription !== "commands") connections.get(relay)?.reread(subscription)
      else if (relays.has(relay)) rereadDeep(relay)
    }
  }
  lookAtClock()

  const subscriptionsFor = (url: string): readonly Subscription[] => {
    if (!options.isOpen()) asked.delete(url)
    else if (readers.isOver(url) && !asked.has(url)) {
      asked.add(url)
      backlogBegins(url)
    }
    return subscriptionsOf({
      url,
      wizard: name,
      pubkey,
      store,
      clock,
      limits,
      rosters,
      readsRoster: readers.reads(url, name),
      asksCommands: asked.has(url),
      kin: intake.wanted(),
      isDeep: () => isDeep(url),
    })
  }

  const unwatch = readers.watch((url) => {
    if (readers.isOver(url)) readHistory(url, "roster")
    connections.get(url)?.relist()
  })

  const childOf = (url: string): Child => ({
    name: childName(url),
    restart: "transient",
    run: superviseActor(`relay-connection/${name}/${url}`, () => connect(url)),
  })

  return {
    urls: () => [...relays],
    children: () => [...relays].map(childOf),
    childOf,
    add: (url) => {
      relays.add(url)
      deep.set(url, Symbol("new"))
      unread.set(url, historyNames())
    },
    remove: (url) => {
      relays.delete(url)
      connections.delete(url)
      deep.delete(url)
      unread.delete(url)
      lost(url)
      if (isHistoryRead()) options.historyRead()
    },
    reports: () => [...connections.values()].map((connection) => connection.status()),
    send: async (event) => {
      const answers = await Promise.allSettled([...connections.values()].map((connection) => connection.publish(event)))
      return answers.some((answer) => answer.status === "fulfilled" && answer.value.accepted)
    },
    isHistoryRead,
    isBacklogRead: () => backlogs.size === 0,
    resubscribe: () => {
      for (const connection of connections.values()) connection.resubscribe()
    },
    relist: () => {
      for (const connection of connections.values()) connection.relist()
    },
    rereadCommands: (urls) => {
      for (const url of urls) rereadDeep(url)
    },
    follow: () => {
      for (const [url, connection] of connections) {
        connection.resubscribe()
        if (!isConnected(connection.status().state)) continue
        greet(connection, url)
        giveRosters(connection, url)
      }
    },
    announce: () => {
      for (const [url, connection] of connections)
        if (isConnected(connection.status().state)) void announcer.give(url, connection.publish)
    },
    close: () => {
      unwatch()
      cancelDeep()
      cancelLook()
      for (const cancel of backlogs.values()) cancel()
    },
  }
}

/** What a start waits for at each relay. */
const historyNames = (): Set<string> => new Set(["roster", "own"])
