import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { kinshipOf } from "../../src/intake/lineage.ts"
import { limits } from "../../src/limits.ts"
import type { NostrEvent, Tag } from "../../src/protocol/event.ts"
import { keys, roster, write } from "./council.ts"

const kin = (parent: string, root: string, depth: number): Tag[] => [
  ["e", parent, "", "parent"],
  ["e", root, "", "root"],
  ["depth", String(depth)],
]
const to = (...wizards: (keyof typeof keys)[]): Tag[] => wizards.map((name) => ["p", keys[name]])
const root = write({ content: "see to it", tags: to("allegro") })
const first = write({ content: "go on", author: keys.allegro, tags: [...to("kimi"), ...kin(root.id, root.id, 1)] })
const second = write({ content: "go on", author: keys.kimi, tags: [...to("claude"), ...kin(first.id, root.id, 2)] })
const third = write({ content: "go on", author: keys.claude, tags: [...to("timmy"), ...kin(second.id, root.id, 3)] })
const fourth = write({ content: "go on", author: keys.timmy, tags: [...to("kimi"), ...kin(third.id, root.id, 4)] })

const judged = (event: NostrEvent, held: readonly NostrEvent[]) =>
  kinshipOf(event, roster, limits, (id) => held.find((each) => each.id === id))
const fault = (event: NostrEvent, held: readonly NostrEvent[]): string => {
  const kinship = judged(event, held)
  return kinship.is === "false" ? kinship.fault : kinship.is
}
const all = [root, first, second, third, fourth]

describe("a wizard's child", () => {
  it("is one with its parent and root, up to the third depth", () => {
    for (const child of [first, second, third])
      expect(judged(child, all)).toEqual({
        is: "child",
        root: root.id,
        lineage: { rootAuthor: keys.alexander, rootPlace: { type: "none" }, private: false },
      })
    expect(fault(fourth, all)).toMatch(/4 commands away .* at most 3/)
  })

  it("LN1: is none as anything else, nor by anybody else", () => {
    const tags = kin(root.id, root.id, 1)
    for (const author of [keys.alexander, keys.member, keys.stranger, keys.manus])
      expect(judged(write({ content: "go on", author, tags }), all)).toEqual({ is: "none" })
    expect(judged(write({ content: "@timmy go on", author: keys.allegro, kind: 1, tags }), all)).toEqual({ is: "none" })
    expect(judged(write({ content: "@timmy go on", author: keys.allegro }), all)).toEqual({ is: "none" })
  })

  it("names what is to be fetched, each once", () => {
    expect(judged(first, [])).toEqual({ is: "unknown", missing: [root.id] })
    expect(judged(second, [])).toEqual({ is: "unknown", missing: [first.id, root.id] })
    expect(judged(second, [root])).toEqual({ is: "unknown", missing: [first.id] })
  })

  it.each([
    [
      "LN2: a depth that is not its parent's and one more",
      kin(first.id, root.id, 3),
      keys.kimi,
      /depth is 3, its parent's 1/,
    ],
    ["LN2: a parent that is a grandparent", kin(root.id, root.id, 2), keys.allegro, /depth is 2, its parent's 0/],
    ["LN3: a root that is a child", kin(first.id, first.id, 1), keys.kimi, /root is no command by a person/],
    ["LN3: a parent of another tree", kin(first.id, "other", 2), keys.kimi, /no child of its root/],
    ["LN3: a first child of another parent", kin("other", root.id, 1), keys.allegro, /its parent is not its root/],
    ["LN4: a parent that was said to somebody else", kin(root.id, root.id, 1), keys.kimi, /not said to kimi/],
  ] as [string, Tag[], string, RegExp][])("%s is refused", (_, tags, author, says) => {
    const other = write({ content: "something else", tags: to("kimi", "allegro") })
    const named = tags.map((tag) => tag.map((part) => (part === "other" ? other.id : part)))
    expect(fault(write({ content: "go on", author, tags: [...to("timmy"), ...named] }), [...all, other])).toMatch(says)
  })

  it("LN4: what names nobody is passed on by a tempo wizard alone", () => {
    const open = write({ content: "somebody see to it", kind: 1 })
    const child = (author: string) => write({ content: "go on", author, tags: kin(open.id, open.id, 1) })
    expect(judged(child(keys.allegro), [open]).is).toBe("child")
    expect(fault(child(keys.kimi), [open])).toMatch(/not said to kimi/)
  })

  it("P29: however its tags are made up, it is one only where parent, root, depth and sender fit", () => {
    const id = fc.constantFrom(...all.map((event) => event.id))
    const people = fc.constantFrom(...Object.values(keys))
    fc.assert(
      fc.property(id, id, fc.nat(5), people, (parent, top, depth, author) => {
        const event = write({ content: "go on", author, tags: [...to("timmy"), ...kin(parent, top, depth)] })
        const fits = [
          depth === 1 && parent === root.id && author === keys.allegro,
          depth === 2 && parent === first.id && author === keys.kimi,
          depth === 3 && parent === second.id && author === keys.claude,
        ]
        expect(judged(event, all).is === "child").toBe(top === root.id && fits.includes(true))
      }),
      { numRuns: 2000 },
    )
  })
})
