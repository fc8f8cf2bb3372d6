/**
 * What stands in a large database, asked for: time to the first event and to EOSE, and how many came. COUNT likewise,
 * and whether it is right. Medians; every answer is of another author, so that no cache of answers is measured.
 */
import { authorsCount, notesOf, type Prepared } from "./events.ts"
import { at } from "./fan-out.ts"
import { encode, open } from "./wire.ts"

export interface Answered {
  readonly firstMs: number
  readonly totalMs: number
  /** The fewest that came in any of the answers. */
  readonly events: number
  /** What the relay said instead, where it refused. */
  readonly refusal: string
}

export interface Counted {
  readonly ms: number
  /** As it was said, or why there is none. */
  readonly said: string
  readonly expected: number
}

const answerMsMax = 30_000

/** 500 notes of one author. */
export const few = (url: string, { authors }: Prepared): Promise<Answered> =>
  median(
    url,
    authors.map((author) => [{ authors: [author], kinds: [1], limit: 500 }]),
  )

/** 10,000 events by ten filters of 1,000, as most relays bound one filter's answer. */
export const many = (url: string, { authors }: Prepared): Promise<Answered> =>
  median(
    url,
    Array.from({ length: 5 }, (_, round) =>
      Array.from({ length: 10 }, (_, n) => ({
        authors: [authors[(round * 3 + n) % authorsCount]],
        kinds: [1],
        limit: 1000,
      })),
    ),
  )

const median = async (url: string, requests: readonly (readonly object[])[]): Promise<Answered> => {
  const answers: Answered[] = []
  for (const filters of requests) answers.push(await ask(url, filters))
  const sorted = (of: "firstMs" | "totalMs"): readonly number[] =>
    answers.map((answer) => answer[of]).sort((a, b) => a - b)
  return {
    firstMs: at(sorted("firstMs"), 0.5),
    totalMs: at(sorted("totalMs"), 0.5),
    events: Math.min(...answers.map(({ events }) => events)),
    refusal: answers.find(({ refusal }) => refusal !== "")?.refusal ?? "",
  }
}

const ask = async (url: string, filters: readonly object[]): Promise<Answered> => {
  let first = Number.NaN
  let events = 0
  let finish = (_refusal: string): void => {}
  const ended = new Promise<string>((resolve) => (finish = resolve))
  const wire = await open(url, {
    text: (text) => {
      if (text.startsWith('["EVENT"')) {
        if (events === 0) first = performance.now()
        events += 1
      } else if (text.startsWith('["EOSE"')) finish("")
      else if (text.startsWith('["CLOSED"') || text.startsWith('["NOTICE"')) finish(text)
    },
  })
  const timer = setTimeout(() => finish("no EOSE within 30 s"), answerMsMax)
  const began = performance.now()
  wire.send([encode(JSON.stringify(["REQ", "q", ...filters]))])
  const refusal = await ended
  const totalMs = performance.now() - began
  clearTimeout(timer)
  await wire.close()
  return { firstMs: first - began, totalMs, events, refusal }
}

export const countAuthor = (url: string, { authors, events }: Prepared): Promise<Counted> =>
  counts(
    url,
    authors.map((author) => ({ authors: [author], kinds: [1] })),
    notesOf(events, authors.at(-1)),
  )

export const countAll = (url: string, { events }: Prepared): Promise<Counted> =>
  counts(
    url,
    Array.from({ length: 5 }, (_, n) => ({ kinds: [1], since: n + 1 })),
    notesOf(events),
  )

const counts = async (url: string, filters: readonly object[], expected: number): Promise<Counted> => {
  const times: number[] = []
  let said = ""
  for (const filter of filters) {
    const answer = await count(url, filter)
    if ("refusal" in answer) return { ms: Number.NaN, said: answer.refusal, expected }
    times.push(answer.ms)
    said = String(answer.count)
  }
  return {
    ms: at(
      times.sort((a, b) => a - b),
      0.5,
    ),
    said,
    expected,
  }
}

const count = async (
  url: string,
  filter: object,
): Promise<{ readonly ms: number; readonly count: number } | { readonly refusal: string }> => {
  let finish = (_text: string | undefined): void => {}
  const ended = new Promise<string | undefined>((resolve) => (finish = resolve))
  const wire = await open(url, {
    text: (text) => (/^\["(COUNT|CLOSED|NOTICE)"/.test(text) ? finish(text) : undefined),
  })
  const timer = setTimeout(() => finish(undefined), 3000)
  const began = performance.now()
  wire.send([encode(JSON.stringify(["COUNT", "c", filter]))])
  const text = await ended
  const ms = performance.now() - began
  clearTimeout(timer)
  await wire.close()
  if (text === undefined) return { refusal: "no answer" }
  const [verb, , value] = JSON.parse(text) as [string, string, { readonly count?: number }]
  return verb === "COUNT" && typeof value?.count === "number" ? { ms, count: value.count } : { refusal: "no COUNT" }
}
