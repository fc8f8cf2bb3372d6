import * as fc from "fast-check"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { NotCommitted } from "../../src/engine/command-host.ts"
import { commandActor, commandKind, commandProjection } from "../../src/engine/commands.ts"
import { openEngine, type EngineShape } from "../../src/engine/engine.ts"
import { lane } from "../../src/intake/lanes.ts"
import { openIntake, type Batch, type Intake } from "../../src/intake/intake.ts"
import { limits as defaults, type Limits } from "../../src/limits.ts"
import { withId, type NostrEvent, type Tag } from "../../src/protocol/event.ts"
import { heartbeatTemplate } from "../../src/protocol/heartbeat.ts"
import { checkChain, readReceipt, receiptTemplate, type Receipt } from "../../src/protocol/receipt.ts"
import type { Roster } from "../../src/protocol/roster.ts"
import { followers, isEnd, type Status } from "../../src/protocol/status.ts"
import { virtualClock, type VirtualClock } from "../../src/services/clock.ts"
import { openStore, outboxStart, type StoreShape } from "../../src/store/store.ts"
import { keys, nowMs, roster as council, write } from "./council.ts"

const relayA = "ws://a.example"
const relayB = "ws://b.example"
const nowSeconds = nowMs / 1000

interface Room {
  readonly store: StoreShape
  readonly engine: EngineShape
  readonly clock: VirtualClock
  readonly intake: Intake
  readonly counted: string[]
  readonly heard: { readonly instance: string; readonly stored: boolean }[]
  readonly offered: string[]
  readonly authorFloors: Map<string, number>
  /** What the next transactions do: a true at the front is a disk without room. */
  readonly failing: boolean[]
  roster: Roster | undefined
  ready: boolean
  readonly close: () => Promise<void>
}

const openRoom = (given: Partial<Limits> = {}): Room => {
  const limits = { ...defaults, ...given }
  const clock = virtualClock(nowMs)
  const store = openStore(":memory:")
  const projection = commandProjection({
    store,
    limits,
    pubkeyOf: () => keys.timmy,
    mayCommand: () => true,
    rosterVersion: () => 3,
    instance: "now",
    answers: { command: () => [], note: () => [] },
  })
  const engine = openEngine({
    store,
    clock,
    limits,
    kinds: { command: commandKind },
    projections: { command: projection },
  })
  const write = <A>(body: () => Promise<A>): Promise<A> =>
    room.failing.shift() === true ? Promise.reject(new NotCommitted({ reason: "no room" })) : body()
  const intake = openIntake({
    wizard: "timmy",
    pubkey: keys.timmy,
    instance: "now",
    engine: {
      ...engine,
      write: (body) => write(() => engine.write(body)),
      deliver: (envelopes) => write(() => engine.deliver(envelopes)),
      deliverWith: (envelopes, rows) => write(() => engine.deliverWith(envelopes, rows)),
    },
    store,
    clock,
    limits,
    roster: () => room.roster,
    authorFloor: (author) => room.authorFloors.get(author) ?? 0,
    offerRoster: async ({ id }) => void room.offered.push(id),
    offerRelayList: async () => {},
    kinWanted: () => {},
    ready: () => room.ready,
    heard: ({ instance }, stored) => void room.heard.push({ instance, stored }),
    executor: { name: "note", repeat: "safe" },
    count: (reason) => void room.counted.push(reason),
  })
  const room: Room = {
    store,
    engine,
    clock,
    intake,
    authorFloors: new Map(),
    counted: [],
    heard: [],
    offered: [],
    failing: [],
    roster: council,
    ready: true,
    close: async () => {
      await engine.stop()
      store.database.close()
    },
  }
  return room
}

let room: Room
beforeEach(() => {
  room = openRoom()
})
afterEach(() => room.close())

/** Runs a property's body in a room of its own. */
const inRoom = async (body: (room: Room) => Promise<void>, given: Partial<Limits> = {}): Promise<void> => {
  const own = openRoom(given)
  try {
    await body(own)
  } finally {
    await own.close()
  }
}

const commands = (events: readonly NostrEvent[], more: Partial<Batch> = {}): Batch => ({
  subscription: "commands",
  relay: relayA,
  events,
  ...more,
})
const own = (events: readonly NostrEvent[], more: Partial<Batch> = {}): Batch => ({
  ...commands(events, more),
  subscription: "own",
})

const stateOf = ({ store }: Room, { id }: NostrEvent): string | undefined =>
  store.command.get(commandActor(id, "timmy"))?.state

