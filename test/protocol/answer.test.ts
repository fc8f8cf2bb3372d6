import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  cutAtParagraph,
  endText,
  reactionOf,
  reactionTemplate,
  replyTemplate,
  resultText,
} from "../../src/protocol/answer.ts"
import { withId } from "../../src/protocol/event.ts"
import { statuses, type Status } from "../../src/protocol/status.ts"

const [person, first, second] = ["aa", "bb", "cc"].map((byte) => byte.repeat(32)) as [string, string, string]
const note = (tags: string[][]) => withId(person, { kind: 1, created_at: 5, tags, content: "@timmy do it" })

describe("answer", () => {
  it("opens with the result's own words, then the commit, the files and the time", () => {
    const commit = "0123456789abcdef".padEnd(40, "0")
    expect(resultText({ text: "Fixed.", commit, files: ["a.ts"], tookMs: 1234, charsMax: 100 })).toBe(
      "Fixed.\n\ncommit 0123456789ab\nfile: a.ts\ntook 1.2 s",
    )
    expect(resultText({ text: "idle", tookMs: 4, charsMax: 100 })).toBe("idle\n\ntook 4 ms")
    const files = ["1", "2", "3", "4", "5", "6", "7"]
    expect(resultText({ text: "", files, tookMs: 3_900_000, charsMax: 100 })).toBe(
      "7 files: 1, 2, 3, 4, 5 and 2 more\ntook 1 h 5 min",
    )
    expect(endText("rejected", "there is nothing to do", 100)).toBe("rejected: there is nothing to do")
  })

  it("A1: keeps its bound and stays well-formed, whatever it is given", () => {
    const texts = fc.string({
      unit: fc.constantFrom("a", "b. ", " ", "\n", "\n\n", "👀", "\ud83d", "\udc00"),
      maxLength: 80,
    })
    fc.assert(
      fc.property(texts, fc.nat(60), (text, charsMax) => {
        const cut = cutAtParagraph(text, charsMax)
        expect(cut.length).toBeLessThanOrEqual(charsMax)
        expect(cut.isWellFormed()).toBe(true)
        const whole = text.toWellFormed().trim()
        const kept = whole.length <= charsMax ? cut : cut.replace(/\s*…$/, "")
        expect(cut).toBe(whole.length <= charsMax ? whole : cut)
        expect(whole.startsWith(kept)).toBe(true)
        expect(cut.endsWith("…") || whole.length <= charsMax || charsMax === 0).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })

  it("A1: is cut at a paragraph, else at a line, a sentence, a word", () => {
    expect(cutAtParagraph("One two.\nThree.\n\nFour five six", 24)).toBe("One two.\nThree.\n…")
    expect(cutAtParagraph("One two. Three.\nFour five six", 24)).toBe("One two. Three.\n…")
    expect(cutAtParagraph("One two three. Four five six", 24)).toBe("One two three. …")
    expect(cutAtParagraph("One two three four five six", 22)).toBe("One two three four …")
    expect(cutAtParagraph("x".repeat(30), 10)).toBe(`${"x".repeat(8)}…`)
  })

  it("reacts to what a person waits for: the acknowledgement and the end", () => {
    expect(reactionOf("acknowledged")).toBe("👀")
    expect(reactionOf("artifact-reported")).toBe("✅")
    const failures: readonly Status[] = ["rejected", "failed", "cancelled", "expired"]
    expect(statuses.filter((status) => reactionOf(status) === "❌")).toEqual(failures)
    expect(statuses.filter((status) => reactionOf(status) !== undefined)).toHaveLength(2 + failures.length)
    const to = note([])
    expect(reactionTemplate(to, "👀", 9)).toEqual({
      kind: 7,
      created_at: 9,
      tags: [
        ["e", to.id, "", person],
        ["p", person],
        ["k", "1"],
      ],
      content: "👀",
    })
  })

  it("replies in the thread (NIP-10): to its root with one marker, further in with two", () => {
    const links = (tags: string[][]) => replyTemplate(note(tags), "done", 9).tags.filter((tag) => tag[0] === "e")
    const own = (tags: string[][], marker: string) => ["e", note(tags).id, "", marker, person]
    expect(links([])).toEqual([own([], "root")])
    const marked = [
      ["e", second, "", "reply"],
      ["e", first, "", "root"],
    ]
    expect(links(marked)).toEqual([["e", first, "", "root"], own(marked, "reply")])
    const old = [
      ["e", first],
      ["e", second],
    ]
    expect(links(old)).toEqual([["e", first, "", "root"], own(old, "reply")])
    for (const none of [[["e"]], [["e", "short"]], [["e", first, "", "mention"]]]) {
      expect(links(none)).toEqual([own(none, "root")])
    }
  })

  it("tells the author of the command, and nobody else of the thread", () => {
    const reply = replyTemplate(note([["p", first]]), "done", 9)
    expect(reply.tags.filter((tag) => tag[0] === "p")).toEqual([["p", person]])
    expect(reply).toMatchObject({ kind: 1, created_at: 9, content: "done" })
  })
})
