/** The home of a world, the processes that live in it one after the other, and sometimes a second one with the same keys. */
import { seededChance, type ChanceShape } from "../../../src/services/chance.ts"
import { openDisk, type Disk, type StopPoint } from "./disk.ts"
import type { Keyring } from "./keyring.ts"
import { startLife, type Life } from "./life.ts"
import type { Model } from "./model.ts"
import type { Network } from "./network.ts"
import type { Plan } from "./plan.ts"
import type { Timeline } from "./timeline.ts"

export interface Home {
  readonly disk: Disk
  readonly isTwin: boolean
  life: Life | undefined
  /** It does not start before. */
  downMs: number
  /** Where the next process-stop waits. */
  stop:
    | { readonly point: StopPoint; skip: number; readonly how: "process" | "power"; readonly downMs: number }
    | undefined
  /** How long it stays down where its process ends by itself. */
  restMs: number
  lives: number
}

/** What a process finds on its machine. */
export interface Machine {
  /** How far its clock was set ahead. */
  offsetMs: number
  diskIsFull: boolean
  syncMsMax: number
}

export interface Homes {
  readonly main: Home
  readonly machine: Machine
  readonly start: (home: Home) => void
  readonly kill: (home: Home, how: "process" | "power", downMs: number) => void
  /** SIGTERM. */
  readonly terminate: (downMs: number) => void
  readonly twin: () => Home
  /** Nothing more happens to them, and what was down starts. */
  readonly calm: () => void
  /** Processes that were started. */
  readonly lives: () => number
  /** All of them are gone. */
  readonly end: () => void
  readonly close: () => void
}

export const openHomes = (options: {
  readonly plan: Plan
  readonly timeline: Timeline
  readonly epochMs: number
  readonly keyring: Keyring
  readonly network: Network
  readonly model: Model
  readonly fate: ChanceShape
  readonly trace: (line: string) => void
  readonly note: (line: string) => void
}): Homes => {
  const { plan, timeline, model, fate, trace } = options
  const machine: Machine = { offsetMs: 0, diskIsFull: false, syncMsMax: 20 }
  const homeNow = (isTwin: boolean): Home => ({
    disk: openDisk(),
    isTwin,
    life: undefined,
    downMs: 0,
    stop: undefined,
    restMs: restMs,
    lives: 0,
  })
  const main = homeNow(false)
  const homes = [main]
  const cuts = plan.ops.flatMap((op) => (op.type === "kill" && op.how === "power" ? [op.atMs] : []))
  let lives = 0

  const start = (home: Home): void => {
    if (home.life !== undefined || timeline.nowMs() < home.downMs) return
    trace(`${nameOf(home)} starts`)
    home.lives++
    lives++
    home.life = startLife({
      ...options,
      isTwin: home.isTwin,
      offsetMs: () => machine.offsetMs,
      disk: home.disk,
      chance: seededChance(plan.seed * 31 + home.lives * 2 + (home.isTwin ? 1 : 0)),
      disturbs: {
        stops: (point) => {
          const { stop } = home
          if (stop?.point !== point) return false
          stop.skip -= 1
          return stop.skip < 0
        },
        stop: () => {
          const { how, downMs } = home.stop ?? { how: "process" as const, downMs: 1000 }
          home.stop = undefined
          kill(home, how, downMs)
        },
        hasRoom: () => !machine.diskIsFull,
        mayLosePower: () =>
          home.stop?.how === "power" || cuts.some((at) => at >= timeline.nowMs() && at < timeline.nowMs() + 5000),
        syncMsMax: () => machine.syncMsMax,
      },
      ended: (reason) => {
        trace(`the process ends by itself: ${reason}`)
        const { life, restMs: downMs } = home
        home.restMs = restMs
        timeline.at(timeline.nowMs(), () => home.life === life && kill(home, "process", downMs))
      },
    })
  }

  const kill: Homes["kill"] = (home, how, downMs) => {
    const { life } = home
    const upMs = timeline.nowMs() + downMs
    home.downMs = Math.max(home.downMs, upMs)
    if (!home.isTwin) timeline.at(upMs, () => start(home))
    if (life === undefined) return
    trace(`${nameOf(home)} is stopped (${how})`)
    life.owner.alive = false
    home.life = undefined
    home.disk.crash(how === "power" ? (most) => Math.floor(fate.next() * most) : undefined)
    model.runs.gone(life.owner)
  }

  return {
    main,
    machine,
    start,
    kill,
    terminate: (downMs) => {
      if (main.life === undefined) return
      trace("the home is told to end")
      main.restMs = downMs
      main.life.terminate()
    },
    twin: () => {
      const home = homeNow(true)
      homes.push(home)
      return home
    },
    calm: () => {
      Object.assign(machine, { offsetMs: 0, diskIsFull: false, syncMsMax: 20 } satisfies Machine)
      main.stop = undefined
      for (const home of homes) if (home.isTwin) kill(home, "process", 0)
      if (main.life !== undefined) main.life.owner.frozenMs = 0
      main.downMs = 0
      start(main)
    },
    lives: () => lives,
    end: () => {
      for (const { life } of homes) if (life !== undefined) life.owner.alive = false
    },
    close: () => {
      for (const { disk } of homes) disk.close()
    },
  }
}

/** As whoever watches over it starts it again. */
const restMs = 10_000

const nameOf = ({ isTwin }: Home): string => (isTwin ? "the twin" : "the home")