const taken = ({ store }: Room): readonly string[] =>
  store.command
    .list(10_000)
    .map(({ id }) => id)
    .toSorted()

const cursorOf = ({ store }: Room, relay = relayA, subscription = "commands"): number | undefined =>
  store.cursor.get(keys.timmy, relay, subscription)

/** The receipts that this life owes for a command. */
const owed = ({ store }: Room, command: NostrEvent): readonly Receipt[] =>
  store.outbox
    .pending("publish", "timmy", outboxStart, 10_000)
    .flatMap(({ payload }) => readReceipt(JSON.parse(payload) as NostrEvent) ?? [])
    .filter((receipt) => receipt.command === command.id)

const sign = (pubkey: string, template: Parameters<typeof withId>[1]): NostrEvent => ({
  ...withId(pubkey, template),
  sig: "00".repeat(64),
})

/** A chain that an earlier life left at a relay: the states after `received`. */
const earlierChain = (command: NostrEvent, statuses: readonly Status[], by = keys.timmy): readonly NostrEvent[] => {
  const events: NostrEvent[] = []
  for (const status of ["received" as const, ...statuses]) {
    const prev = events.at(-1)?.id
    const fields = { command: command.id, author: command.pubkey, wizard: "timmy", status, n: events.length + 1 }
    const rest = { roster: 3, instance: "then", createdAt: nowSeconds - 60, content: {} }
    events.push(sign(by, receiptTemplate({ ...fields, ...rest, ...(prev !== undefined && { prev }) })))
  }
  return events
}

/** States as one life may have passed through them. */
const walk: fc.Arbitrary<readonly Status[]> = fc.array(fc.nat(), { maxLength: 8 }).map((turns) => {
  const path: Status[] = []
  let at: Status = "received"
  for (const turn of turns) {
    const next: readonly Status[] = followers[at]
    if (next.length === 0) break
    at = next[turn % next.length] as Status
    path.push(at)
  }
  return path
})

const task = (number: number, more: Partial<Parameters<typeof write>[0]> = {}): NostrEvent =>
  write({ content: `@timmy task ${number}`, ...more })

describe("before a roster", () => {
  it("N1: nobody is judged, nothing is seen, and the batch is to be read again", async () => {
    room.roster = undefined
    const events = [task(1), task(2, { author: keys.stranger })]
    await expect(room.intake.take(commands(events, { cursorMs: nowMs }))).rejects.toMatchObject({ _tag: "NotReady" })
    expect([room.store.journal.last(), room.counted, cursorOf(room)]).toEqual([0, [], undefined])
    room.roster = council
    await room.intake.take(commands(events, { cursorMs: nowMs }))
    expect(taken(room)).toEqual([events[0]?.id])
  })

  it("N1: roster versions are offered in their order, and the cursor follows when they are stored", async () => {
    const versions = [1, 2, 3].map((n) => write({ kind: 78, content: String(n) }))
    const batch = { subscription: "roster", relay: relayA, events: versions, cursorMs: nowMs - 5 }
    room.failing.push(true)
    await expect(room.intake.take(batch)).rejects.toMatchObject({ _tag: "NotCommitted" })
    expect(cursorOf(room, relayA, "roster")).toBeUndefined()
    await room.intake.take(batch)
    expect(room.offered.slice(3)).toEqual(versions.map(({ id }) => id))
    expect(cursorOf(room, relayA, "roster")).toBe(nowMs - 5)
  })
})

