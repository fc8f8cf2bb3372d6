/** A council in this process, without relays: what the benches drive. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { openArtifacts } from "../../src/artifacts/artifacts.ts"
import { openAlarms } from "../../src/engine/alarms.ts"
import { commandKind, commandProjection } from "../../src/engine/commands.ts"
import { openEngine } from "../../src/engine/engine.ts"
import { none } from "../../src/executors/none.ts"
import { note } from "../../src/executors/note.ts"
import { openSignatures, type Signatures } from "../../src/identity/signature-pool.ts"
import { openIntake } from "../../src/intake/intake.ts"
import { limits as defaults, type Limits } from "../../src/limits.ts"
import { commandTemplate } from "../../src/protocol/command.ts"
import { withId, type NostrEvent } from "../../src/protocol/event.ts"
import type { Roster } from "../../src/protocol/roster.ts"
import { openPublisher } from "../../src/publish/publisher.ts"
import { answers } from "../../src/runtime/answers.ts"
import { openPump } from "../../src/runtime/pump.ts"
import { runTask } from "../../src/runtime/task.ts"
import { openWorker } from "../../src/runtime/worker.ts"
import { systemChance } from "../../src/services/chance.ts"
import { systemClock } from "../../src/services/clock.ts"
import { migrations } from "../../src/store/migrations.ts"
import { openDatabase, type Database, type Statement } from "../../src/store/sqlite.ts"
import { storeOver, type StoreShape } from "../../src/store/store.ts"

export const secretOf = (n: number): Uint8Array => new Uint8Array(32).fill(n)

export interface Council {
  readonly dir: string
  readonly signatures: Signatures
  readonly store: StoreShape
  readonly engine: ReturnType<typeof openEngine>
  readonly take: (events: readonly NostrEvent[]) => Promise<void>
  /** Signed commands for the wizard, dated now. */
  readonly commands: (count: number) => Promise<readonly NostrEvent[]>
  /** Resolves when that many commands have ended and nothing that was owed is unsigned. */
  readonly settled: (count: number) => Promise<void>
  /** Transactions so far. */
  readonly groups: () => number
  /** Every statement that wrote, with its values, by transaction; where it was asked to `record`. */
  readonly written: Write[][]
  readonly close: () => Promise<void>
}

export type Write = readonly [sql: string, values: readonly unknown[]]

/** Keeps what is written, so that it can be written once more alone. */
const recorded = (database: Database, written: Write[][]): Database => {
  const statements = new Map<string, Statement>()
  const recording = (sql: string): Statement => {
    const statement = database.statement(sql)
    return Object.assign(Object.create(statement) as Statement, {
      get: (...values: unknown[]) => statement.get(...values),
      all: (...values: unknown[]) => statement.all(...values),
      run: (...values: unknown[]) => {
        written.at(-1)?.push([sql, values])
        return statement.run(...values)
      },
    })
  }
  return {
    ...database,
    statement: (sql) => statements.get(sql) ?? (statements.set(sql, recording(sql)).get(sql) as Statement),
    transaction: (body) => {
      written.push([])
      return database.transaction(body)
    },
  }
}

const executors = { none, note }

