/** Authority as a table, cell by cell: standing × class of the author × class of the wizard × place × act. */
import { describe, expect, it } from "vitest"
import { rightOf, type Act } from "../../src/intake/rights.ts"
import type { Lineage } from "../../src/protocol/command.ts"
import { Kind } from "../../src/protocol/kinds.ts"
import { placeOf, type Place } from "../../src/protocol/place.ts"
import { wizardClasses, type Roster } from "../../src/protocol/roster.ts"
import { verbs } from "../../src/protocol/verbs.ts"

const key = (n: number): string => n.toString(16).padStart(64, "0")
const operator = key(1)
const member = key(2)
const stranger = key(3)
const revoked = key(4)
/** In a private room, and in nothing else. */
const roommate = key(5)
/** A class of a newer version is among them. */
const classes = [...wizardClasses, "seer"] as const
type Class = (typeof classes)[number]
/** Two wizards of each class: one inside of #workers and the room, one outside. */
const pubkeyOf = (name: Class, inside: boolean): string => key(100 + classes.indexOf(name) * 2 + (inside ? 0 : 1))
const nameOf = (name: Class, inside: boolean): string => `${name}-${inside ? "in" : "out"}`
const insides = classes.map((name) => pubkeyOf(name, true))

const roster: Roster = {
  version: 1,
  id: key(9),
  operators: [{ pubkey: operator, label: "" }],
  wizards: classes.flatMap((name) =>
    [true, false].map((inside) => ({ name: nameOf(name, inside), pubkey: pubkeyOf(name, inside), class: name })),
  ),
  channels: [
    { name: "workers", id: key(20) },
    { name: "others", id: key(21) },
  ],
  rooms: [
    { name: "quiet", members: [member, ...insides] },
    { name: "closed", members: [roommate, ...insides] },
  ],
  members: [{ channel: "workers", pubkey: member }, ...insides.map((pubkey) => ({ channel: "workers", pubkey }))],
  relays: [],
  revoked: [revoked],
}

const places = {
  none: { type: "none" },
  elsewhere: { type: "elsewhere" },
  "their channel": { type: "channel", name: "workers" },
  "another channel": { type: "channel", name: "others" },
  "their room": { type: "room", name: "quiet" },
  "another room": { type: "room", name: "closed" },
} as const satisfies Record<string, Place>
type PlaceName = keyof typeof places

const acts = ["work", ...Object.keys(verbs)] as Act[]

/** What somebody may do who is no operator. What is not named here is for operators. */
const notOnlyForOperators: Readonly<Partial<Record<Act, "allowed" | "own">>> = {
  work: "allowed",
  "status check": "allowed",
  help: "allowed",
  queue: "allowed",
  why: "allowed",
  show: "allowed",
  cancel: "own",
  retry: "own",
}

/** Who does work for somebody who is no operator, and passes commands on. */
const isWorking: Readonly<Record<Class, boolean>> = {
  tempo: true,
  local: true,
  implementation: true,
  worker: true,
  researcher: true,
  monitor: false,
  seer: false,
}

const byAct = (target: Class, act: Act): string =>
  act === "work" && !isWorking[target] ? "refused" : (notOnlyForOperators[act] ?? "refused")

const memberMay = (place: PlaceName, target: Class, inside: boolean, act: Act): string =>
  inside && (place === "their channel" || place === "their room") ? byAct(target, act) : "refused"

const told = (ask: { author: string; target: Class; inside: boolean; act: Act; place: PlaceName; child?: Lineage }) => {
  const right = rightOf(roster, {
    author: ask.author,
    wizard: nameOf(ask.target, ask.inside),
    act: ask.act,
    place: places[ask.place],
    ...(ask.child !== undefined && { child: ask.child }),
  })
  if (right.right === "refused") expect(right.reason).toMatch(/\w{3}/)
  return right.right === "ignored" ? `ignored: ${right.why}` : right.right
}

const eachCell = (see: (place: PlaceName, target: Class, inside: boolean, act: Act) => void): number => {
  let cells = 0
  for (const place of Object.keys(places) as PlaceName[])
    for (const target of classes)
      for (const inside of [true, false])
        for (const act of acts) {
          see(place, target, inside, act)
          cells += 1
        }
  return cells
}

