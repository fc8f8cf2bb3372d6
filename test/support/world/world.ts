/**
 * A world by its plan: relays, people and one home (sometimes a second with the same keys), from the first moment to the
 * peace after the faults, watched by the model. The same plan makes the same world, to the last event.
 */
import { createHash } from "node:crypto"
import type { NostrEvent, Tag } from "../../../src/protocol/event.ts"
import { Kind } from "../../../src/protocol/kinds.ts"
import {
  amend,
  isRosterFault,
  parseRoster,
  rosterTemplate,
  type Roster,
  type RosterChange,
} from "../../../src/protocol/roster.ts"
import { seededChance } from "../../../src/services/chance.ts"
import { openDisk, type Disk, type StopPoint } from "./disk.ts"
import { forge } from "./forge.ts"
import { openKeyring } from "./keyring.ts"
import { startLife, type Life } from "./life.ts"
import { openModel, type Look } from "./model.ts"
import { openNetwork } from "./network.ts"
import type { Author, Op, Plan } from "./plan.ts"
import { openRelay, type SimulatedRelay } from "./relay.ts"
import { openTimeline } from "./timeline.ts"

export interface Outcome {
  readonly violations: readonly string[]
  /** Of the whole trace. */
  readonly hash: string
  readonly virtualMs: number
  /** The last lines, or all where that was asked for. */
  readonly trace: readonly string[]
  /** Processes that were started. */
  readonly lives: number
}

interface Home {
  readonly disk: Disk
  readonly isTwin: boolean
  life: Life | undefined
  /** It does not start before. */
  downMs: number
  /** Where the next process-stop waits. */
  stop:
    | { readonly point: StopPoint; skip: number; readonly how: "process" | "power"; readonly downMs: number }
    | undefined
  lives: number
}

const epochMs = 1_800_000_000_000
const minute = 60_000
/** How long a world may take to come to rest once it is left in peace. */
const peaceMsMax = 10 * 60 * minute
const traceRows = 400

