/**
 * The events of a run, signed before any clock starts and the same for every relay: notes of twenty authors, one in ten
 * a channel message, each with a `t` and a `p` tag, dated over the last thirty days, about 500 bytes.
 */
import { openSignatures } from "../../../src/identity/signature-pool.ts"
import { withId, type NostrEvent } from "../../../src/protocol/event.ts"
import { encode } from "./wire.ts"

export const authorsCount = 20

export interface Prepared {
  readonly backend: string
  readonly authors: readonly string[]
  readonly events: readonly NostrEvent[]
  /** Made when it is asked for, as they take as much memory as the events. */
  readonly frame: (index: number) => Buffer
}

export const prepare = async (count: number): Promise<Prepared> => {
  const signatures = await openSignatures()
  const signers = Array.from({ length: authorsCount }, (_, n) =>
    signatures.signerFor(new Uint8Array(32).fill(n + 1).fill(0xb3, 0, 4)),
  )
  const authors = signers.map(({ pubkey }) => pubkey)
  const now = Math.floor(Date.now() / 1000)
  const step = (30 * 24 * 3600) / count
  const events: NostrEvent[] = []
  // A bite at a time for each author, or a million unsigned ones would lie in memory as well.
  for (let at = 0; at < count; at += 10_000) {
    const size = Math.min(10_000, count - at)
    const bite = Array.from({ length: size }, (_, i) =>
      template(at + i, authors, now - 60 - Math.floor((at + i) * step)),
    )
    const signed = await Promise.all(
      signers.map((signer, n) => signer.sign(bite.filter((_, i) => (at + i) % authorsCount === n))),
    )
    const next = signed.map((list) => list.values())
    for (let i = 0; i < size; i++) {
      const event = next[(at + i) % authorsCount]?.next().value
      if (event !== undefined) events.push(event)
    }
  }
  await signatures.close()
  return {
    backend: signatures.backend,
    authors,
    events,
    frame: (index) => encode(JSON.stringify(["EVENT", events[index]])),
  }
}

const template = (n: number, authors: readonly string[], created_at: number) => {
  const author = authors[n % authorsCount] as string
  const other = authors[(n * 7 + 1) % authorsCount] as string
  return withId(author, {
    kind: kindOf(n),
    created_at,
    tags: [
      ["t", `topic${n % 100}`],
      ["p", other],
    ],
    content: `Number ${n}: what a wizard would say of its work, long enough to look like a note and short enough for a phone.`,
  })
}

/** Every second author's events fall on every second number, so kinds go by the number of the round. */
const kindOf = (n: number): number => (Math.floor(n / authorsCount) % 10 === 0 ? 42 : 1)

/** How many of the first `count` events are an author's notes. */
export const notesOf = (events: readonly NostrEvent[], author?: string): number =>
  events.filter(({ kind, pubkey }) => kind === 1 && (author === undefined || pubkey === author)).length