describe("who may not command", () => {
  const others = fc.constantFrom([keys.stranger, "stranger"], [keys.kimi, "wizard"], [keys.manus, "revoked"])
  const forms: fc.Arbitrary<Tag[]> = fc.constantFrom<Tag[]>(
    [],
    [["p", keys.timmy]],
    [
      ["p", keys.timmy],
      ["d", "x"],
    ],
  )

  it("N2: leaves an id in `seen` and a count, and no row", () =>
    fc.assert(
      fc.asyncProperty(others, forms, fc.constantFrom(1, 30079), fc.nat(3), async ([author, why], tags, kind, again) =>
        inRoom(async (room) => {
          const event = write({ content: "@timmy forbidden", author: author as string, tags, kind })
          for (let i = 0; i <= again; i++) await room.intake.take(commands([event, event], { cursorMs: nowMs }))
          expect(room.store.seen.has(event.id, "timmy")).toBe(true)
          expect(room.counted).toEqual([why])
          expect([room.store.journal.last(), taken(room), owed(room, event)]).toEqual([0, [], []])
          expect(cursorOf(room)).toBe(nowMs)
        }),
      ),
      { numRuns: 40 },
    ))

  it("N8: a member is told so once an hour, and what is not told is counted", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ waitSeconds: fc.nat(4000), events: fc.integer({ min: 1, max: 4 }) }), { maxLength: 8 }),
        (batches) =>
          inRoom(async (room) => {
            let [toldMs, told, written] = [Number.NEGATIVE_INFINITY, 0, 0]
            for (const { waitSeconds, events } of batches) {
              await room.clock.advance(waitSeconds * 1000)
              const createdAt = Math.floor(room.clock.nowMs() / 1000)
              const fresh = Array.from({ length: events }, () =>
                write({ content: `@timmy ${written++}`, author: keys.member, createdAt }),
              )
              await room.intake.take(commands(fresh))
              if (room.clock.nowMs() - toldMs >= defaults.refusalSeconds * 1000) {
                toldMs = room.clock.nowMs()
                told += 1
              }
            }
            const rows = room.store.command.list(100)
            expect(rows).toHaveLength(told)
            for (const { state, reason } of rows) {
              expect(state).toBe("rejected")
              expect(reason).toMatch(/members command in their channels: write it in #workers/)
            }
            expect(room.counted).toEqual(Array.from({ length: written - told }, () => "forbidden"))
          }),
      ),
      { numRuns: 40 },
    ))
})

describe("hide and mute", () => {
  const hide = (id: string, author: string = keys.alexander) =>
    write({ kind: 43, content: "{}", author, tags: [["e", id]] })

  it("an operator's 43 cancels what has not begun, and nobody else's does", async () => {
    const [one, two] = [write({ content: "@timmy one" }), write({ content: "@timmy two" })] as const
    await room.intake.take(commands([one, two]))
    await room.engine.deliver([{ actor: commandActor(two.id, "timmy"), cause: "begin", event: { type: "begin" } }])
    await room.intake.take(commands([keys.member, keys.stranger, keys.kimi].map((key) => hide(one.id, key))))
    expect([stateOf(room, one), stateOf(room, two)]).toEqual(["acknowledged", "working"])
    await room.intake.take(commands([hide(one.id), hide(two.id), hide("ab".repeat(32))]))
    expect([stateOf(room, one), stateOf(room, two)]).toEqual(["cancelled", "working"])
    expect(room.store.command.get(commandActor(one.id, "timmy"))?.reason).toBe("hidden by an operator")
  })

  it("an operator's 44 mutes a member in that channel, never an operator nor a wizard", async () => {
    const id = council.channels[0]?.id ?? ""
    const said = (author: string) => write({ kind: 42, content: "@timmy x", author, tags: [["e", id, "", "root"]] })
    const mute = (author: string, ...tags: Tag[]) =>
      write({ kind: 44, content: "{}", author, tags: [["p", keys.member], ["p", keys.deputy], ...tags] })
    const isHeard = async (author: string): Promise<boolean> => {
      const before = room.counted.length
      await room.intake.take(commands([said(author)]))
      return !room.counted.slice(before).includes("muted")
    }
    await room.intake.take(commands([mute(keys.member, ["e", id]), mute(keys.alexander, ["e", "ab".repeat(32)])]))
    expect(await isHeard(keys.member)).toBe(true)
    room.clock.advance(1000)
    await room.intake.take(commands([mute(keys.alexander, ["e", id])]))
    const later = write({ kind: 42, content: "@timmy y", author: keys.member, tags: [["e", id, "", "root"]] })
    await room.intake.take(commands([later]))
    expect(room.counted.at(-1)).toBe("muted")
    expect(await isHeard(keys.deputy)).toBe(true)
  })
})

