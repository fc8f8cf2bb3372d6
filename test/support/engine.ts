/** The engine and its store for real, on a file of its own, with what tests need to hold it up, break it and open it again. */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { onTestFinished } from "vitest"
import {
  commandActor,
  commandKind,
  commandProjection,
  type CommandsOptions,
  type Received,
} from "../../src/engine/commands.ts"
import type { ActorEvent, ActorKind, Envelope } from "../../src/engine/command-host.ts"
import { openEngine, type Projection } from "../../src/engine/engine.ts"
import { limits as defaults, type Limits } from "../../src/limits.ts"
import { withId, type NostrEvent } from "../../src/protocol/event.ts"
import { virtualClock, type ClockShape } from "../../src/services/clock.ts"
import { openStore, type StoreShape } from "../../src/store/store.ts"
import type { CommandInput } from "../../machines/command.ts"

/** A folder that is gone when the test is over. */
export const temporaryFolder = (): string => {
  const dir = mkdtempSync(join(tmpdir(), "wizardly-engine-"))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** What of the disk is put in the way. */
export interface Disk {
  /** Called before each real sync; the sync waits for it. */
  readonly beforeSync?: () => Promise<void> | void
  /** Called after each real sync. */
  readonly afterSync?: () => void
  /** Called inside each transaction, after its rows; may throw. */
  readonly inTransaction?: () => void
}

export const withDisk = (store: StoreShape, disk: Disk): StoreShape => ({
  ...store,
  database: {
    ...store.database,
    sync: async () => {
      await disk.beforeSync?.()
      await store.database.sync()
      disk.afterSync?.()
    },
    transaction: (body) =>
      store.database.transaction(() => {
        const given = body()
        disk.inTransaction?.()
        return given
      }),
  },
})

/** As `better-sqlite3` throws it. */
export const diskError = (code: string): Error => Object.assign(new Error(`the disk says ${code}`), { code })

/** The database as a power cut now would leave it: what was synced, and maybe more, but never less. */
export const copyDatabase = (file: string, to: string): string => {
  copyFileSync(file, to)
  if (existsSync(`${file}-wal`)) copyFileSync(`${file}-wal`, `${to}-wal`)
  return to
}

export interface Opened {
  readonly file: string
  readonly kinds: Readonly<Record<string, ActorKind>>
  readonly projections?: Readonly<Record<string, Projection>>
  readonly clock?: ClockShape
  readonly limits?: Partial<Limits>
  readonly disk?: Disk
}

export const openHost = ({ file, kinds, projections, clock = virtualClock(), limits, disk = {} }: Opened) => {
  const bare = openStore(file)
  const store = withDisk(bare, disk)
  const engine = openEngine({
    store,
    clock,
    limits: { ...defaults, ...limits },
    kinds,
    ...(projections !== undefined && { projections }),
  })
  const close = async (): Promise<void> => {
    await engine.stop()
    bare.database.close()
  }
  onTestFinished(close)
  return { store, engine, clock, close }
}

export const keys = { timmy: "1".repeat(64), kimi: "2".repeat(64), operator: "a".repeat(64) } as const

/** A host of commands with the real projection. */
export const openCommandHost = (
  options: Omit<Opened, "kinds" | "projections"> & {
    readonly mayCommand?: () => boolean
    readonly answers?: CommandsOptions["answers"]
  },
) => {
  const limits = { ...defaults, ...options.limits }
  let projection: ReturnType<typeof commandProjection> | undefined
  const later = (): ReturnType<typeof commandProjection> => projection as ReturnType<typeof commandProjection>
  const host = openHost({
    ...options,
    kinds: { command: commandKind },
    projections: {
      command: {
        prepare: (actor, event, atMs) => later().prepare?.(actor, event, atMs) ?? event,
        project: (stepped) => later().project?.(stepped),
        faulted: (...given) => later().faulted?.(...given),
        forget: () => later().forget?.(),
      },
    },
  })
  projection = commandProjection({
    store: host.store,
    limits,
    pubkeyOf: (wizard) => keys[wizard as keyof typeof keys],
    mayCommand: options.mayCommand ?? (() => true),
    rosterVersion: () => 1,
    instance: "00".repeat(8),
    answers: options.answers ?? { command: () => [], note: () => [] },
  })
  return { ...host, counts: projection.counts }
}

/** The event of the nth command; unsigned, since the engine asks for no signature. */
export const commandEvent = (number: number, createdAt = 1_800_000_000): NostrEvent => ({
  ...withId(keys.operator, {
    kind: 30079,
    created_at: createdAt,
    tags: [["d", String(number)]],
    content: `do ${number}`,
  }),
  sig: "0".repeat(128),
})

export const actorOf = (number: number, wizard = "timmy"): string => commandActor(commandEvent(number).id, wizard)

/** The `receive` of the nth command. */
export const receive = (
  number: number,
  about: { readonly command?: Partial<Received>; readonly input?: Partial<CommandInput> } = {},
): Envelope => {
  const event = commandEvent(number)
  const wizard = about.command?.wizard ?? "timmy"
  const input: CommandInput = {
    atMs: event.created_at * 1000,
    repeat: "safe",
    deadlineMs: null,
    refusal: null,
    stale: false,
    approval: null,
    imported: null,
    bounds: {
      attemptsMax: 3,
      lossesMax: 2,
      retryMsMin: 1_000,
      retryMsMax: 8_000,
      approvalSecondsMax: 600,
      interruptedSecondsMax: 1_200,
    },
    ...about.input,
  }
  const command: Received = {
    id: event.id,
    wizard,
    author: event.pubkey,
    trace: event.id,
    parent: null,
    form: "command",
    work: "task",
    executor: "none",
    body: event.content,
    priority: "normal",
    warnings: [],
    chain: null,
    event,
    ...about.command,
  }
  return { actor: commandActor(event.id, wizard), cause: event.id, event: { type: "receive", input, command } }
}

export const envelope = (number: number, cause: string, event: ActorEvent, wizard = "timmy"): Envelope => ({
  actor: actorOf(number, wizard),
  cause,
  event,
})
