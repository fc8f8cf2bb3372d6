/**
 * Commands, receipts and artifacts of a home that lost its database, from one relay alone. Nothing is started and
 * nothing is sent: what had ended is ended, all else is `interrupted` and waits for a person.
 *
 * RB1 Only into a home without commands; its wizards are those of the roster whose keys are here.
 * RB2 A command is restored from its own signed event, and its state from the wizard's own chain of receipts.
 * RB3 What cannot be restored is named.
 */
import { Effect, type Scope } from "effect"
import { commandActor, commandKind, commandProjection, type CommandResult } from "../engine/commands.ts"
import type { Envelope } from "../engine/command-host.ts"
import { openEngine } from "../engine/engine.ts"
import { keyFile, npubOf, readKey } from "../identity/keys.ts"
import { SignaturePool } from "../identity/signature-pool.ts"
import { boundsOf } from "../intake/intake.ts"
import { kinshipOf } from "../intake/lineage.ts"
import type { Limits } from "../limits.ts"
import { readArtifact, type Artifact } from "../protocol/artifact.ts"
import { readCommand } from "../protocol/command.ts"
import type { NostrEvent } from "../protocol/event.ts"
import { Kind } from "../protocol/kinds.ts"
import { parseLeading } from "../protocol/mentions.ts"
import { readReceipt, type Receipt } from "../protocol/receipt.ts"
import { standing, type Roster } from "../protocol/roster.ts"
import { isEnd } from "../protocol/status.ts"
import { parseVerb } from "../protocol/verbs.ts"
import { Chance } from "../services/chance.ts"
import { Clock } from "../services/clock.ts"
import { Socket } from "../services/socket.ts"
import { takeLock } from "../store/lock.ts"
import { openStore } from "../store/store.ts"
import { answers } from "./answers.ts"
import { openGatherer, type Gatherer } from "./gather.ts"
import { makeHome, type Home } from "./home.ts"
import { pinCouncil } from "./identities.ts"
import { NotThere, StartRefused } from "./options.ts"
import { rosterFilter } from "./reading.ts"
import { openRosterKeeper } from "./roster-keeper.ts"
import type { RuntimeServices } from "./runtime.ts"

export interface Rebuilt {
  readonly wizards: readonly string[]
  readonly rosterVersion: number
  readonly commands: number
  readonly receipts: number
  readonly artifacts: number
  /** Waiting for a person. */
  readonly interrupted: number
  /** What cannot be restored, each in a sentence. */
  readonly missing: readonly string[]
}

