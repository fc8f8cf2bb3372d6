import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  parseDeadline,
  parseDeadlineOption,
  parseDuration,
  printDeadline,
  printDuration,
} from "../../src/protocol/deadline.ts"

const noon = Date.UTC(2026, 2, 31, 12)

describe("deadline", () => {
  it.each([
    ["2026-03-31T12:00:00Z", noon],
    ["2026-03-31T12:00:00", noon],
    ["2026-03-31 12:00", noon],
    ["2026-03-31t12:00:00z", noon],
    ["2026-03-31T14:00:00+02:00", noon],
    ["2026-03-31T06:30:00-0530", noon],
    ["2026-03-31T12:00:00.250Z", noon + 250],
    ["2026-03-31T12:00:00,123456789Z", noon + 123],
    ["2026-03-31", Date.UTC(2026, 3, 1) - 1],
    ["2024-02-29T00:00Z", Date.UTC(2024, 1, 29)],
    [String(noon / 1000), noon],
    ["0", 0],
  ])("reads %s", (text, ms) => expect(parseDeadline(text)).toBe(ms))

  it.each([
    "",
    " ",
    "soon",
    "tomorrow",
    "in 2h",
    "20260331",
    String(noon),
    "-5",
    "1e9",
    "2026-02-30T12:00:00Z",
    "2026-13-01T12:00:00Z",
    "2026-03-31T24:00:00Z",
    "2026-03-31T12:60:00Z",
    "2026-03-31T12:00:00+15:00",
    "2026-03-31T12:00:00 Z",
    " 2026-03-31T12:00:00Z",
    "2026-03-31T12:00:00Z\n",
    "31.03.2026",
    "2026-03-31T12",
    "2026-03-31Z",
  ])("refuses %j", (text) => expect(parseDeadline(text)).toBeUndefined())

  it("reads back what it prints", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 253_402_300_799_999 }), (ms) => {
        expect(parseDeadline(printDeadline(ms))).toBe(ms)
      }),
    )
    expect(printDeadline(noon)).toBe("2026-03-31T12:00:00Z")
    expect(parseDeadline(printDeadline(260_000_000_000_000))).toBe(260_000_000_000_000)
  })

  it("gives a safe number or nothing for any text", () => {
    const digits = fc.stringMatching(/^[0-9TZ:+. -]{0,30}$/)
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), digits), (text) => {
        const ms = parseDeadline(text)
        expect(ms === undefined || Number.isSafeInteger(ms)).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })

  it("counts `in 2h` from now, at the CLI only", () => {
    expect(parseDeadlineOption("in 2h", noon)).toBe(noon + 7_200_000)
    expect(parseDeadlineOption("In  1 day", noon)).toBe(noon + 86_400_000)
    expect(parseDeadlineOption(" 2026-03-31T12:00:00Z ", 0)).toBe(noon)
    for (const text of ["2h", "in", "in a while", "in -2h", "in 0s"])
      expect(parseDeadlineOption(text, 0)).toBeUndefined()
  })
})

describe("duration", () => {
  it.each([
    ["90s", 90],
    ["5m", 300],
    ["2h", 7200],
    ["1 day", 86_400],
    ["2 Days", 172_800],
    ["30 SECONDS", 30],
    ["007m", 420],
  ])("reads %s", (text, seconds) => expect(parseDuration(text)).toBe(seconds))

  it.each(["", "5", "m", "5 weeks", "1.5h", "-1h", "0s", "5  m", "9999999999d", "5m ", "5constructor"])(
    "refuses %j",
    (text) => expect(parseDuration(text)).toBeUndefined(),
  )

  it("reads back what it prints", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3_153_600_000 }), (seconds) => {
        expect(parseDuration(printDuration(seconds))).toBe(seconds)
      }),
    )
  })
})