describe("a wizard's child", () => {
  const now = nowMs / 1000
  const root = write({ content: "@allegro see to it", tags: [["p", keys.allegro]] })
  const childOf = (
    parent: NostrEvent,
    depth: number,
    more: { author?: string; content?: string; rootId?: string } = {},
  ): NostrEvent =>
    write({
      content: more.content ?? "@timmy do it",
      author: more.author ?? keys.allegro,
      createdAt: now,
      tags: [
        ["p", keys.timmy],
        ["e", parent.id, "", "parent"],
        ["e", more.rootId ?? root.id, "", "root"],
        ["depth", String(depth)],
      ],
    })
  const kin = (events: readonly NostrEvent[]): Batch => ({ ...commands(events), subscription: "kin" })

  it("N9: waits unseen for parent and root, and is then taken up in the tree of its root", async () => {
    const child = childOf(root, 1)
    await room.intake.take(commands([child], { cursorMs: nowMs }))
    expect([taken(room), room.intake.wanted(), room.store.seen.has(child.id, "timmy")]).toEqual([[], [root.id], false])
    await room.intake.take(kin([root]))
    expect([stateOf(room, child), room.intake.wanted()]).toEqual(["acknowledged", []])
    expect(room.store.command.get(commandActor(child.id, "timmy"))).toMatchObject({ trace: root.id, parent: root.id })
    expect(taken(room)).toEqual([child.id])
  })

  it("N9: whose parents nobody has is left unseen, and is taken up when it is read again with them", async () => {
    const child = childOf(root, 1)
    await room.intake.take(commands([child]))
    room.clock.advance(defaults.kinSecondsMax * 1000)
    expect([room.counted, room.intake.wanted()]).toEqual([["kin-missing"], []])
    await room.intake.take(commands([child]))
    await room.intake.take(kin([root]))
    expect(stateOf(room, child)).toBe("acknowledged")
  })

  it("P23: of its own key is none, and one that waits makes no more wait than the bound", async () => {
    const own = childOf(root, 1, { author: keys.timmy })
    await room.intake.take(kin([root]))
    await room.intake.take(commands([own]))
    expect([taken(room), room.counted]).toEqual([[], ["wizard"]])
    const strays = Array.from({ length: defaults.kinRowsMax + 5 }, (_, n) =>
      childOf({ ...root, id: n.toString(16).padStart(64, "0") }, 1),
    )
    await room.intake.take(commands(strays))
    expect(room.intake.wanted()).toHaveLength(defaults.kinRowsMax)
    expect(room.counted.filter((why) => why === "kin-missing")).toHaveLength(5)
  })

  it("P23 P29: no more than so many in a minute; the rest is refused, told once", async () => {
    await room.intake.take(kin([root]))
    const most = defaults.authorCommandsPerMinuteMax
    const many = Array.from({ length: most + 10 }, (_, n) => childOf(root, 1, { content: `@timmy ${n}` }))
    await room.intake.take(commands(many))
    const rows = room.store.command.list(1000)
    expect(rows.filter(({ state }) => state === "acknowledged")).toHaveLength(most)
    expect(rows.filter(({ state }) => state === "rejected").map(({ reason }) => reason)).toEqual([
      expect.stringContaining(`more than ${most} commands in a minute`),
    ])
    expect(room.counted).toEqual(Array.from({ length: 9 }, () => "forbidden"))
    room.clock.advance(60_000)
    const later = childOf(root, 1, { content: "@timmy later" })
    await room.intake.take(commands([later]))
    expect(stateOf(room, later)).toBe("acknowledged")
  })
})