describe("authority: every cell", () => {
  const all = Object.keys(places).length * classes.length * 2 * acts.length

  it.each([
    ["an operator", operator, "allowed"],
    ["RI1: a stranger", stranger, "ignored: stranger"],
    ["RI1: a revoked key", revoked, "ignored: revoked"],
    ...classes.map((name) => [`RI2: the text of a ${name}`, pubkeyOf(name, true), "ignored: wizard"] as const),
  ] as const)("%s", (_, author, right) => {
    const cells = eachCell((place, target, inside, act) =>
      expect(told({ author, target, inside, act, place }), `${place} ${target} ${act}`).toBe(right),
    )
    expect(cells).toBe(all)
  })

  it("a member", () => {
    eachCell((place, target, inside, act) =>
      expect(told({ author: member, target, inside, act, place }), `${place} ${target} ${inside} ${act}`).toBe(
        memberMay(place, target, inside, act),
      ),
    )
  })

  it("a member of a room alone, there", () => {
    eachCell((place, target, inside, act) =>
      expect(told({ author: roommate, target, inside, act, place }), `${place} ${target} ${inside} ${act}`).toBe(
        inside && place === "another room" ? byAct(target, act) : "refused",
      ),
    )
  })

  it.each(classes)("RI3, RI4: a child by a %s", (sender) => {
    const roots = { operator, member, stranger, revoked, wizard: pubkeyOf("worker", true) }
    for (const [root, rootAuthor] of Object.entries(roots)) {
      eachCell((place, target, inside, act) => {
        const child = { rootAuthor, rootPlace: places[place], private: false }
        const ofRoot =
          root === "operator" ? "allowed" : root === "member" ? memberMay(place, target, inside, act) : "no"
        const own = isWorking[sender] ? byAct(target, act) : "refused"
        const both = ofRoot === "no" || ofRoot === "refused" || own === "refused" ? "refused" : own
        const author = pubkeyOf(sender, true)
        expect(
          told({ author, target, inside, act, place: "none", child }),
          `${root} in ${place}: ${target} ${inside} ${act}`,
        ).toBe(both)
      })
    }
  })

  it.each(classes)("RI5: a private child by a %s", (sender) => {
    eachCell((place, target, inside, act) => {
      const child = { rootAuthor: operator, rootPlace: places[place], private: true }
      const may = sender === "tempo" && (act === "work" || act === "status check")
      const author = pubkeyOf(sender, true)
      expect(told({ author, target, inside, act, place: "none", child })).toBe(may ? byAct(target, act) : "refused")
    })
  })
})

describe("where it was said", () => {
  const event = (kind: number, tags: string[][]) => placeOf({ kind, pubkey: member, tags }, roster)

  it("a channel is the root of its message, marked or the first", () => {
    const other = ["e", key(77), "", "reply"]
    expect(event(Kind.channelMessage, [other, ["e", key(20), "", "root"]])).toEqual(places["their channel"])
    expect(event(Kind.channelMessage, [["e", key(21)], other])).toEqual(places["another channel"])
    expect(event(Kind.channelMessage, [["e", key(22), "", "root"]])).toEqual(places.elsewhere)
    expect(event(Kind.channelMessage, [])).toEqual(places.elsewhere)
  })

  it("a room is exactly those who are in it; to one person it is none", () => {
    const to = (keys: readonly string[]): string[][] => keys.map((pubkey) => ["p", pubkey])
    expect(event(14, to(insides))).toEqual(places["their room"])
    expect(event(14, to([...insides, member]))).toEqual(places["their room"])
    expect(event(14, to(insides.slice(1)))).toEqual(places.elsewhere)
    expect(event(14, to([...insides, revoked]))).toEqual(places.elsewhere)
    expect(event(14, to([stranger]))).toEqual(places.none)
  })

  it("notes, commands and direct messages are said nowhere", () => {
    for (const kind of [Kind.note, Kind.command, Kind.directMessage])
      expect(event(kind, [["e", key(20), "", "root"]])).toEqual(places.none)
  })
})