/** Fails with StartRefused, NotThere, HomeHeld, RelayUnreachable. */
export const rebuild = (options: {
  readonly home: Home
  readonly url: string
  /** The council's public key, hex. */
  readonly council: string
  readonly limits: Limits
  readonly warn: (message: string) => void
}): Effect.Effect<Rebuilt, unknown, Scope.Scope | RuntimeServices> =>
  Effect.gen(function* () {
    const { home, url, council, limits, warn } = options
    const clock = yield* Clock
    const chance = yield* Chance
    const socket = yield* Socket
    const signatures = yield* SignaturePool
    makeHome(home)
    yield* held(
      () => takeLock(home.dir, clock),
      (lock) => lock.release(),
    )
    const store = yield* held(
      () => openStore(home.database),
      (opened) => opened.database.close(),
    )
    const stored = store.setting.get("runtime", "council")
    if (stored !== undefined && stored !== council)
      return yield* Effect.fail(new StartRefused({ reason: `this home belongs to the council ${npubOf(stored)}` }))
    if (store.command.list(1).length > 0)
      return yield* Effect.fail(
        new StartRefused({
          reason: `${home.dir} has commands already: rebuild into an empty home (--home DIR, with its keys)`,
        }),
      )
    const secret = readKey(keyFile(home.explicit, "operator"))?.secret ?? Buffer.from(chance.hex(32), "hex")
    const gatherer = yield* held(
      () => openGatherer({ url, signer: signatures.signerFor(secret), signatures, clock, chance, socket, limits }),
      (opened) => opened.close(),
    )
    let roster: Roster | undefined
    const projection = commandProjection({
      store,
      limits,
      pubkeyOf: (wizard) => roster?.wizards.find(({ name }) => name === wizard)?.pubkey ?? "",
      mayCommand: () => false,
      rosterVersion: () => roster?.version ?? 0,
      instance: chance.hex(8),
      answers: answers(limits),
    })
    const engine = yield* held(
      () => openEngine({ store, clock, limits, kinds: { command: commandKind }, projections: { command: projection } }),
      (opened) => opened.stop(),
    )
    const rosters = openRosterKeeper({
      council,
      signer: undefined,
      fresh: false,
      relays: [url],
      engine,
      store,
      clock,
      warn,
    })
    return yield* Effect.tryPromise({
      try: async () => {
        for (const event of (await gatherer.ask([rosterFilter(council)])).events.toSorted(byDate))
          await rosters.offer(event)
        const inForce = (roster = rosters.inForce())
        if (inForce === undefined) throw new NotThere({ reason: `${url} holds no roster of ${npubOf(council)}` })
        const wizards = inForce.wizards.filter(
          ({ name, pubkey }) =>
            standing(inForce, pubkey) === "wizard" && readKey(keyFile(home.explicit, name))?.pubkey === pubkey,
        )
        if (wizards.length === 0)
          throw new NotThere({
            reason: `no key of a wizard of the roster is in this home: bring the key files back first`,
          })
        const told = await gatherer.ask([
          { kinds: [Kind.record, Kind.artifact], authors: wizards.map(({ pubkey }) => pubkey) },
        ])
        const names = new Map(wizards.map(({ name, pubkey }) => [name, pubkey]))
        const receipts = told.events
          .flatMap((event) => readReceipt(event) ?? [])
          .filter(({ wizard, pubkey }) => names.get(wizard) === pubkey)
        const artifacts = told.events
          .flatMap((event) => readArtifact(event) ?? [])
          .filter(({ wizard, pubkey }) => names.get(wizard) === pubkey)
        const lines = Map.groupBy(receipts, ({ command, wizard }) => commandActor(command, wizard))
        const events = await eventsOf(gatherer, [...new Set(receipts.map(({ command }) => command))])
        const find = (id: string): NostrEvent | undefined => events.get(id)
        const envelopes = [...lines.values()]
          .flatMap((line) => {
            const event = events.get((line[0] as Receipt).command)
            return event === undefined ? [] : [{ event, envelope: envelopeOf(event, line, inForce, limits, find) }]
          })
          .toSorted((a, b) => byDate(a.event, b.event))
          .map(({ envelope }) => envelope)
        for (let at = 0; at < envelopes.length; at += limits.groupRowsMax)
          await engine.deliver(envelopes.slice(at, at + limits.groupRowsMax))
        await engine.write(() => {
          store.setting.put("runtime", "council", council)
          store.setting.put("runtime", "relays", JSON.stringify([url]))
          for (const { id, command, wizard, n, status } of receipts)
            store.ownReceipt.add(id, command, wizard, n, status)
          for (const artifact of artifacts.toSorted((a, b) => a.n - b.n)) {
            const row = store.command.get(commandActor(artifact.command, artifact.wizard))
            if (row !== undefined) store.command.move(row.actor, { ...row, result: JSON.stringify(resultOf(artifact)) })
          }
        })
        pinCouncil(home, council)
        const rows = store.command.list(Number.MAX_SAFE_INTEGER)
        return {
          wizards: [...names.keys()],
          rosterVersion: inForce.version,
          commands: rows.length,
          receipts: receipts.length,
          artifacts: artifacts.length,
          interrupted: rows.filter(({ state }) => state === "interrupted").length,
          missing: missingOf(lines, events, inForce, names, told.whole),
        }
      },
      catch: (error) => error,
    })
  })

const held = <A>(open: () => A, close: (opened: A) => void | Promise<void>) =>
  Effect.acquireRelease(Effect.try({ try: open, catch: (error) => error }), (opened) =>
    Effect.promise(async () => close(opened)),
  )

