/** What each line of a plan does to a world. */
import type { ChanceShape } from "../../../src/services/chance.ts"
import { forge } from "./forge.ts"
import type { Homes } from "./homes.ts"
import type { Model } from "./model.ts"
import type { Network } from "./network.ts"
import type { People } from "./people.ts"
import type { Op } from "./plan.ts"
import type { SimulatedRelay } from "./relay.ts"
import type { Timeline } from "./timeline.ts"

export interface World {
  readonly timeline: Timeline
  readonly model: Model
  readonly network: Network
  readonly relays: ReadonlyMap<string, SimulatedRelay>
  readonly homes: Homes
  readonly people: People
  readonly fate: ChanceShape
  readonly nowMs: () => number
  readonly pubkeyOf: (name: string) => string
  /** Relays that came later, and since when they are used; undefined while that may have failed. */
  readonly added: Map<string, number | undefined>
  readonly trace: (line: string) => void
}

type Happening<T extends Op["type"]> = (op: Extract<Op, { readonly type: T }>, world: World) => unknown

const minute = 60_000

/** Gives what applies an operation. */
export const happenings = (world: World): ((op: Op) => unknown) => {
  const { timeline, network, relays } = world
  let truceMs = 0
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
  let saved: Buffer | undefined
  const later = (forMs: number, call: () => void): void => void timeline.at(timeline.nowMs() + forMs, call)
  const relayOf = (url: string): SimulatedRelay => relays.get(url) as SimulatedRelay

  const apply: { readonly [T in Op["type"]]: Happening<T> } = {
    command: async (op, { model, people, nowMs, fate }) => {
      if (model.issued(op.name) !== undefined) return
      const { ageSeconds, deadlineSeconds, relays: urls, ...about } = op
      const createdAt = Math.floor(nowMs() / 1000) - ageSeconds
      const deadlineMs = deadlineSeconds === undefined ? undefined : nowMs() + deadlineSeconds * 1000
      const event = await people.write({ ...about, createdAt, ...(deadlineMs !== undefined && { deadlineMs }) })
      for (const url of urls) later(fate.next() * 3000, () => relayOf(url).give(event))
    },
    "at-floor": async (op, { homes, pubkeyOf, people }) => {
      const createdAt = homes.main.life?.council()?.store.cursor.floor(pubkeyOf(op.target), op.relay)
      if (createdAt === undefined) return
      const { name, target } = op
      const written = { name, author: "operator", form: "command", body: "just in time", targets: [target] } as const
      relayOf(op.relay).give(await people.write({ ...written, createdAt }))
    },
    cancel: async ({ name, of, author, relays: urls }, { model, people, fate }) => {
      const about = model.issued(of)
      if (about === undefined) return
      const { event, targets } = about
      const body = `cancel ${event.id.slice(0, 24)}`
      const cancel = await people.write({ name, author, form: "command", body, targets, cancels: event.id })
      for (const url of urls) later(fate.next() * 3000, () => relayOf(url).give(cancel))
    },
    republish: (op, { model }) => {
      const issued = model.issued(op.name)
      if (issued !== undefined) relayOf(op.relay).give(issued.event)
    },
    forge: (op, { model, fate }) => {
      const issued = model.issued(op.name)
      if (issued !== undefined) relayOf(op.relay).whisper(forge(issued.event, fate))
    },
    faults: (op) => {
      relayOf(op.relay).faults(op.faults)
      later(op.forMs, () => relayOf(op.relay).faults({}))
    },
    delay: (op) => network.delay(op.relay, op.mostMs),
    cut: (op) => relayOf(op.relay).cut(op.code),
    stall: (op) => network.stall(op.relay, op.forMs),
    "restart-relay": (op) => {
      relayOf(op.relay).stop(op.loseData)
      later(op.downMs, () => relayOf(op.relay).start())
    },
    "add-relay": ({ relay }, { homes, added, nowMs }) => {
      const council = homes.main.life?.council()
      if (council === undefined) return
      added.set(relay, undefined)
      void council.relays.add(relay).then(
        () => added.set(relay, nowMs()),
        () => {},
      )
    },
    "remove-relay": ({ relay }, { homes, added }) => {
      added.set(relay, undefined)
      void homes.main.life
        ?.council()
        ?.relays.remove(relay)
        .catch(() => {})
    },
    "dead-letters": ({ how }, { homes }) => void homes.main.life?.deadLetters(how),
    terminate: ({ downMs }, { homes }) => homes.terminate(downMs),
    kill: ({ how, downMs }, { homes }) => homes.kill(homes.main, how, downMs),
    "kill-at": (op, { homes }) => {
      homes.main.stop = { ...op }
    },
    "disk-full": ({ forMs }, { homes: { machine } }) => {
      machine.diskIsFull = true
      later(forMs, () => {
        machine.diskIsFull = false
      })
    },
    "slow-disk": ({ forMs, mostMs }, { homes: { machine } }) => {
      machine.syncMsMax = mostMs
      later(forMs, () => {
        machine.syncMsMax = 20
      })
    },
    "step-clock": ({ byMs }, { homes: { machine } }) => {
      machine.offsetMs += byMs
    },
    sleep: ({ forMs }, { homes: { main } }) => {
      if (main.life !== undefined) main.life.owner.frozenMs = timeline.nowMs() + forMs
    },
    "copy-home": (_, { homes: { main } }) => {
      saved = main.disk.copy()
    },
    "restore-home": ({ downMs }, { homes }) => {
      if (saved === undefined) return
      truce(downMs + 5 * minute)
      homes.kill(homes.main, "process", downMs)
      homes.main.disk.replace(saved)
    },
    "lose-home": ({ downMs }, { homes }) => {
      truce(downMs + 5 * minute)
      homes.kill(homes.main, "process", downMs)
      homes.main.disk.replace(undefined)
    },
    twin: ({ forMs }, { homes }) => {
      const { main, machine } = homes
      const hosts = main.life?.council()?.wizards
      const isAtWork = hosts?.every(({ status }) => ["idle", "busy", "paused"].includes(status().state))
      if (isAtWork !== true || machine.offsetMs !== 0 || main.life?.owner.frozenMs !== 0 || machine.diskIsFull) return
      main.stop = undefined
      truce(forMs + minute)
      const twin = homes.twin()
      // Where the relays are well again before it comes.
      later(minute, () => isReached(homes) && homes.start(twin))
      later(forMs, () => homes.kill(twin, "process", 0))
    },
    "revoke-deputy": (_, { people }) => people.revokeDeputy(),
  }
  return (op) => {
    world.trace(`op ${op.type}`)
    if (disturbing.has(op.type) && timeline.nowMs() < truceMs) return
    return (apply[op.type] as Happening<Op["type"]>)(op, world)
  }
}

/** What a truce is from. */
const disturbing: ReadonlySet<Op["type"]> = new Set([
  "faults",
  "cut",
  "stall",
  "restart-relay",
  "add-relay",
  "remove-relay",
  "terminate",
  "kill",
  "kill-at",
  "sleep",
] as const)

const isReached = ({ main }: Homes): boolean =>
  main.life?.council()?.wizards.every((host) => host.relays().every(({ state }) => state === "live")) === true