export const runWorld = async (plan: Plan, options: { readonly keepTrace?: boolean } = {}): Promise<Outcome> => {
  const timeline = openTimeline()
  const lies = (reason: unknown): void =>
    model.violate(`P24: nobody caught ${reason instanceof Error ? reason.stack : String(reason)}`)
  process.on("unhandledRejection", lies)
  const hash = createHash("sha256")
  const lines: string[] = []
  const trace = (line: string): void => {
    const full = `${timeline.nowMs().toFixed(3)} ${line}`
    hash.update(`${full}\n`)
    lines.push(full)
    if (options.keepTrace !== true && lines.length > 2 * traceRows) lines.splice(0, traceRows)
  }
  const note = (line: string): void => {
    if (options.keepTrace === true) lines.push(`${timeline.nowMs().toFixed(3)}   ${line}`)
  }
  const keyring = await openKeyring(plan.signatures)
  const pubkeyOf = (name: string): string => keyring.signer(name).pubkey
  const model = openModel({ plan, bornSeconds: epochMs / 1000, wizardKeys: new Set(plan.wizards.map(pubkeyOf)) })
  const relays = new Map<string, SimulatedRelay>()
  for (const [at, spec] of plan.relays.entries()) {
    const relay = openRelay({
      spec,
      chance: seededChance(plan.seed * 7 + at),
      taken: (event, url) => {
        trace(`${url} takes ${event.id} kind ${event.kind}`)
        model.taken(event, url)
      },
      after: (ms, call) => void timeline.at(timeline.nowMs() + ms, call),
    })
    relays.set(spec.url, relay)
  }
  const relayOf = (url: string): SimulatedRelay => relays.get(url) as SimulatedRelay
  const network = openNetwork({ timeline, chance: seededChance(plan.seed * 13 + 1), relays })
  const fate = seededChance(plan.seed * 17 + 2)
  let offsetMs = 0
  let full = false
  let syncMsMax = 20
  let truceMs = 0
  let peace = false
  let lives = 0
  const cuts = plan.ops.flatMap((op) => (op.type === "kill" && op.how === "power" ? [op.atMs] : []))
  const homeNow = (isTwin: boolean): Home => ({
    disk: openDisk(),
    isTwin,
    life: undefined,
    downMs: 0,
    stop: undefined,
    lives: 0,
  })
  const main = homeNow(false)
  const homes = [main]
  let saved: Buffer | undefined

  const start = (home: Home): void => {
    if (home.life !== undefined || timeline.nowMs() < home.downMs) return
    trace(`${home.isTwin ? "the twin" : "the home"} starts`)
    home.lives++
    home.life = startLife({
      plan,
      isTwin: home.isTwin,
      timeline,
      epochMs,
      offsetMs: () => offsetMs,
      keyring,
      network,
      disk: home.disk,
      chance: seededChance(plan.seed * 31 + home.lives * 2 + (home.isTwin ? 1 : 0)),
      model,
      disturbs: {
        stops: (point) => {
          const { stop } = home
          if (stop === undefined || stop.point !== point || peace) return false
          stop.skip -= 1
          return stop.skip < 0
        },
        stop: () => {
          const { how, downMs } = home.stop ?? { how: "process" as const, downMs: 1000 }
          home.stop = undefined
          kill(home, how, downMs)
        },
        hasRoom: () => !full,
        mayLosePower: () =>
          home.stop?.how === "power" || cuts.some((at) => at >= timeline.nowMs() && at < timeline.nowMs() + 5000),
        syncMsMax: () => syncMsMax,
      },
      trace,
      note,
      ended: (reason) => {
        trace(`the process ends by itself: ${reason}`)
        timeline.at(timeline.nowMs(), () => kill(home, "process", 1000))
      },
    })
    if (home.isTwin) model.instanceIsTwin(home.life.instance)
    lives++
  }
  const kill = (home: Home, how: "process" | "power", downMs: number): void => {
    const { life } = home
    const upMs = timeline.nowMs() + downMs
    home.downMs = Math.max(home.downMs, upMs)
    if (!home.isTwin) timeline.at(upMs, () => start(home))
    if (life === undefined) return
    trace(`${home.isTwin ? "the twin" : "the home"} is stopped (${how})`)
    life.owner.alive = false
    home.life = undefined
    home.disk.crash(how === "power" ? (most) => Math.floor(fate.next() * most) : undefined)
    model.runs.gone(life.owner)
  }
  /** Relays as good as they can be, for as long as only then it is known what must come of it. */
  const truce = (forMs: number): void => {
    truceMs = Math.max(truceMs, timeline.nowMs() + forMs)
    for (const relay of relays.values()) {
      relay.faults({})
      relay.start()
      network.stall(relay.spec.url, 0)
      network.delay(relay.spec.url, 40)
      // What was under way on a road that stalled would come only much later.
      relay.cut(1006)
    }
  }

  const write = async (op: {
    readonly author: Author
    readonly form: "command" | "note"
    readonly body: string
    readonly targets: readonly string[]
    readonly name: string
    readonly createdAt: number
    readonly deadlineMs?: number
    readonly priority?: string
  }): Promise<NostrEvent> => {
    const { author, form, body, targets, name, createdAt, deadlineMs, priority } = op
    const tags: Tag[] =
      form === "note"
        ? []
        : [
            // P13, P18: some without a name of their own.
            ...(name.endsWith("7") ? [] : [["d", name]]),
            ...targets.map((target) => ["p", pubkeyOf(target)]),
            ...(deadlineMs === undefined ? [] : [["deadline", String(Math.floor(deadlineMs / 1000))]]),
            ...(priority === undefined ? [] : [["priority", priority]]),
          ]
    const content = form === "note" ? `${targets.map((target) => `@${target}`).join(" ")} ${body}` : body
    const event = await keyring.write(author, {
      kind: form === "note" ? Kind.note : Kind.command,
      created_at: createdAt,
      tags: form === "note" ? [["nonce", name]] : tags,
      content,
    })
    const hasDeadline = deadlineMs !== undefined && form === "command"
    model.issue({
      name,
      event,
      author,
      body,
      targets,
      deadlineMs: hasDeadline ? Math.floor(deadlineMs / 1000) * 1000 : undefined,
    })
    trace(`${author} writes ${name} ${event.id}`)
    return event
  }
  const nowMs = (): number => epochMs + timeline.nowMs()
  let roster: Roster | undefined
  const amendRoster = async (...changes: RosterChange[]): Promise<void> => {
    const next = amend(roster, ...changes)
    if (isRosterFault(next)) throw new Error(next.reason)
    const event = await keyring.write("council", rosterTemplate(next, Math.floor(nowMs() / 1000)))
    roster = parseRoster(event) as Roster
    for (const relay of relays.values()) relay.give(event)
  }

  const apply = async (op: Op): Promise<void> => {
    trace(`op ${op.type}`)
    const isTruce = timeline.nowMs() < truceMs
    switch (op.type) {
      case "command": {
        const createdAt = Math.floor(nowMs() / 1000) - op.ageSeconds
        const { deadlineSeconds } = op
        const deadlineMs = deadlineSeconds === undefined ? undefined : nowMs() + deadlineSeconds * 1000
        if (model.issued(op.name) !== undefined) return
        const event = await write({ ...op, createdAt, ...(deadlineMs !== undefined && { deadlineMs }) })
        for (const url of op.relays) timeline.at(timeline.nowMs() + fate.next() * 3000, () => relayOf(url).give(event))
        return
      }
      case "at-floor": {
        const floor = main.life?.store.cursor.floor(pubkeyOf(op.target), op.relay)
        if (floor === undefined) return
        const event = await write({
          ...op,
          author: "operator",
          form: "command",
          body: "just in time",
          targets: [op.target],
          createdAt: floor,
        })
        return relayOf(op.relay).give(event)
      }
      case "republish": {
        const issued = model.issued(op.name)
        return issued === undefined ? undefined : relayOf(op.relay).give(issued.event)
      }
      case "forge": {
        const issued = model.issued(op.name)
        return issued === undefined ? undefined : relayOf(op.relay).whisper(forge(issued.event, fate))
      }
      case "faults":
        if (isTruce) return
        relayOf(op.relay).faults(op.faults)
        timeline.at(timeline.nowMs() + op.forMs, () => relayOf(op.relay).faults({}))
        return
      case "delay":
        return network.delay(op.relay, op.mostMs)
      case "cut":
        return isTruce ? undefined : relayOf(op.relay).cut(op.code)
      case "stall":
        return isTruce ? undefined : network.stall(op.relay, op.forMs)
      case "restart-relay":
        if (isTruce) return
        relayOf(op.relay).stop(op.loseData)
        timeline.at(timeline.nowMs() + op.downMs, () => relayOf(op.relay).start())
        return
      case "kill":
        return isTruce ? undefined : kill(main, op.how, op.downMs)
      case "kill-at":
        if (!isTruce) main.stop = { ...op }
        return
      case "disk-full":
        full = true
        timeline.at(timeline.nowMs() + op.forMs, () => {
          full = false
        })
        return
      case "slow-disk":
        syncMsMax = op.mostMs
        timeline.at(timeline.nowMs() + op.forMs, () => {
          syncMsMax = 20
        })
        return
      case "step-clock":
        offsetMs += op.byMs
        return
      case "sleep":
        if (main.life !== undefined && !isTruce) main.life.owner.frozenMs = timeline.nowMs() + op.forMs
        return
      case "copy-home":
        saved = main.disk.copy()
        return
      case "restore-home":
      case "lose-home": {
        if (op.type === "restore-home" && saved === undefined) return
        truce(op.downMs + 5 * minute)
        kill(main, "process", op.downMs)
        main.disk.replace(op.type === "restore-home" ? saved : undefined)
        return
      }
      case "twin": {
        const isAtWork = main.life?.hosts.every(({ status }) => ["idle", "busy", "paused"].includes(status().state))
        if (isAtWork !== true || offsetMs !== 0 || main.life?.owner.frozenMs !== 0 || full) return
        main.stop = undefined
        truce(op.forMs + minute)
        const twin = homeNow(true)
        homes.push(twin)
        // Where the relays are well again before it comes.
        timeline.at(timeline.nowMs() + minute, () => isReached() && start(twin))
        timeline.at(timeline.nowMs() + op.forMs, () => kill(twin, "process", 0))
        return
      }
      case "revoke-deputy":
        return amendRoster({ type: "revoke", pubkey: pubkeyOf("deputy") })
    }
  }

  const calm = (): void => {
    trace("peace")
    peace = true
    full = false
    syncMsMax = 20
    offsetMs = 0
    main.stop = undefined
    for (const home of homes) if (home.isTwin) kill(home, "process", 0)
    for (const relay of relays.values()) {
      relay.faults({})
      relay.start()
      network.stall(relay.spec.url, 0)
    }
    if (main.life !== undefined) main.life.owner.frozenMs = 0
    main.downMs = 0
    start(main)
  }

  const lost = new Set(plan.ops.flatMap((op) => (op.type === "restart-relay" && op.loseData ? [op.relay] : [])))
  const look = (): Look => ({
    db: main.disk.look() as NonNullable<ReturnType<Disk["look"]>>,
    held: new Map([...relays].map(([url, { events }]) => [url, new Set(events.keys())])),
    honest: plan.relays.filter(({ honest, url }) => honest && !lost.has(url)).map(({ url }) => url),
    pubkeyOf,
  })
  /** A person answers what waits for one. */
  const retried = new Map<string, string>()
  const answer = async (): Promise<void> => {
    for (const { name, event, targets } of model.all()) {
      for (const wizard of targets) {
        const last = model.receipts(event.id, wizard).at(-1)
        if (last?.status !== "interrupted" || retried.get(`${name} ${wizard}`) === last.id) continue
        retried.set(`${name} ${wizard}`, last.id)
        model.retried(event.id, wizard)
        const createdAt = Math.floor(nowMs() / 1000)
        const word = {
          author: "operator",
          form: "command",
          body: `retry ${event.id.slice(0, 24)}`,
          targets: [wizard],
        } as const
        const retry = await write({ ...word, name: `retry-${last.id.slice(0, 8)}`, createdAt })
        for (const relay of relays.values()) relay.give(retry)
      }
    }
  }
  const isReached = (): boolean =>
    main.life?.hosts.every((host) => host.relays().every(({ state }) => state === "live")) === true
  const backlog = (): number =>
    plan.wizards.reduce((sum, name) => sum + (main.life?.store.outbox.countPending("publish", name) ?? 1), 0)
  const isBroken = (): boolean => model.violations.length > 0

  try {
    await amendRoster(
      ...(["operator", "deputy"] as const).map((label) => ({
        type: "add-operator" as const,
        pubkey: pubkeyOf(label),
        label,
      })),
      ...plan.wizards.map((name) => ({
        type: "add-wizard" as const,
        name,
        pubkey: pubkeyOf(name),
        class: name === "timmy" ? ("local" as const) : ("worker" as const),
      })),
    )
    for (const op of plan.ops) timeline.at(op.atMs, () => apply(op))
    timeline.at(5_000, () => start(main))
    await timeline.run(restOf(plan), isBroken)
    if (!isBroken()) {
      calm()
      const until = timeline.nowMs() + peaceMsMax
      for (;;) {
        await timeline.run(timeline.nowMs() + 5 * minute, isBroken)
        if (isBroken()) break
        await answer()
        const open = main.life === undefined ? ["no process"] : model.unsettled(look())
        if (open.length === 0 && backlog() === 0) {
          model.verdict(look())
          break
        }
        if (timeline.nowMs() < until) continue
        model.violate(`P2: in peace it never settles: ${open.join("; ") || `${backlog()} events are owed`}`)
        break
      }
    }
  } finally {
    for (const home of homes) if (home.life !== undefined) home.life.owner.alive = false
    await timeline.settle()
    for (const { disk } of homes) disk.close()
    timeline.close()
    process.off("unhandledRejection", lies)
  }
  return {
    violations: [...model.violations],
    hash: hash.digest("hex"),
    virtualMs: timeline.nowMs(),
    trace: lines,
    lives,
  }
}

/** When the last of the plan is over. */
const restOf = ({ calmMs, ops }: Plan): number =>
  Math.max(
    calmMs,
    ...ops.map((op) => op.atMs + (op.type === "sleep" ? op.forMs : op.type === "kill" ? op.downMs : 0) + minute),
  )
