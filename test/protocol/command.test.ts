import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { commandTemplate, priorities, readCommand } from "../../src/protocol/command.ts"
import type { EventTemplate } from "../../src/protocol/event.ts"

const hex64 = fc.stringMatching(/^[0-9a-f]{64}$/)
const timmy = "aa".repeat(32)
const kimi = "bb".repeat(32)
const some = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined })

const event = (tags: readonly (readonly string[])[], content = "@timmy do it"): EventTemplate => ({
  kind: 30079,
  created_at: 1_800_000_000,
  tags,
  content,
})

describe("command", () => {
  it("reads the seed's own format", () => {
    const seed = event(
      [
        ["p", timmy],
        ["t", "dispatch-command"],
        ["priority", "high"],
        ["deadline", "2026-03-31T12:00:00Z"],
      ],
      "@claude fix bug in nexus issue #123",
    )
    expect(readCommand(seed)).toEqual({
      text: "@claude fix bug in nexus issue #123",
      targets: [timmy],
      priority: "high",
      deadlineMs: Date.UTC(2026, 2, 31, 12),
      depth: 0,
      warnings: [],
    })
  })

  it("reads back what it prints", () => {
    const ids = fc.record({ parent: hex64, root: hex64, depth: fc.integer({ min: 0, max: 3 }) })
    const fields = fc.record({
      text: fc.string(),
      targets: fc.uniqueArray(hex64, { maxLength: 5 }),
      priority: some(fc.constantFrom(...priorities)),
      deadlineMs: some(fc.integer({ min: 0, max: 4_000_000_000_000 })),
      d: fc.string({ minLength: 1 }),
      createdAt: fc.nat(),
      descent: some(ids),
    })
    fc.assert(
      fc.property(fields, ({ priority, deadlineMs, descent, ...rest }) => {
        const template = commandTemplate({
          ...rest,
          ...(priority !== undefined && { priority }),
          ...(deadlineMs !== undefined && { deadlineMs }),
          ...(descent !== undefined && { descent }),
        })
        expect(readCommand(template)).toEqual({
          text: rest.text,
          targets: rest.targets,
          d: rest.d,
          priority: priority ?? "normal",
          ...(deadlineMs !== undefined && { deadlineMs }),
          ...(descent ?? { depth: 0 }),
          warnings: [],
        })
      }),
    )
  })

  it("P18: takes the first `d`, and an empty one for none", () => {
    for (const tags of [
      [],
      [["d"]],
      [["d", ""]],
      [
        ["d", ""],
        ["d", "x"],
      ],
    ]) {
      expect(readCommand(event(tags))).not.toHaveProperty("d")
    }
    expect(
      readCommand(
        event([
          ["d", "x"],
          ["d", "y"],
        ]),
      )?.d,
    ).toBe("x")
  })

  it("takes an unknown priority for normal, and says so", () => {
    const command = readCommand(event([["priority", "ASAP"]]))
    expect(command?.priority).toBe("normal")
    expect(command?.warnings).toEqual([expect.stringContaining('"asap"')])
    expect(readCommand(event([["priority", "Urgent"]]))).toMatchObject({ priority: "urgent", warnings: [] })
    expect(readCommand(event([["priority"]]))).toMatchObject({ priority: "normal", warnings: [] })
    const long = readCommand(event([["priority", "x".repeat(100_000)]]))
    expect(long?.warnings[0]?.length).toBeLessThan(200)
  })

  it("finds fault with a deadline that cannot be read, and with half a descent", () => {
    expect(readCommand(event([["deadline", "soon"]]))?.fault).toContain('"soon"')
    expect(readCommand(event([["deadline", ""]]))?.fault).toContain("write it like")
    expect(readCommand(event([["depth", "1"]]))?.fault).toContain("parent, root and depth")
    expect(readCommand(event([["e", "short", "", "parent"]]))?.fault).toContain("parent, root and depth")
    expect(readCommand(event([["depth", "-1"]]))?.fault).toContain("parent, root and depth")
    expect(readCommand(event([["e", kimi, "", "parent"]]))).toMatchObject({ parent: kimi, depth: 0 })
    expect(readCommand(event([["e", kimi]]))).not.toHaveProperty("parent")
  })

  it("names each target once and passes over what is no key", () => {
    const command = readCommand(event([["p", timmy], ["p"], ["p", kimi, "wss://r"], ["p", timmy], ["p", "<target>"]]))
    expect(command?.targets).toEqual([timmy, kimi])
    expect(command?.warnings).toHaveLength(1)
  })

  it("P24: no tags make it throw", () => {
    const word = fc.oneof(
      fc.constantFrom("p", "e", "d", "deadline", "priority", "depth", "parent", "root", timmy),
      fc.string(),
    )
    fc.assert(
      fc.property(
        fc.array(fc.array(word, { maxLength: 5 }), { maxLength: 10 }),
        fc.string({ unit: "binary" }),
        (tags, content) => {
          expect(readCommand(event(tags, content))?.text).toBe(content)
        },
      ),
      { numRuns: 1000 },
    )
    expect(readCommand({ ...event([]), kind: 1 })).toBeUndefined()
  })
})
