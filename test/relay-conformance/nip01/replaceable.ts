/**
 * Replaceable and addressable events: one of each address stays, the newest; of one second, the one with the lowest id.
 * `d` tags in their odd forms (P18), and our own courtesy: commands (30079) without a `d` are never replaced (P13).
 */
import type { EventTemplate, NostrEvent } from "../../../src/protocol/event.ts"
import { type Check, demand, optional, required, show } from "../check.ts"
import { now, person, twoById } from "../person.ts"
import { type Relay, settled } from "../relay.ts"

const shapes: Readonly<Record<string, Partial<EventTemplate>>> = {
  "kind 0": { kind: 0 },
  "kind 3": { kind: 3 },
  "kind 10002": { kind: 10_002 },
  "kind 19999": { kind: 19_999 },
  "kind 30023 with a d": { kind: 30_023, tags: [["d", "article"]] },
  "kind 39999 with a d": { kind: 39_999, tags: [["d", "last"]] },
}

/** Publishes in this order, and demands that one alone is served. */
const stays = async (relay: Relay, events: readonly NostrEvent[], due: NostrEvent): Promise<void> => {
  const client = await relay.connect()
  for (const event of events) await client.publish(event)
  await settled(client, client)
  const came = await client.query({ authors: [due.pubkey], kinds: [due.kind] })
  const which = came.map(({ id }) => (id === due.id ? "the right one" : "another"))
  demand(which.join() === "the right one", "the right one alone", which.join(" and ") || "none")
}

/** Publishes both, and demands that both are served. */
const bothStay = async (relay: Relay, events: readonly NostrEvent[]): Promise<void> => {
  const client = await relay.connect()
  await client.store(...events)
  await settled(client, client)
  const came = await client.query({
    authors: events.map(({ pubkey }) => pubkey),
    kinds: events.map(({ kind }) => kind),
  })
  demand(came.length === events.length, `${events.length} events`, String(came.length))
}

const versions = (template: Partial<EventTemplate>): readonly [old: NostrEvent, young: NostrEvent] => {
  const alice = person()
  return [alice.event({ ...template, created_at: now() - 60 }), alice.event({ ...template, created_at: now() - 30 })]
}
const ofOneSecond = (template: Partial<EventTemplate>) => {
  const alice = person()
  const created_at = now() - 30
  return twoById(() => alice.event({ ...template, created_at }))
}

/** Two `d` forms that are one address: the younger takes the place of the older. */
const oneAddress = async (relay: Relay, one: string[][], two: string[][]): Promise<void> => {
  const alice = person()
  const old = alice.event({ kind: 30_023, tags: one, created_at: now() - 60 })
  const young = alice.event({ kind: 30_023, tags: two, created_at: now() - 30 })
  await stays(relay, [old, young], young)
}

const aMinuteAgo = () => now() - 60

