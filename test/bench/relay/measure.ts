/**
 * The sections of the benchmark. Each takes one relay through its part and gives back figures by measure; a relay is a
 * fresh process with an empty folder each time, so that no section is the warm-up of another.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import type { Prepared } from "./events.ts"
import { fanOut, subscribe } from "./fan-out.ts"
import type { Running } from "./process.ts"
import { publish } from "./publish.ts"
import { type Answered, countAll, countAuthor, type Counted, few, many } from "./query.ts"
import { ours } from "./relays/ours.ts"
import { figure, oursName } from "./report.ts"
import type { RelayUnderTest } from "./relays/relay-under-test.ts"

export interface Plan {
  /** What is published, and what large databases hold. */
  readonly published: Prepared
  readonly stored: Prepared
  readonly seconds: number
  readonly window: number
  readonly subscribers: readonly number[]
  readonly held: number
  /** What is worth telling beside the figures. */
  readonly note: (text: string) => void
}

export type Figures = readonly (readonly [measure: string, unit: string, value: number | string])[]
export type Section = (relay: RelayUnderTest, plan: Plan) => Promise<Figures>

const publishing: Section = async (relay, plan) => [
  ["1 connection", "OK/s", await rate(relay, plan, 1)],
  ["50 connections", "OK/s", await rate(relay, plan, 50)],
]

/** Ours alone: the others do not wait for the disk in the first place. What the sync takes is the second's lead. */
const fsync: Section = async (relay, plan) => {
  if (relay.name !== oursName) return []
  const normal = ours("normal")
  const missing = normal.missing()
  if (missing !== undefined) {
    plan.note(`fsync: ${missing}`)
    return []
  }
  return [
    ["50 connections, --durability full", "OK/s", await rate(relay, plan, 50)],
    ["50 connections, --durability normal", "OK/s", await rate(normal, plan, 50)],
  ]
}

const rate = (relay: RelayUnderTest, { published, seconds, window, note }: Plan, connections: number) =>
  withRelay(relay, async ({ url }) => {
    const again = relay.forgets === true
    const done = await publish(url, published, { connections, window, seconds, again })
    const where = `${relay.name}, publish over ${connections}`
    if (done.refused > 0) note(`${where}: ${done.refused} refused, the first with "${done.reason}"`)
    if (done.unanswered > 0) note(`${where}: ${done.unanswered} never answered`)
    if (done.kept < done.sampled) note(`${where}: of ${done.sampled} with OK true, asked for by id, ${done.kept} came`)
    return done.perSecond
  })

const fanningOut: Section = async (relay, { published, subscribers, note }) => {
  const figures: (readonly [string, string, number])[] = []
  for (const count of subscribers) {
    const done = await withRelay(relay, ({ url }) => fanOut(url, published, count))
    if (done.lost > 0)
      note(`${relay.name}, fan-out to ${count}: ${done.lost} of ${done.expected} did not come within 2 s`)
    const name = count === 1 ? "1 subscriber" : `${count} subscribers`
    figures.push([`${name}, p50`, "ms", done.p50Ms], [`${name}, p95`, "ms", done.p95Ms])
  }
  return figures
}

const asking: Section = async (relay, { stored, note }) => {
  const fill = relay.fill
  if (fill === undefined) return []
  return withRelay(
    relay,
    async ({ url }) => {
      /** A part of the answer is not compared with the whole of others'. */
      const told = (what: string, wanted: number, { firstMs, totalMs, events, refusal }: Answered) => {
        if (refusal !== "") note(`${relay.name}, ${what}: ${refusal}`)
        if (events === wanted) return [firstMs, totalMs] as const
        note(`${relay.name}, ${what}: ${events} of ${wanted} events came, in ${figure(totalMs)} ms`)
        return ["a part", "a part"] as const
      }
      const counted = (what: string, { ms, said, expected }: Counted): number | string => {
        if (Number.isNaN(ms)) return said
        if (said !== String(expected)) note(`${relay.name}, ${what}: said ${said}, there are ${expected}`)
        return ms
      }
      const [fewFirst, fewAll] = told("REQ of 500", 500, await few(url, stored))
      const [manyFirst, manyAll] = told("REQ of 10,000", 10_000, await many(url, stored))
      return [
        ["500 events, first", "ms", fewFirst],
        ["500 events, all", "ms", fewAll],
        ["10,000 events, first", "ms", manyFirst],
        ["10,000 events, all", "ms", manyAll],
        ["COUNT of an author", "ms", counted("COUNT of an author", await countAuthor(url, stored))],
        ["COUNT of a kind", "ms", counted("COUNT of a kind", await countAll(url, stored))],
      ] as const
    },
    (dir) => fill(dir, stored),
  )
}

const remembering: Section = (relay, { held }) =>
  withRelay(relay, async ({ url, resident }) => {
    await wait(1000)
    const before = resident()
    const wires = await subscribe(url, held, { kinds: [1], limit: 1 }, () => {})
    await wait(2000)
    const after = resident()
    const open = wires.filter((wire) => !wire.closed()).length
    await Promise.all(wires.map((wire) => wire.close()))
    if (open < held) return [["with connections", "MB", `${held - open} cut off`]]
    return [
      ["idle", "MB", before / 2 ** 20],
      [`with ${held} connections`, "MB", after / 2 ** 20],
      ["each connection", "KB", (after - before) / 1024 / held],
    ]
  })

/** In the order in which they are printed. */
export const sections = {
  publish: publishing,
  fsync,
  "fan-out": fanningOut,
  REQ: asking,
  memory: remembering,
} satisfies Record<string, Section>
export type SectionName = keyof typeof sections

const withRelay = async <A>(
  relay: RelayUnderTest,
  body: (running: Running) => Promise<A>,
  fill?: (dir: string) => void,
): Promise<A> => {
  const dir = mkdtempSync(join(tmpdir(), "wizardly-bench-relay-"))
  try {
    if (fill !== undefined) {
      // Its first start makes its tables.
      await (await relay.start(dir)).stop()
      fill(dir)
    }
    const running = await relay.start(dir)
    try {
      return await body(running)
    } finally {
      await running.stop()
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
