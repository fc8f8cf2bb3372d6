import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { tagValue, withId, type Tag } from "../../src/protocol/event.ts"
import { heartbeatTemplate, isSameDay, readHeartbeat } from "../../src/protocol/heartbeat.ts"

const signer = "aa".repeat(32)
const root = "bb".repeat(32)
const fields = fc.record({
  wizard: fc.string(),
  state: fc.string(),
  queue: fc.nat(),
  seq: fc.nat(),
  interval: fc.nat(),
  instance: fc.string(),
  createdAt: fc.nat(),
})
const one = { wizard: "timmy", state: "idle", queue: 0, seq: 7, interval: 300, instance: "i1", keepSeconds: 100 }
const midnight = 1_800_057_600

describe("heartbeat", () => {
  it("reads back what it prints", () => {
    fc.assert(
      fc.property(fields, (fields) => {
        expect(readHeartbeat(withId(signer, heartbeatTemplate({ ...fields, keepSeconds: 5 })))).toEqual(fields)
      }),
    )
  })

  it("H1: is a reply to the first of its UTC day, and to none of another", () => {
    const tagsAt = (createdAt: number, first: number) =>
      heartbeatTemplate({ ...one, createdAt, root: { id: root, createdAt: first } }).tags
    expect(midnight % 86_400).toBe(0)
    expect(tagsAt(midnight + 86_399, midnight)).toContainEqual(["e", root, "", "root"])
    expect(tagsAt(midnight, midnight - 1).some((tag) => tag[0] === "e")).toBe(false)
    expect(heartbeatTemplate({ ...one, createdAt: midnight }).tags.some((tag) => tag[0] === "e")).toBe(false)
    expect(isSameDay(midnight, midnight + 86_400)).toBe(false)
  })

  it("H2: expires when it is told to", () => {
    const template = heartbeatTemplate({ ...one, createdAt: midnight })
    expect(tagValue(template, "expiration")).toBe(String(midnight + 100))
  })

  it("is none with a tag missing: a note with a hashtag is a note", () => {
    const template = heartbeatTemplate({ ...one, createdAt: midnight })
    const without = (tag: Tag): boolean =>
      readHeartbeat(withId(signer, { ...template, tags: template.tags.filter((other) => other !== tag) })) !== undefined
    expect(template.tags.filter(without).map(([name]) => name)).toEqual(["expiration"])
    expect(readHeartbeat(withId(signer, { ...template, kind: 42 }))).toBeUndefined()
  })
})