export const replaceable: readonly Check[] = [
  ...Object.entries(shapes).flatMap(([what, template]) => [
    required(`${what}: a newer version takes the older one's place`, async (relay) => {
      const [old, young] = versions(template)
      await stays(relay, [old, young], young)
    }),
    required(`${what}: an older version that comes late does not`, async (relay) => {
      const [old, young] = versions(template)
      await stays(relay, [young, old], young)
    }),
  ]),
  ...["kind 0", "kind 10002", "kind 30023 with a d"].flatMap((what) => [
    required(`${what}: of one second the lowest id stays, where it came first`, async (relay) => {
      const [lower, higher] = ofOneSecond(shapes[what] as Partial<EventTemplate>)
      await stays(relay, [lower, higher], lower)
    }),
    required(`${what}: of one second the lowest id stays, where it came last`, async (relay) => {
      const [lower, higher] = ofOneSecond(shapes[what] as Partial<EventTemplate>)
      await stays(relay, [higher, lower], lower)
    }),
  ]),
  required("the same kind of two authors is two events", (relay) =>
    bothStay(relay, [person().event({ kind: 10_002 }), person().event({ kind: 10_002 })]),
  ),
  required("two replaceable kinds of one author are two events", (relay) => {
    const alice = person()
    return bothStay(relay, [alice.event({ kind: 10_002 }), alice.event({ kind: 10_003 })])
  }),
  required("two d tags of one author and kind are two events", (relay) => {
    const alice = person()
    return bothStay(relay, [
      alice.event({ kind: 30_023, tags: [["d", "one"]] }),
      alice.event({ kind: 30_023, tags: [["d", "two"]] }),
    ])
  }),
  required("d tags that differ only in case or in a space at the end are two events", (relay) => {
    const alice = person()
    return bothStay(relay, [
      alice.event({ kind: 30_023, tags: [["d", "one"]] }),
      alice.event({ kind: 30_023, tags: [["d", "One"]] }),
      alice.event({ kind: 30_023, tags: [["d", "one "]] }),
    ])
  }),
  required("d tags with colons, quotes, percent signs and emoji are kept apart", (relay) => {
    const alice = person()
    return bothStay(
      relay,
      ["a:b", "a%b", "a_b", "a'b", 'a"b', "a\\b", "🤙"].map((d) => alice.event({ kind: 30_023, tags: [["d", d]] })),
    )
  }),
  required("an addressable event is found by its d tag", async (relay) => {
    const alice = person()
    const [one, two] = ["one", "two"].map((d) => alice.event({ kind: 30_023, tags: [["d", d]] })) as [
      NostrEvent,
      NostrEvent,
    ]
    const client = await relay.connect()
    await client.store(one, two)
    const came = await client.query({ authors: [alice.pubkey], kinds: [30_023], "#d": ["two"] })
    demand(came.length === 1 && came[0]?.id === two.id, "the event of that d", show(came))
  }),
  required("no d tag and an empty one are one address (P18)", (relay) => oneAddress(relay, [], [["d", ""]])),
  optional('["d"] without a value and an empty one are one address (P18)', (relay) =>
    oneAddress(relay, [["d"]], [["d", ""]]),
  ),
  optional("of two d tags the first is the address: it takes that one's place (P18)", (relay) =>
    oneAddress(
      relay,
      [["d", "first"]],
      [
        ["d", "first"],
        ["d", "second"],
      ],
    ),
  ),
  optional("of two d tags the second is not the address (P18)", (relay) => {
    const alice = person()
    return bothStay(relay, [
      alice.event({ kind: 30_023, tags: [["d", "second"]], created_at: aMinuteAgo() }),
      alice.event({
        kind: 30_023,
        tags: [
          ["d", "first"],
          ["d", "second"],
        ],
      }),
    ])
  }),
  required("a newer version is delivered live", async (relay) => {
    const [old, young] = versions({ kind: 30_023, tags: [["d", "x"]] })
    const [observer, publisher] = [await relay.connect(), await relay.connect()]
    await publisher.store(old)
    await observer.open("s", { authors: [old.pubkey] })
    await publisher.store(young)
    await settled(observer, publisher)
    const came = observer.eventsOf("s").map(({ id }) => (id === young.id ? "new" : "old"))
    demand(came.join() === "old,new", "the old one stored, the new one live", came.join())
  }),
  optional("an older version that comes late is refused, or said to be superseded", async (relay) => {
    const [old, young] = versions({ kind: 10_002 })
    const client = await relay.connect()
    await client.store(young)
    const { ok, message, frame } = await client.publish(old)
    demand(ok === false || String(message) !== "", "OK false, or a word of why", show(frame))
  }),
  optional("a version that was replaced is served no more, also by its id", async (relay) => {
    const [old, young] = versions({ kind: 10_002 })
    const client = await relay.connect()
    await client.store(old)
    await client.store(young)
    const came = await client.query({ ids: [old.id] })
    demand(came.length === 0, "nothing", show(came))
  }),
  optional("a courtesy: commands (30079) without a d are all kept and served, in either order (P13)", async (relay) => {
    const alice = person()
    const tags = [["t", "dispatch-command"]]
    const events = [now() - 30, now() - 30, now() - 60].map((created_at) =>
      alice.event({ kind: 30_079, tags, created_at }),
    )
    const client = await relay.connect()
    await client.store(...events)
    const came = await client.query({ authors: [alice.pubkey], kinds: [30_079] })
    demand(came.length === 3, "3 commands", String(came.length))
    const byId = await client.query({ ids: events.map(({ id }) => id), kinds: [30_079] })
    demand(byId.length === 3, "3 commands by their ids", String(byId.length))
  }),
  optional(
    "a courtesy: a command (30079) without a d that is older than the newest is delivered live (P13)",
    async (relay) => {
      const alice = person()
      const [observer, publisher] = [await relay.connect(), await relay.connect()]
      await observer.open("s", { authors: [alice.pubkey], kinds: [30_079] })
      await publisher.store(alice.event({ kind: 30_079 }))
      await publisher.publish(alice.event({ kind: 30_079, created_at: aMinuteAgo() }))
      await settled(observer, publisher)
      demand(observer.eventsOf("s").length === 2, "2 commands", String(observer.eventsOf("s").length))
    },
  ),
  required("a command (30079) with a d is addressable like any other", async (relay) => {
    const [old, young] = versions({ kind: 30_079, tags: [["d", "x"]] })
    await stays(relay, [old, young], young)
  }),
]