const byDate = (a: NostrEvent, b: NostrEvent): number => a.created_at - b.created_at || (a.id < b.id ? -1 : 1)

/** The commands, and what they descend from. */
const eventsOf = async (gatherer: Gatherer, ids: readonly string[]): Promise<ReadonlyMap<string, NostrEvent>> => {
  const found = new Map<string, NostrEvent>()
  for (let rest = ids; rest.length > 0;) {
    const kin = new Set<string>()
    for (let at = 0; at < rest.length; at += idsEach) {
      const { events } = await gatherer.ask([{ ids: rest.slice(at, at + idsEach) }])
      for (const event of events) {
        found.set(event.id, event)
        const command = readCommand(event)
        for (const id of [command?.parent, command?.root]) if (id !== undefined) kin.add(id)
      }
    }
    const asked = new Set(rest)
    rest = [...kin].filter((id) => !found.has(id) && !asked.has(id))
  }
  return found
}

/** Ids in one filter; relays bound them. */
const idsEach = 200

/** The `receive` that an earlier life had, ended or broken off as its receipts say. */
const envelopeOf = (
  event: NostrEvent,
  line: readonly Receipt[],
  roster: Roster,
  limits: Limits,
  find: (id: string) => NostrEvent | undefined,
): Envelope => {
  const sorted = line.toSorted((a, b) => a.n - b.n)
  const last = sorted.at(-1) as Receipt
  const state = sorted.find(({ status }) => isEnd(status)) ?? last
  const command = readCommand(event)
  const { body } = parseLeading(event.content)
  const kinship = kinshipOf(event, roster, limits, find)
  const isVerb = parseVerb(body) !== undefined
  return {
    actor: commandActor(event.id, last.wizard),
    cause: event.id,
    event: {
      type: "receive",
      input: {
        atMs: (sorted[0] as Receipt).createdAt * 1000,
        repeat: isVerb ? "safe" : "never",
        deadlineMs: command?.deadlineMs ?? null,
        refusal: null,
        stale: false,
        approval: null,
        imported: state.status,
        bounds: boundsOf(limits),
      },
      command: {
        id: event.id,
        wizard: last.wizard,
        author: event.pubkey,
        trace: kinship.is === "child" ? kinship.root : (command?.parent ?? event.id),
        parent: command?.parent ?? null,
        form: event.kind === Kind.note ? "note" : "command",
        work: isVerb ? "verb" : "task",
        executor: isVerb ? "verb" : "rebuilt",
        body,
        priority: command?.priority ?? "normal",
        warnings: [],
        ...(kinship.is === "child" && { child: kinship.lineage }),
        chain: { n: last.n, tip: last.id },
        event,
      },
    },
  }
}

const resultOf = ({ text, place, x, m, size }: Artifact): CommandResult =>
  place === undefined ? { text } : { text, artifact: { ...place, x, m, size } }

/** RB3. */
const missingOf = (
  lines: ReadonlyMap<string, readonly Receipt[]>,
  events: ReadonlyMap<string, NostrEvent>,
  roster: Roster,
  here: ReadonlyMap<string, string>,
  whole: boolean,
): readonly string[] => {
  const lost = [...lines.values()].flatMap(([receipt]) =>
    receipt === undefined || events.has(receipt.command) ? [] : [receipt.command.slice(0, 8)],
  )
  const away = roster.wizards.filter(({ name }) => !here.has(name)).map(({ name }) => name)
  return [
    ...(lost.length === 0
      ? []
      : [
          `${lost.length} commands whose own event is not there (private, or dropped): ${lost.slice(0, 10).join(", ")}`,
        ]),
    ...(away.length === 0 ? [] : [`what was asked of ${away.join(", ")}: their keys are not here`]),
    ...(whole ? [] : ["what the relay refused, or did not give in time"]),
    "private commands, settings (pauses, heartbeats), reasons of refusals, and the steps between receipts",
    "the files of artifacts: they are in the wizards' repositories",
  ]
}