describe("what is taken up", () => {
  it("N3 P1 P4 P13 P18 P22: each once, in any order, over two relays, however often a write fails", () => {
    const d: fc.Arbitrary<Tag[]> = fc.constantFrom<Tag[]>(
      [],
      [["d"]],
      [["d", ""]],
      [["d", "same"]],
      [
        ["d", ""],
        ["d", "b"],
      ],
    )
    // One second, one author, mostly one text: only ids tell them apart.
    const event = fc
      .record({ tags: d, text: fc.constantFrom("same", "help", "other"), second: fc.nat(2), stranger: fc.boolean() })
      .map(({ tags, text, second, stranger }) =>
        write({
          content: `@timmy ${text}`,
          tags,
          createdAt: nowSeconds - second,
          author: stranger ? keys.stranger : keys.alexander,
        }),
      )
    const delivery = fc.record({
      picks: fc.array(fc.nat(), { maxLength: 6 }),
      relay: fc.constantFrom(relayA, relayB),
      fails: fc.boolean(),
    })
    return fc.assert(
      fc.asyncProperty(
        fc.array(event, { minLength: 1, maxLength: 12 }),
        fc.array(delivery),
        async (events, deliveries) =>
          inRoom(async (room) => {
            const brought = new Set<string>()
            const cursors = new Map<string, number>()
            for (const [at, { picks, relay, fails }] of deliveries.entries()) {
              const batch = picks.map((pick) => events[pick % events.length] as NostrEvent)
              const cursorMs = nowMs - 1000 + at
              room.failing.push(fails)
              const outcome = await room.intake.take(commands(batch, { relay, cursorMs })).then(
                () => "committed",
                () => "rejected",
              )
              expect(outcome).toBe(fails ? "rejected" : "committed")
              if (!fails) {
                cursors.set(relay, cursorMs)
                for (const { id, pubkey } of batch) if (pubkey === keys.alexander) brought.add(id)
              }
              expect(cursorOf(room, relay)).toBe(cursors.get(relay))
              expect(taken(room)).toEqual([...brought].toSorted())
            }
            for (const id of brought)
              expect(room.store.journal.of(commandActor(id, "timmy")).map(({ cause }) => cause)).toEqual([id])
          }),
      ),
      { numRuns: 60 },
    )
  })

  it("P6: a cursor is never ahead of the clock, and never goes back", async () => {
    await room.intake.take(commands([], { cursorMs: nowMs + 3_600_000 }))
    expect(cursorOf(room)).toBe(nowMs)
    await room.intake.take(commands([task(1)], { cursorMs: nowMs - 10 }))
    expect(cursorOf(room)).toBe(nowMs)
  })

  it("P6: a cursor that a clock ran ahead with comes back with the clock, whatever it is moved to next", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            stepMs: fc.constantFrom(0, 0, 3_600_000, -3_600_000, -5000),
            lagMs: fc.nat(20_000),
            subscription: fc.constantFrom("commands", "own"),
          }),
          { minLength: 1, maxLength: 12 },
        ),
        async (moves) =>
          inRoom(async (room) => {
            const marks = new Map<string, number>()
            for (const { stepMs, lagMs, subscription } of moves) {
              room.clock.step(stepMs)
              const cursorMs = room.clock.nowMs() - lagMs
              await room.intake.take({ ...commands([], { cursorMs }), subscription })
              const before = marks.get(subscription) ?? 0
              const mark = before > room.clock.nowMs() ? cursorMs : Math.max(before, cursorMs)
              marks.set(subscription, mark)
              expect(cursorOf(room, relayA, subscription)).toBe(mark)
              expect(mark).toBeLessThanOrEqual(room.clock.nowMs())
            }
          }),
      ),
      { numRuns: 40 },
    ))

  it("N10: the first relay wins, the others are remembered once each, in their order and no more than may be", () => {
    const relays = ["ws://a", "ws://b", "ws://c", "ws://d", "ws://e"]
    return fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...relays), { minLength: 1, maxLength: 12 }),
        fc.boolean(),
        (order, atOnce) =>
          inRoom(
            async (room) => {
              const event = task(1)
              const takes = order.map((relay, at) => async () => {
                if (!atOnce) room.clock.advance(at)
                await room.intake.take(commands([event], { relay }))
              })
              if (atOnce) await Promise.all(takes.map((take) => take()))
              else for (const take of takes) await take()
              const actor = commandActor(event.id, "timmy")
              const [first, ...others] = [...new Set(order)]
              expect(room.store.command.get(actor)?.relay).toBe(first)
              const remembered = room.store.seenOn.of(actor)
              const inOrder = remembered.map(({ relay }) => relay)
              expect(atOnce ? inOrder.toSorted() : inOrder).toEqual(
                atOnce ? others.slice(0, 3).toSorted() : others.slice(0, 3),
              )
              expect(room.store.journal.of(actor)).toHaveLength(1)
              await room.engine.write(() => room.store.seen.sweep(room.clock.nowMs() + 1))
              expect([room.store.seenOn.of(actor), room.store.command.get(actor)?.relay]).toEqual([[], first])
            },
            { seenOnRelaysMax: 3 },
          ),
      ),
      { numRuns: 40 },
    )
  })

  it("holds, for each question and span of time, what was committed of it and nothing else", () => {
    const made = fc.record({
      author: fc.constantFrom(keys.alexander, keys.deputy, keys.stranger, keys.kimi),
      toUs: fc.boolean(),
      kind: fc.constantFrom(1, 30079),
      text: fc.constantFrom("@timmy do", "hello", "@kimi do"),
      age: fc.nat(50),
      fails: fc.boolean(),
    })
    return fc.assert(
      fc.asyncProperty(fc.array(made, { maxLength: 12 }), fc.integer({ min: -1, max: 51 }), (list, age) =>
        inRoom(async (room) => {
          const events = list.map(({ author, toUs, kind, text, age }, n) =>
            write({
              author,
              kind,
              content: `${text} ${n}`,
              createdAt: nowSeconds - age,
              tags: toUs ? [["p", keys.timmy]] : [["p", keys.kimi]],
            }),
          )
          for (const [at, event] of events.entries()) {
            room.failing.push(list[at]?.fails === true)
            await room.intake.take(commands([event])).catch(() => undefined)
          }
          const since = nowSeconds - age
          const committed = events.filter((event, at) => list[at]?.fails === false && event.created_at >= since)
          const held = (bit: number): readonly string[] =>
            room.store.seen
              .held("timmy", bit, since, 100)
              .map(({ id }) => id)
              .toSorted()
          const ids = (fits: (event: NostrEvent) => boolean): readonly string[] =>
            committed
              .filter(fits)
              .map(({ id }) => id)
              .toSorted()
          expect(held(lane.byOperators)).toEqual(
            ids(({ pubkey }) => council.operators.some((one) => one.pubkey === pubkey)),
          )
          expect(held(lane.toUs)).toEqual(ids(({ tags }) => tags.some(([, value]) => value === keys.timmy)))
          expect(room.store.seen.held("kimi", lane.toUs, 0, 100)).toEqual([])
        }),
      ),
      { numRuns: 40 },
    )
  })

  it("N3: a batch without a cursor moves none", async () => {
    await room.intake.take(commands([task(1)]))
    expect([taken(room).length, cursorOf(room)]).toEqual([1, undefined])
  })

  it("P25: what has ended here is not taken up when it is published again", async () => {
    const event = task(1)
    await room.intake.take(commands([event]))
    const actor = commandActor(event.id, "timmy")
    await room.engine.deliver([{ actor, cause: "a person", event: { type: "cancel", reason: "enough" } }])
    const before = room.store.journal.last()
    await room.intake.take(commands([event, event], { relay: relayB, cursorMs: nowMs }))
    expect([room.store.journal.last(), stateOf(room, event)]).toEqual([before, "cancelled"])
  })

  it("a command first seen long after its date ends expired and is never begun", async () => {
    const event = task(1, { createdAt: nowSeconds - defaults.commandAgeSecondsMax - 1 })
    await room.intake.take(commands([event]))
    expect(owed(room, event).map(({ status }) => status)).toEqual(["received", "expired"])
  })
})

