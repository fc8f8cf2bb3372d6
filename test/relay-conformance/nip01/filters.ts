/**
 * Filters of every shape, each held against one small gallery of events: once with the events stored before the REQ, once
 * with the events published after it. What is due is worked out by nostr-tools' `matchFilter`.
 */
import { matchFilter, type Filter } from "nostr-tools/filter"
import type { NostrEvent } from "../../../src/protocol/event.ts"
import { type Check, demand, required, show } from "../check.ts"
import { hex32, newestFirst, now, person, rareKind, unique } from "../person.ts"
import { type Relay, settled } from "../relay.ts"

export const makeGallery = () => {
  const [a, b] = [person(), person()]
  const [k1, k2] = [rareKind(), rareKind() + 1_000]
  const [x, y, e, p] = [unique(), unique(), hex32(), hex32()]
  const base = now() - 100
  const events = {
    x: a.event({ kind: k1, created_at: base, tags: [["t", x]] }),
    y: a.event({ kind: k1, created_at: base - 10, tags: [["t", y]] }),
    both: a.event({
      kind: k2,
      created_at: base - 10,
      tags: [
        ["t", x],
        ["t", y],
      ],
    }),
    upperName: b.event({ kind: k1, created_at: base - 20, tags: [["T", x]] }),
    references: b.event({
      kind: k2,
      created_at: base - 30,
      tags: [
        ["e", e],
        ["p", p],
      ],
    }),
    reply: a.event({ kind: k1, created_at: base - 40, tags: [["e", e, "", "reply"]] }),
    all: b.event({
      kind: k1,
      created_at: base - 50,
      tags: [
        ["t", x],
        ["e", e],
        ["p", p],
      ],
    }),
    secondValue: a.event({ kind: k1, created_at: base - 60, tags: [["t", unique(), x]] }),
    otherLetters: b.event({
      kind: k2,
      created_at: base - 70,
      tags: [
        ["Q", x],
        ["z", y],
      ],
    }),
    q: b.event({
      kind: k1,
      created_at: base - 80,
      tags: [
        ["q", x],
        ["zz", y],
      ],
    }),
    upperValue: a.event({ kind: k1, created_at: base - 90, tags: [["t", x.toUpperCase()]] }),
    longer: a.event({ kind: k1, created_at: base - 100, tags: [["t", `${x} and more`]] }),
    bare: a.event({ kind: k2, created_at: base - 110 }),
    emptyValue: b.event({ kind: k2, created_at: base - 120, tags: [["t", ""]] }),
    late: b.event({
      kind: k1,
      created_at: base + 10,
      tags: [
        ["p", hex32()],
        ["d", x],
      ],
    }),
  }
  return { a, b, k1, k2, x, y, e, p, base, events, list: Object.values(events) as readonly NostrEvent[] }
}

export type Gallery = ReturnType<typeof makeGallery>

