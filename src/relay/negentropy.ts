/** The relay's rows as the set that negentropy (NIP-77) compares. */
import type { IdSet } from "../protocol/negentropy.ts"
import { ranksPerSecond } from "./migrations.ts"
import type { Row } from "./query.ts"

/** From rows in the order of an answer: newest first, then lowest id. They are many, and need no sorting. */
export const idSetOfRows = (rows: readonly Pick<Row, "rank" | "id">[]): IdSet => {
  const size = rows.length
  const seconds = new Float64Array(size)
  const ids = Buffer.alloc(size * idBytes)
  const second = (n: number): number => Math.floor((rows[n] as Row).rank / ranksPerSecond)
  let at = 0
  for (let end = size; end > 0;) {
    let begin = end - 1
    while (begin > 0 && second(begin - 1) === second(end - 1)) begin--
    for (let n = begin; n < end; n++, at++) {
      seconds[at] = second(n)
      ids.write((rows[n] as Row).id, at * idBytes, "hex")
    }
    end = begin
  }
  return { size, seconds, ids }
}

const idBytes = 32