describe("the floor", () => {
  it("N5 P25: what an earlier life had begun is interrupted, however old, and its chain goes on; nothing else below it", () =>
    fc.assert(
      fc.asyncProperty(walk, fc.constantFrom("left", "commands"), async (statuses, subscription) =>
        inRoom(async (room) => {
          const [old, begun] = [1, 2].map((n) => task(n, { createdAt: nowSeconds - 3 * 24 * 3600 })) as [
            NostrEvent,
            NostrEvent,
          ]
          await room.engine.write(() => room.store.cursor.setFloor(keys.timmy, relayA, nowSeconds - 900))
          room.authorFloors.set(keys.alexander, nowSeconds - 900)
          const chain = earlierChain(begun, statuses)
          await room.intake.take(own(chain))
          const ended = isEnd(statuses.at(-1) ?? "received")
          expect(room.store.ownReceipt.open("timmy", 10)).toEqual(ended ? [] : [begun.id])
          const batch = { ...commands([old, begun], { cursorMs: nowMs, phase: "stored" }), subscription }
          for (const _ of "twice") await room.intake.take(batch)
          expect([stateOf(room, begun), stateOf(room, old)]).toEqual([ended ? undefined : "interrupted", undefined])
          expect(room.store.seen.has(old.id, "timmy")).toBe(false)
          expect(room.store.ownReceipt.open("timmy", 10)).toEqual([])
          // What is asked for by id says nothing about time.
          expect(cursorOf(room, relayA, "left")).toBeUndefined()
          // An end is not taken up, and what was interrupted already is not told of twice (C4).
          const isNews = !ended && statuses.at(-1) !== "interrupted"
          expect(owed(room, begun).map(({ n, prev, status }) => [n, prev, status])).toEqual(
            isNews ? [[chain.length + 1, chain.at(-1)?.id, "interrupted"]] : [],
          )
        }),
      ),
      { numRuns: 40 },
    ))

  it("N4 P25: a command dated before it is passed over for that relay only, unseen, in any order", () => {
    const floor = fc.integer({ min: nowSeconds - 100, max: nowSeconds })
    const dates = fc.array(fc.integer({ min: nowSeconds - 110, max: nowSeconds }), { minLength: 1, maxLength: 6 })
    return fc.assert(
      fc.asyncProperty(floor, floor, dates, fc.boolean(), async (floorA, floorB, created, isTurned) =>
        inRoom(async (room) => {
          room.store.cursor.setFloor(keys.timmy, relayA, floorA)
          room.store.cursor.setFloor(keys.timmy, relayB, floorB)
          const events = created.map((createdAt, i) => task(i, { createdAt }))
          const relays = isTurned ? [relayB, relayA] : [relayA, relayB]
          const [first, second] = relays as [string, string]
          const floors: Record<string, number> = { [relayA]: floorA, [relayB]: floorB }
          await room.intake.take(commands(events, { relay: first }))
          const above = events.filter((event) => event.created_at >= (floors[first] as number))
          expect(taken(room)).toEqual(above.map(({ id }) => id).toSorted())
          expect(events.some(({ id }) => room.store.seen.has(id, "timmy"))).toBe(false)
          await room.intake.take(commands(events, { relay: second }))
          const anywhere = events.filter((event) => event.created_at >= Math.min(floorA, floorB))
          expect(taken(room)).toEqual(anywhere.map(({ id }) => id).toSorted())
        }),
      ),
      { numRuns: 60 },
    )
  })

  it("N4 P25 P29: what an operator wrote before the right to command came is passed over, unseen, at every relay", () =>
    inRoom(async (room) => {
      const before = task(1, { createdAt: nowSeconds - 50 })
      const after = task(2, { createdAt: nowSeconds - 40 })
      room.authorFloors.set(before.pubkey, nowSeconds - 45)
      await room.intake.take(commands([after, before], { relay: relayA }))
      await room.intake.take(commands([before], { relay: relayB }))
      expect(taken(room)).toEqual([after.id])
      expect(room.store.seen.has(before.id, "timmy")).toBe(false)
      expect(room.counted).toEqual(["before the floor", "before the floor"])
    }))
})

