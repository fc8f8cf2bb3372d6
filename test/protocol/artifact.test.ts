import { hash } from "node:crypto"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { answerTemplate, commitTemplate, readArtifact } from "../../src/protocol/artifact.ts"
import { tagValue, withId } from "../../src/protocol/event.ts"

const hex64 = fc.stringMatching(/^[0-9a-f]{64}$/)
const signer = "aa".repeat(32)
const origin = fc.record({
  command: hex64,
  author: hex64,
  wizard: fc.stringMatching(/^[a-z][a-z0-9_-]{0,31}$/),
  n: fc.integer({ min: 1, max: 999_999_999 }),
})

describe("artifact", () => {
  it("a commit: reads back what it prints", () => {
    const fields = fc.record({
      commit: fc.oneof(hex64, fc.stringMatching(/^[0-9a-f]{40}$/)),
      repo: fc.string(),
      branch: fc.string(),
      x: hex64,
      m: fc.string(),
      size: fc.nat(),
      text: fc.string(),
      createdAt: fc.nat(),
    })
    fc.assert(
      fc.property(origin, fields, (origin, fields) => {
        const event = withId(signer, commitTemplate({ ...origin, ...fields }))
        const { commit, repo, branch, ...rest } = fields
        const place = { commit, repo, branch }
        expect(readArtifact(event)).toEqual({ id: event.id, pubkey: signer, ...origin, ...rest, place })
        expect(tagValue(event, "d")).toBe(`artifact/${origin.command}/${origin.wizard}/${origin.n}`)
      }),
    )
  })

  it("an answer: has the hash and length of its text, and no commit", () => {
    fc.assert(
      fc.property(origin, fc.string({ unit: "binary" }), (origin, text) => {
        const event = withId(signer, answerTemplate({ ...origin, text, createdAt: 1 }))
        const artifact = readArtifact(event)
        expect(artifact).toMatchObject({ ...origin, text, m: "text/plain", x: hash("sha256", text) })
        expect(artifact?.size).toBe(Buffer.byteLength(text))
        expect(artifact).not.toHaveProperty("place")
      }),
    )
  })

  it("an answer: half a character is mended, so that everybody hashes the same", () => {
    const fields = { command: "bb".repeat(32), author: signer, wizard: "timmy", n: 1, createdAt: 1 }
    expect(readArtifact(withId(signer, answerTemplate({ ...fields, text: "a\ud83d" })))?.text).toBe("a\ufffd")
  })

  it("is none if anything in it disagrees", () => {
    const fields = { command: "bb".repeat(32), author: signer, wizard: "timmy", n: 1, createdAt: 1 }
    const answer = answerTemplate({ ...fields, text: "idle" })
    expect(readArtifact(withId(signer, answer))).toBeDefined()
    expect(readArtifact(withId(signer, { ...answer, content: "busy" }))).toBeUndefined()
    const spoil = (name: string, value: string) =>
      readArtifact(
        withId(signer, { ...answer, tags: answer.tags.map((tag) => (tag[0] === name ? [name, value] : tag)) }),
      )
    for (const [name, value] of [
      ["d", "artifact/x/timmy/1"],
      ["d", `artifact/${fields.command}/timmy/0`],
      ["d", `artifact/${fields.command}/a/b/1`],
      ["e", "cc".repeat(32)],
      ["p", "me"],
      ["t", "other"],
      ["x", "cc".repeat(32)],
      ["m", "text/html"],
      ["size", "5"],
      ["size", "-1"],
    ] as const)
      expect([name, value, spoil(name, value)]).toEqual([name, value, undefined])
    const commit = commitTemplate({
      ...fields,
      commit: "cc".repeat(20),
      repo: "r",
      branch: "b",
      x: signer,
      m: "text/x-diff",
      size: 1,
      text: "",
    })
    for (const name of ["repo", "branch"]) {
      const tags = commit.tags.filter((tag) => tag[0] !== name)
      expect([name, readArtifact(withId(signer, { ...commit, tags }))]).toEqual([name, undefined])
    }
    const tags = commit.tags.map((tag) => (tag[0] === "commit" ? ["commit", "HEAD"] : tag))
    expect(readArtifact(withId(signer, { ...commit, tags }))).toBeUndefined()
  })
})