export const openCouncil = async (options: {
  readonly executor: keyof typeof executors
  readonly concurrent: number
  /** Whether what is written is kept in memory (`written`), which takes time of its own. */
  readonly record?: boolean
}): Promise<Council> => {
  const written: Write[][] = []
  const dir = mkdtempSync(join(tmpdir(), "wizardly-bench-"))
  const limits: Limits = { ...defaults, concurrentAttemptsMax: options.concurrent, queueRowsMax: 1_000_000 }
  const signatures = await openSignatures()
  const operator = signatures.signerFor(secretOf(1))
  const signer = signatures.signerFor(secretOf(2))
  const roster: Roster = {
    id: "0".repeat(64),
    version: 1,
    operators: [{ pubkey: operator.pubkey, label: "" }],
    wizards: [{ name: "timmy", pubkey: signer.pubkey, class: "local" }],
    channels: [],
    rooms: [],
    members: [],
    relays: [],
    revoked: [],
  }
  const database = openDatabase({ file: join(dir, "runtime.db"), migrations })
  const store = storeOver(options.record === true ? recorded(database, written) : database)
  const clock = systemClock
  const warn = (message: string): void => void process.stderr.write(`! ${message}\n`)
  const projection = commandProjection({
    store,
    limits,
    pubkeyOf: () => signer.pubkey,
    mayCommand: () => true,
    rosterVersion: () => 1,
    instance: systemChance.hex(8),
    answers: answers(limits),
  })
  const kinds = { command: commandKind }
  const engine = openEngine({ store, clock, limits, kinds, projections: { command: projection } })
  const alarms = openAlarms({ engine, store, clock, kinds })
  const publisher = openPublisher({ engine, store, clock, limits, warn })
  let signed = 0
  publisher.open(
    "timmy",
    {
      pubkey: signer.pubkey,
      sign: async (events) => {
        const given = await signer.sign(events)
        signed += given.length
        return given
      },
    },
    [],
  )
  const executor = executors[options.executor]
  const artifacts = await Effect.runPromise(
    openArtifacts({
      wizard: "timmy",
      dir: join(dir, "artifacts"),
      clones: join(dir, "work"),
      clock,
      chance: systemChance,
    }),
  )
  const worker = openWorker({
    wizard: "timmy",
    engine,
    store,
    clock,
    chance: systemChance,
    limits,
    warn,
    row: projection.row,
    perform: (row, attempt) => runTask({ executor, artifacts, clock }, row, attempt),
  })
  const pump = openPump({
    name: "timmy",
    engine,
    store,
    counts: projection.counts,
    limits,
    clock,
    may: () => true,
    held: () => false,
    warn,
  })
  const intake = openIntake({
    wizard: "timmy",
    pubkey: signer.pubkey,
    instance: "bench",
    engine,
    store,
    clock,
    limits,
    roster: () => roster,
    authorFloor: () => 0,
    offerRoster: async () => {},
    offerRelayList: async () => {},
    kinWanted: () => {},
    ready: () => true,
    heard: () => {},
    executor: { name: executor.name, repeat: executor.repeat },
    count: () => {},
  })
  let ended = 0
  let groups = 0
  let owed = 0
  const watchers = new Set<() => void>()
  const unwatch = engine.watch(({ steps, effects }) => {
    groups += 1
    for (const effect of effects) if (effect.kind === "publish") owed += 1
    for (const step of steps) if (step.done) ended += 1
    pump.tasks()
    for (const call of watchers) call()
  })
  return {
    dir,
    signatures,
    store,
    engine,
    take: async (events) => {
      const good = await signatures.verifier.verify(events)
      const valid = events.filter((_, i) => good[i])
      await intake.take({ subscription: "commands", relay: "ws://127.0.0.1", events: valid, cursorMs: clock.nowMs() })
    },
    commands: (count) =>
      operator.sign(
        Array.from({ length: count }, (_, i) =>
          withId(
            operator.pubkey,
            commandTemplate({
              text: `@timmy do thing number ${i}`,
              targets: [signer.pubkey],
              d: systemChance.hex(16),
              createdAt: Math.floor(clock.nowMs() / 1000),
            }),
          ),
        ),
      ),
    settled: (count) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (ended < count || signed < owed) return
          watchers.delete(look)
          ended -= count
          // Behind the write that stores the last signatures.
          void engine.write(() => {}).then(resolve)
        }
        watchers.add(look)
      }),
    groups: () => groups,
    written,
    close: async () => {
      unwatch()
      worker.close()
      alarms.close()
      publisher.close()
      await engine.stop()
      await signatures.close()
      store.database.close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