describe("what our own receipts tell", () => {
  /** Any order, some twice, over some batches. */
  const scattered = fc.record({ order: fc.infiniteStream(fc.nat()), batches: fc.integer({ min: 1, max: 3 }) })
  const scatter = (events: readonly NostrEvent[], { order, batches }: { order: Iterable<number>; batches: number }) => {
    const stream = order[Symbol.iterator]()
    const next = (): number => Number(stream.next().value)
    const all = [...events, ...events.filter(() => next() % 3 === 0)]
    const shuffled = all.map((event) => ({ event, at: next() })).toSorted((a, b) => a.at - b.at)
    return Array.from({ length: batches }, (_, batch) =>
      shuffled.flatMap(({ event }, at) => (at % batches === batch ? [event] : [])),
    )
  }

  it("N5 P25: with an empty home, an end is final, and what had begun is interrupted on the same chain", () =>
    fc.assert(
      fc.asyncProperty(walk, scattered, fc.boolean(), async (statuses, order, fails) =>
        inRoom(async (room) => {
          const command = task(1)
          const chain = earlierChain(command, statuses)
          for (const events of scatter(chain, order)) {
            room.failing.push(fails)
            const take = (): Promise<void> => room.intake.take(own(events))
            await take().catch(take)
          }
          await room.intake.importOwn()
          await room.intake.take(commands([command]))
          const last = chain.at(-1)?.tags.find(([name]) => name === "status")?.[1] as Status
          const whole = [...chain.flatMap((event) => readReceipt(event) ?? []), ...owed(room, command)]
          expect(checkChain(whole)).toBeUndefined()
          expect(stateOf(room, command)).toBe(isEnd(last) ? undefined : "interrupted")
          expect(room.store.seen.has(command.id, "timmy")).toBe(isEnd(last))
          expect(room.store.attempt.allOpen()).toEqual([])
        }),
      ),
      { numRuns: 100 },
    ))

  it("N5 P25: with a home from a copy, it goes on from the longer chain, and an end found there is final", () =>
    fc.assert(
      fc.asyncProperty(walk, fc.nat(2), scattered, async (statuses, known, order) =>
        inRoom(async (room) => {
          const command = task(1)
          await room.intake.take(commands([command]))
          const actor = commandActor(command.id, "timmy")
          // The copy knows it as acknowledged or working; the receipts that it owes are on the relay too.
          if (known > 0) await room.engine.deliver([{ actor, cause: "begin", event: { type: "begin" } }])
          const held = owed(room, command)
          const from = held.at(-1) as Receipt
          const path = [...statuses]
          const chain: Receipt[] = [...held]
          for (const status of path) {
            const before = chain.at(-1) as Receipt
            if (!(followers[before.status] as readonly Status[]).includes(status)) break
            const fields = { ...before, status, prev: before.id, n: before.n + 1, instance: "then" }
            const event = sign(keys.timmy, receiptTemplate(fields))
            chain.push(readReceipt(event) as Receipt)
          }
          const events = chain.slice(held.length).map((receipt) => sign(keys.timmy, receiptTemplate(receipt)))
          for (const batch of scatter(events, order)) await room.intake.take(own(batch))
          await room.intake.importOwn()
          await room.intake.importOwn()
          const last = chain.at(-1) as Receipt
          const whole = new Map([...chain, ...owed(room, command)].map((receipt) => [receipt.id, receipt]))
          expect(checkChain([...whole.values()])).toBeUndefined()
          const expected = last.n === from.n ? from.status : isEnd(last.status) ? last.status : "interrupted"
          expect(stateOf(room, command)).toBe(expected)
          expect(room.store.attempt.allOpen().length).toBe(expected === "working" ? 1 : 0)
        }),
      ),
      { numRuns: 100 },
    ))

  it("N5 P29: receipts that others sign, or that name another wizard, tell nothing", async () => {
    const command = task(1)
    const forged = earlierChain(command, ["acknowledged", "cancelled"], keys.kimi)
    await room.intake.take(own(forged))
    await room.intake.take(commands([command]))
    expect(stateOf(room, command)).toBe("acknowledged")
  })

  it("N5: the receipts of this life, read back, change nothing", async () => {
    const command = task(1)
    await room.intake.take(commands([command]))
    const receipts = owed(room, command).map((receipt) => sign(keys.timmy, receiptTemplate(receipt)))
    await room.intake.take(own(receipts, { cursorMs: nowMs }))
    const before = room.store.journal.last()
    await room.intake.importOwn()
    expect([room.store.journal.last(), stateOf(room, command)]).toEqual([before, "acknowledged"])
    expect(cursorOf(room, relayA, "own")).toBe(nowMs)
  })

  it("P26: a heartbeat of our key by another instance is heard, with whether the relay had it before", () => {
    const beat = (instance: string, by = keys.timmy): NostrEvent =>
      sign(
        by,
        heartbeatTemplate({
          wizard: "timmy",
          state: "idle",
          queue: 0,
          seq: 1,
          interval: 300,
          instance,
          createdAt: nowSeconds,
          keepSeconds: 60,
        }),
      )
    for (const event of [beat("then"), beat("now"), beat("thief", keys.kimi)]) room.intake.hear(event, true)
    room.intake.hear(beat("elsewhere"), false)
    expect(room.heard).toEqual([
      { instance: "then", stored: true },
      { instance: "elsewhere", stored: false },
    ])
  })
})