const shapes: Readonly<Record<string, (g: Gallery) => readonly Filter[]>> = {
  "one id": (g) => [{ ids: [g.events.x.id] }],
  "several ids, one of them unknown": (g) => [{ ids: [g.events.x.id, g.events.late.id, g.events.bare.id, hex32()] }],
  "one author": (g) => [{ authors: [g.a.pubkey] }],
  "several authors": (g) => [{ authors: [g.a.pubkey, g.b.pubkey, hex32()] }],
  "one kind": (g) => [{ kinds: [g.k1], since: g.base - 200 }],
  "several kinds": (g) => [{ kinds: [g.k1, g.k2], since: g.base - 200 }],
  "author and kind": (g) => [{ authors: [g.a.pubkey], kinds: [g.k2] }],
  "an id of another author": (g) => [{ ids: [g.events.x.id, g.events.q.id], authors: [g.b.pubkey] }],
  "a t tag": (g) => [{ "#t": [g.x] }],
  "a t tag of several values": (g) => [{ "#t": [g.x, g.y] }],
  "a T tag, which is not a t tag": (g) => [{ "#T": [g.x] }],
  "an e tag": (g) => [{ "#e": [g.e] }],
  "a p tag": (g) => [{ "#p": [g.p] }],
  "a q tag": (g) => [{ "#q": [g.x] }],
  "a Q tag": (g) => [{ "#Q": [g.x] }],
  "a z tag": (g) => [{ "#z": [g.y] }],
  "a d tag on a regular event": (g) => [{ "#d": [g.x] }],
  "two tags, both of which must fit": (g) => [{ "#t": [g.x], "#e": [g.e] }],
  "three tags": (g) => [{ "#t": [g.x, g.y], "#e": [g.e], "#p": [g.p] }],
  "a tag and an author": (g) => [{ "#t": [g.x], authors: [g.a.pubkey] }],
  "a tag and a kind": (g) => [{ "#t": [g.x], kinds: [g.k2] }],
  "a tag, an author and a kind": (g) => [{ "#e": [g.e], authors: [g.a.pubkey], kinds: [g.k1] }],
  "a tag whose value is empty": (g) => [{ "#t": [""], authors: [g.b.pubkey] }],
  "a tag value that begins like another": (g) => [{ "#t": [g.x.slice(0, -2)] }],
  "since, inclusive": (g) => [{ authors: [g.a.pubkey], since: g.events.y.created_at }],
  "until, inclusive": (g) => [{ authors: [g.a.pubkey], until: g.events.y.created_at }],
  "since and until on one second": (g) => [{ authors: [g.a.pubkey], since: g.base - 10, until: g.base - 10 }],
  "since after until": (g) => [{ authors: [g.a.pubkey], since: g.base, until: g.base - 10 }],
  "a tag, since and until": (g) => [{ "#t": [g.x], since: g.base - 50, until: g.base - 10 }],
  "every field at once": (g) => [
    {
      ids: [g.events.all.id, g.events.x.id],
      authors: [g.b.pubkey],
      kinds: [g.k1],
      "#t": [g.x],
      "#p": [g.p],
      since: g.base - 50,
      until: g.base,
      limit: 10,
    },
  ],
  "several filters, any of which fits": (g) => [
    { authors: [g.a.pubkey], kinds: [g.k2] },
    { "#T": [g.x] },
    { ids: [g.events.late.id] },
  ],
  "several filters that overlap, each event once": (g) => [
    { authors: [g.a.pubkey] },
    { "#t": [g.x] },
    { ids: [g.events.x.id] },
    { kinds: [g.k1], authors: [g.a.pubkey] },
  ],
}

const names = (g: Gallery, events: readonly { readonly id: string }[]): string =>
  events.length === 0
    ? "none"
    : events.map(({ id }) => Object.entries(g.events).find(([, e]) => e.id === id)?.[0] ?? "a stranger's").join(", ")

const dueOf = (g: Gallery, filters: readonly Filter[]) =>
  g.list.filter((event) => filters.some((filter) => matchFilter(filter, event as Parameters<typeof matchFilter>[1])))

/** Others may publish too: their events count only if they do not fit. */
const held = (g: Gallery, filters: readonly Filter[], came: readonly NostrEvent[]): void => {
  const stray = came.find((event) => !filters.some((f) => matchFilter(f, event as Parameters<typeof matchFilter>[1])))
  demand(stray === undefined, `only events that fit ${show(filters)}`, `one that does not: ${show(stray)}`)
  const ours = came.filter(({ id }) => g.list.some((event) => event.id === id))
  const due = dueOf(g, filters).sort(newestFirst)
  const sorted = [...ours].sort(newestFirst)
  demand(names(g, sorted) === names(g, due), `for ${show(filters)} ${names(g, due)}`, names(g, sorted))
}

const stored = async (relay: Relay, shape: (g: Gallery) => readonly Filter[]): Promise<void> => {
  const gallery = makeGallery()
  const client = await relay.connect()
  await client.store(...gallery.list)
  await settled(client, client)
  const filters = shape(gallery)
  held(gallery, filters, await client.query(...filters))
}

const live = async (relay: Relay, shape: (g: Gallery) => readonly Filter[]): Promise<void> => {
  const gallery = makeGallery()
  const [observer, publisher] = [await relay.connect(), await relay.connect()]
  const filters = shape(gallery)
  const { closed } = await observer.open("s", ...filters)
  demand(closed === undefined, "an open subscription", `CLOSED ${show(closed)}`)
  await publisher.store(...gallery.list)
  await settled(observer, publisher)
  held(gallery, filters, observer.eventsOf("s"))
}

export const filters: readonly Check[] = Object.entries(shapes).flatMap(([what, shape]) => [
  required(`stored events are found by ${what}`, (relay) => stored(relay, shape)),
  required(`live events are chosen by ${what}`, (relay) => live(relay, shape)),
])
