/**
 * A world by its plan: relays, people and one home (sometimes a second with the same keys), from the first moment to the
 * peace after the faults, watched by the model. The same plan makes the same world, to the last event.
 */
import { createHash } from "node:crypto"
import { isPaused } from "../../../src/runtime/verbs.ts"
import { seededChance } from "../../../src/services/chance.ts"
import type { Disk } from "./disk.ts"
import { happenings } from "./happenings.ts"
import { openHomes } from "./homes.ts"
import { openKeyring } from "./keyring.ts"
import { openModel, type Look, type Model } from "./model.ts"
import { openNetwork } from "./network.ts"
import { openPeople } from "./people.ts"
import type { Plan } from "./plan.ts"
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
  const nowMs = (): number => epochMs + timeline.nowMs()
  const keyring = await openKeyring(plan.signatures)
  const pubkeyOf = (name: string): string => keyring.signer(name).pubkey
  const wizardKeys = new Set(plan.wizards.map(pubkeyOf))
  const model: Model = openModel({ plan, bornSeconds: epochMs / 1000, nowMs, wizardKeys })
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
  const network = openNetwork({ timeline, chance: seededChance(plan.seed * 13 + 1), relays })
  const fate = seededChance(plan.seed * 17 + 2)
  const homes = openHomes({ plan, timeline, epochMs, keyring, network, model, fate, trace, note })
  const people = openPeople({ plan, keyring, model, relays, nowMs, trace })
  const added = new Map<string, number | undefined>()
  const apply = happenings({
    timeline,
    model,
    network,
    relays,
    homes,
    people,
    fate,
    nowMs,
    pubkeyOf,
    added,
    trace,
  })
  const { main } = homes

  const has = (type: Plan["ops"][number]["type"]): boolean => plan.ops.some((op) => op.type === type)
  const forgets = new Set(plan.ops.flatMap((op) => (op.type === "restart-relay" && op.loseData ? [op.relay] : [])))
  const keeps = plan.relays.filter(({ honest, url }) => honest && !forgets.has(url)).map(({ url }) => url)
  /** A home that is lost, or another clock, and nobody knows any more what was to be told to whom. */
  const isTold = !has("lose-home") && !has("restore-home") && !has("step-clock")
  const look = (): Look => {
    const used = new Set(main.life?.council()?.relays.list())
    return {
      db: main.disk.look() as NonNullable<ReturnType<Disk["look"]>>,
      held: new Map([...relays].flatMap(([url, { events }]) => (used.has(url) ? [[url, new Set(events.keys())]] : []))),
      honest: keeps.filter((url) => used.has(url) && !added.has(url)),
      late: new Map(
        [...added].flatMap(([url, atMs]) =>
          isTold && keeps.includes(url) && used.has(url) && atMs !== undefined ? [[url, atMs]] : [],
        ),
      ),
      pubkeyOf,
    }
  }
  const isBroken = (): boolean => model.violations.length > 0

  /** In peace everything comes to its end, and all that is owed to its reader; a person helps where one is waited for. */
  const rest = async (): Promise<void> => {
    const until = timeline.nowMs() + peaceMsMax
    for (;;) {
      await timeline.run(timeline.nowMs() + 5 * minute, isBroken)
      if (isBroken()) return
      const council = main.life?.council()
      if (council !== undefined) {
        await people.answer((wizard) => isPaused(council.store, wizard))
        main.life?.deadLetters("resend")
      }
      const backlog = plan.wizards.reduce((sum, name) => sum + (council?.publisher.backlog(name) ?? 1), 0)
      const open = council === undefined ? ["no process"] : model.unsettled(look())
      if (open.length === 0 && backlog === 0 && council?.store.outbox.deadPlaces().length === 0)
        return model.verdict(look())
      if (timeline.nowMs() < until) continue
      const dead = council?.store.outbox.deadPlaces().length ?? 0
      const owed = `${backlog} events are owed, ${dead} are dead letters`
      return model.violate(`P2: in peace it never settles: ${open.join("; ") || owed}`)
    }
  }

  try {
    await people.found()
    for (const op of plan.ops) timeline.at(op.atMs, () => apply(op))
    timeline.at(5_000, () => homes.start(main))
    await timeline.run(restOf(plan), isBroken)
    if (!isBroken()) {
      trace("peace")
      homes.calm()
      for (const relay of relays.values()) {
        relay.faults({})
        relay.start()
        network.stall(relay.spec.url, 0)
      }
      await rest()
    }
  } finally {
    homes.end()
    await timeline.settle()
    homes.close()
    timeline.close()
    process.off("unhandledRejection", lies)
  }
  return {
    violations: [...model.violations],
    hash: hash.digest("hex"),
    virtualMs: timeline.nowMs(),
    trace: lines,
    lives: homes.lives(),
  }
}

/** When the last of the plan is over. */
const restOf = ({ calmMs, ops }: Plan): number =>
  Math.max(
    calmMs,
    ...ops.map((op) => op.atMs + (op.type === "sleep" ? op.forMs : op.type === "kill" ? op.downMs : 0) + minute),
  )
