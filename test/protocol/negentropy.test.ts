import { hash } from "node:crypto"
import * as fc from "fast-check"
import { nip77 } from "nostr-tools"
import { describe, expect, it } from "vitest"
import {
  idSetOf,
  NegentropyFault,
  openingOf,
  reconcile,
  respond,
  type Dated,
  type IdSet,
} from "../../src/protocol/negentropy.ts"

const hex = fc.stringMatching(/^[0-9a-f]{64}$/)
const dated = fc.record({ id: hex, created_at: fc.integer({ min: 0, max: 40 }) })
const many = fc.uniqueArray(dated, { maxLength: 300, size: "max", selector: ({ id }) => id })

/** Both of our sides against each other; what the asking one lacks. */
const ask = (ours: IdSet, theirs: IdSet, bytesMax: number) => {
  const need = new Set<string>()
  let rounds = 0
  for (let message: Buffer | undefined = openingOf(ours); message !== undefined; rounds++) {
    expect(rounds).toBeLessThan(200)
    expect(message.length).toBeLessThanOrEqual(bytesMax)
    message = reconcile(ours, respond(theirs, message, bytesMax), bytesMax, need)
  }
  return { need: [...need].toSorted(), rounds }
}

const lacking = (ours: readonly Dated[], theirs: readonly Dated[]): readonly string[] => {
  const held = new Set(ours.map(({ id }) => id))
  return theirs.flatMap(({ id }) => (held.has(id) ? [] : [id])).toSorted()
}

const parts = fc.tuple(many, fc.infiniteStream(fc.integer({ min: 0, max: 4 }))).map(([all, where]) => {
  // 0: theirs alone, 1: ours alone, else both.
  const places = all.map(() => where.next().value as number)
  return { ours: all.filter((_, n) => places[n] !== 0), theirs: all.filter((_, n) => places[n] !== 1) }
})

describe("the asking side of negentropy", () => {
  it("G1: finds exactly what it lacks, of any two sets", () => {
    fc.assert(
      fc.property(parts, ({ ours, theirs }) => {
        expect(ask(idSetOf(ours), idSetOf(theirs), 60_000).need).toEqual(lacking(ours, theirs))
      }),
      { numRuns: 60 },
    )
  })

  it("asks in the library's very words, and lacks what it lacks", () => {
    fc.assert(
      fc.property(parts, ({ ours, theirs }) => {
        const vector = new nip77.NegentropyStorageVector()
        for (const { created_at, id } of ours) vector.insert(created_at, id)
        vector.seal()
        const library = new nip77.Negentropy(vector, 60_000)
        const [set, other] = [idSetOf(ours), idSetOf(theirs)]
        const [need, theirNeed] = [new Set<string>(), new Set<string>()]
        let message: Buffer | undefined = openingOf(set)
        let oracle: string | null = library.initiate()
        while (message !== undefined) {
          expect(message.toString("hex")).toBe(oracle)
          const answer = respond(other, message, 60_000)
          message = reconcile(set, answer, 60_000, need)
          oracle = library.reconcile(answer.toString("hex"), undefined, (id) => void theirNeed.add(id))
        }
        expect(oracle).toBeNull()
        expect(need).toEqual(theirNeed)
      }),
      { numRuns: 60 },
    )
  })

  it("G2: keeps its messages under the bound, and still finds all of it", () => {
    const all = Array.from({ length: 4000 }, (_, n) => ({
      // As good as chance: sums of ids that count up are soon alike.
      id: hash("sha256", String(n)),
      created_at: n % 97,
    }))
    const [ours, theirs] = [all.filter((_, n) => n % 3 !== 0), all.filter((_, n) => n % 5 !== 0)]
    expect(ask(idSetOf(ours), idSetOf(theirs), 5000).need).toEqual(lacking(ours, theirs))
  })

  it("G3: any bytes are an answer or a fault", () => {
    const set = idSetOf([{ id: "a".repeat(64), created_at: 5 }])
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.boolean(), (bytes, isOurs) => {
        const message = Buffer.from(isOurs ? [0x61, ...bytes] : bytes)
        let fault: unknown
        try {
          reconcile(set, message, 5000, new Set())
        } catch (error) {
          fault = error
        }
        expect(fault === undefined || fault instanceof NegentropyFault).toBe(true)
      }),
      { numRuns: 2000 },
    )
    expect(() => reconcile(set, Buffer.from([0x60]), 5000, new Set())).toThrow(NegentropyFault)
  })
})
