/**
 * Our relay and others', side by side in one run: the same events, signed before; one relay at a time, each a process of
 * its own on loopback with its data in a temporary folder; this process is the client. The null server says what the
 * client and the sockets can do, so a figure near its figure says nothing about the relay.
 *
 *   --relays a,b        of ours, nostr-relay, @nostr-relay/core, nostr-rs-relay, null (all)
 *   --sections a,b      of publish, fsync, fan-out, REQ, memory (all)
 *   --events N          events in the large database (50000)
 *   --publish N         events to publish (50000): a fast relay ends before its seconds are over
 *   --seconds N         of publishing that are counted, after a first one that is not (4)
 *   --window N          unanswered events, over all connections (1000)
 *   --rounds N          each section so often, relay after relay; the best figure counts, as what else the machine does
 *                       only ever takes away (1)
 *   --subscribers a,b   (1,20,1000)        --connections N   for the memory (1000)
 *   --nostr-relay FILE  --core FOLDER  --nostr-rs-relay FILE   where the others are, if not on PATH; @nostr-relay/core is
 *                       installed into FOLDER when it is not there (default: a temporary one)
 *   --json
 *
 * Rate limits are off at all of them. Any of NOSTR_RELAY, NOSTR_RELAY_CORE, NOSTR_RS_RELAY does what its flag does.
 */
import { availableParallelism, loadavg } from "node:os"
import { parseArgs } from "node:util"
import { aims } from "./relay/aims.ts"
import { syncMs } from "./relay/disk.ts"
import { prepare } from "./relay/events.ts"
import { type Plan, type SectionName, sections } from "./relay/measure.ts"
import type { RelayUnderTest } from "./relay/relays/relay-under-test.ts"
import { relaysAt } from "./relay/relays/relays.ts"
import { aimLine, figure, type Row, table } from "./relay/report.ts"

const print = (line: string): void => void process.stdout.write(`${line}\n`)
const say = (line: string): void => void process.stderr.write(`${line}\n`)

export const relay = async (args: readonly string[]): Promise<void> => {
  const options = optionsOf(args)
  const began = performance.now()
  const loadBefore = loadavg()[0]
  const present: RelayUnderTest[] = []
  const notes: string[] = []
  for (const each of options.relays) {
    const missing = each.missing()
    if (missing === undefined) present.push(each)
    else notes.push(`${each.name} is ${missing}`)
  }
  say(`signing ${Math.max(options.publish, options.events)} events`)
  const stored = await prepare(Math.max(options.publish, options.events))
  const plan: Plan = {
    ...options,
    published: { ...stored, events: stored.events.slice(0, options.publish) },
    stored: { ...stored, events: stored.events.slice(0, options.events) },
    note: (text) => (notes.includes(text) ? undefined : void notes.push(text)),
  }
  const rows: Row[] = []
  for (const name of options.sections) rows.push(...(await rowsOf(name, present, plan, options.rounds)))
  const names = present.map((each) => each.name)
  const judged = aims(rows, options.events)
  const about = {
    cores: availableParallelism(),
    node: process.version,
    signatures: stored.backend,
    eventsStored: options.events,
    eventsToPublish: options.publish,
    rounds: options.rounds,
    diskSyncMs: Number(figure(syncMs())),
    loadBefore,
    loadAfter: loadavg()[0],
    seconds: Math.round((performance.now() - began) / 1000),
  }
  const durability = Object.fromEntries(present.map((each) => [each.name, each.durability]))
  if (options.json) return print(JSON.stringify({ about, durability, rows, aims: judged, notes }, null, 2))
  print(
    `${about.cores} cores, Node ${about.node}, our signatures by ${about.signatures}; ${about.eventsStored} events stored, ` +
      `up to ${about.eventsToPublish} published; the disk syncs 4 KB in ${about.diskSyncMs} ms; load ${loadBefore?.toFixed(1)} before, ` +
      `${about.loadAfter?.toFixed(1)} after; best of ${about.rounds}; ${about.seconds} s in all`,
  )
  print(`\n${table(names, rows)}\n`)
  for (const [name, promise] of Object.entries(durability)) print(`${name.padEnd(18)} ${promise}`)
  print("")
  for (const aim of judged) print(aimLine(aim))
  for (const note of notes) print(`! ${note}`)
}

/** One relay after the other, a section at a time, so that those compared are measured within the same minutes. */
const rowsOf = async (
  section: SectionName,
  relays: readonly RelayUnderTest[],
  plan: Plan,
  rounds: number,
): Promise<readonly Row[]> => {
  const rows = new Map<string, { readonly unit: string; readonly values: Record<string, number | string> }>()
  for (let round = 0; round < rounds; round++) {
    for (const each of relays) {
      const began = performance.now()
      try {
        for (const [measure, unit, value] of await sections[section](each, plan)) {
          const row = rows.get(measure) ?? { unit, values: {} }
          row.values[each.name] = better(unit, row.values[each.name], value)
          rows.set(measure, row)
        }
      } catch (error) {
        plan.note(`${each.name}, ${section}: ${(error as Error).message}`)
      }
      say(`${section}: ${each.name} ${figure((performance.now() - began) / 1000)} s`)
    }
  }
  return [...rows].map(([measure, { unit, values }]) => ({ section, measure, unit, values }))
}

const better = (unit: string, held: number | string | undefined, value: number | string): number | string => {
  if (typeof held !== "number" || typeof value !== "number") return typeof held === "number" ? held : value
  return unit === "OK/s" ? Math.max(held, value) : Math.min(held, value)
}

const optionsOf = (args: readonly string[]) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      relays: { type: "string" },
      sections: { type: "string" },
      events: { type: "string", default: "50000" },
      publish: { type: "string", default: "50000" },
      seconds: { type: "string", default: "4" },
      window: { type: "string", default: "1000" },
      rounds: { type: "string", default: "1" },
      subscribers: { type: "string", default: "1,20,1000" },
      connections: { type: "string", default: "1000" },
      "nostr-relay": { type: "string" },
      core: { type: "string" },
      "nostr-rs-relay": { type: "string" },
      json: { type: "boolean", default: false },
    },
  })
  const all = relaysAt({
    nostrRelay: values["nostr-relay"] ?? process.env["NOSTR_RELAY"],
    core: values.core ?? process.env["NOSTR_RELAY_CORE"],
    nostrRsRelay: values["nostr-rs-relay"] ?? process.env["NOSTR_RS_RELAY"],
  })
  const known = Object.keys(sections) as SectionName[]
  return {
    relays: chosen(
      "relay",
      all.map(({ name }) => name),
      values.relays,
    ).map((name) => all.find((each) => each.name === name) as RelayUnderTest),
    sections: chosen("section", known, values.sections) as readonly SectionName[],
    events: Number(values.events),
    publish: Number(values.publish),
    seconds: Number(values.seconds),
    window: Number(values.window),
    rounds: Number(values.rounds),
    subscribers: values.subscribers.split(",").map(Number),
    held: Number(values.connections),
    json: values.json,
  }
}

const chosen = (what: string, known: readonly string[], given: string | undefined): readonly string[] => {
  if (given === undefined) return known
  const names = given.split(",")
  const wrong = names.find((name) => !known.includes(name))
  if (wrong !== undefined) {
    say(`no ${what} is called ${wrong}; there are ${known.join(", ")}`)
    process.exit(2)
  }
  return known.filter((name) => names.includes(name))
}
