import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { withId, type NostrEvent } from "../../src/protocol/event.ts"
import { bytesOf, nothingSaid, readRelayInformation, refusalBy } from "../../src/protocol/relay-information.ts"

const eventOf = (about: Partial<NostrEvent>): NostrEvent => ({
  ...withId("a".repeat(64), { kind: 1, created_at: 1000, tags: [], content: "", ...about }),
  sig: "0".repeat(128),
})
const boundsOf = (limitation: unknown) => readRelayInformation({ limitation }).bounds

describe("what a relay says of itself", () => {
  it("RN1 RN2: whatever comes instead of a document bounds nothing, and never fails", () => {
    const nonsense = fc.oneof(fc.anything(), fc.record({ supported_nips: fc.anything(), limitation: fc.anything() }))
    fc.assert(
      fc.property(nonsense, (document) => {
        for (const value of Object.values(readRelayInformation(document).bounds))
          expect(value).toBeGreaterThanOrEqual(0)
      }),
    )
    const broken = {
      max_message_length: 12,
      max_limit: 0,
      max_subscriptions: "3",
      max_event_tags: -1,
      max_subid_length: 1,
    }
    expect(readRelayInformation({ supported_nips: "77", limitation: broken })).toEqual(nothingSaid)
    expect(Object.values(nothingSaid.bounds).every((bound) => bound === Infinity)).toBe(true)
  })

  it("refuses what is over a bound by one, and takes what is at it", () => {
    const event = eventOf({
      content: "grüße 👀",
      tags: [
        ["e", "x"],
        ["p", "y"],
      ],
    })
    const bytes = bytesOf(["EVENT", event])
    const bounds = (over: 0 | 1): readonly [unknown, number][] => [
      [{ max_event_tags: 2 - over }, 1000],
      [{ max_content_length: 7 - over }, 1000],
      [{ created_at_lower_limit: 60 }, 1060 + over],
      [{ created_at_upper_limit: 60 }, 940 - over],
    ]
    for (const [limitation, now] of bounds(0)) expect(refusalBy(boundsOf(limitation), event, now)).toBeUndefined()
    const refusals = bounds(1).map(([limitation, now]) => refusalBy(boundsOf(limitation), event, now))
    expect(refusals).toEqual([
      expect.stringMatching(/^invalid: not sent, it has 2 tags and at most 1 /),
      expect.stringMatching(/^invalid: not sent, its content has 7 characters and at most 6 /),
      expect.stringMatching(/^invalid: not sent, it is too old, /),
      // It may be taken later.
      expect.stringMatching(/^error: not sent, it is dated more than 60 s ahead/),
    ])
    expect(bytes).toBeLessThan(1024)
    const long = eventOf({ content: "é".repeat(600) })
    const longBytes = bytesOf(["EVENT", long])
    expect(refusalBy(boundsOf({ max_message_length: longBytes }), long, 1000)).toBeUndefined()
    expect(refusalBy(boundsOf({ max_message_length: longBytes - 1 }), long, 1000)).toMatch(
      new RegExp(`it takes ${longBytes} bytes and at most ${longBytes - 1} `),
    )
  })
})