describe("when there is no taking up", () => {
  it("N6: while the wizard may not, nothing is seen or moved, and the batch is read again", async () => {
    room.ready = false
    const batch = commands([task(1), task(2, { author: keys.stranger })], { cursorMs: nowMs })
    await expect(room.intake.take(batch)).rejects.toMatchObject({ _tag: "NotReady" })
    expect([taken(room), room.counted, cursorOf(room)]).toEqual([[], [], undefined])
    room.ready = true
    await room.intake.take(batch)
    expect([taken(room).length, room.counted, cursorOf(room)]).toEqual([1, ["stranger"], nowMs])
  })

  it("N6 P28: a full queue holds the cursor until the relay was read again; what has room, verbs and strangers are settled all the same", async () => {
    await inRoom(
      async (room) => {
        const tasks = [1, 2, 3, 4].map((number) => task(number))
        const verb = write({ content: "@timmy resume" })
        const stranger = task(9, { author: keys.stranger })
        const batch = commands([...tasks, stranger, verb], { cursorMs: nowMs })
        await room.intake.take(batch)
        expect(tasks.map((one) => stateOf(room, one))).toEqual(["acknowledged", "acknowledged", undefined, undefined])
        expect([stateOf(room, verb), room.store.seen.has(stranger.id, "timmy")]).toEqual(["acknowledged", true])
        expect(cursorOf(room)).toBeUndefined()
        expect(room.intake.isHolding()).toBe(true)
        await room.intake.take(commands([], { cursorMs: nowMs, phase: "live" }))
        expect(cursorOf(room)).toBeUndefined()
        await room.engine.deliver(
          tasks.slice(0, 2).map(({ id }) => ({
            actor: commandActor(id, "timmy"),
            cause: "room",
            event: { type: "cancel", reason: "room" },
          })),
        )
        expect(room.intake.resume()).toEqual([relayA])
        // Live events that come before the reading is over move nothing: what was left may still be ahead.
        await room.intake.take(commands([], { cursorMs: nowMs, phase: "live" }))
        expect(cursorOf(room)).toBeUndefined()
        await room.intake.take(commands(batch.events, { cursorMs: nowMs, phase: "stored" }))
        expect(tasks.map((one) => stateOf(room, one))).toEqual([
          "cancelled",
          "cancelled",
          "acknowledged",
          "acknowledged",
        ])
        expect(cursorOf(room)).toBe(nowMs)
      },
      { queueRowsMax: 2 },
    )
  })
})
