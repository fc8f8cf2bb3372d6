/**
 * Events a second that are answered OK true: the client keeps so many unanswered on each connection, the first second is
 * not counted, and the rate is that of the seconds after it. What is refused or never answered is told.
 */
import { setTimeout as wait } from "node:timers/promises"
import type { Prepared } from "./events.ts"
import { encode, open, type Wire } from "./wire.ts"

export interface PublishOptions {
  readonly connections: number
  /** Unanswered events of all connections together. */
  readonly window: number
  readonly seconds: number
  /** For a server that forgets: the events go round. */
  readonly again: boolean
}

export interface Published {
  readonly perSecond: number
  readonly accepted: number
  readonly refused: number
  /** Of the first refused one. */
  readonly reason: string
  readonly unanswered: number
  /** Of a sample of those answered OK true, how many a REQ brings back, and how many were asked for. */
  readonly kept: number
  readonly sampled: number
}

const warmUpMs = 1000
/** Grows by each OK of the first second, so that a slow relay has no minute of events before it. */
const windowFirst = 64
const answerMsMax = 20_000

export const publish = async (url: string, prepared: Prepared, options: PublishOptions): Promise<Published> => {
  const { connections, window, seconds, again } = options
  const { events } = prepared
  const frames = events.map((_, index) => prepared.frame(index))
  const most = Math.max(1, Math.floor(window / connections))
  const accepted: string[] = []
  const tally = { counted: 0, refused: 0, reason: "", open: 0 }
  let next = 0
  let sending = true
  let lastMs = 0
  let began = 0
  const endMs = warmUpMs + seconds * 1000

  const connection = async (): Promise<{ readonly wire: Wire; readonly fill: () => void }> => {
    let unanswered = 0
    let each = Math.min(most, Math.ceil(windowFirst / connections))
    let wire: Wire | undefined
    const fill = (): void => {
      if (!sending || wire === undefined) return
      if (again && next + most > frames.length) next = 0
      const bite = frames.slice(next, Math.min(next + each - unanswered, frames.length))
      next += bite.length
      unanswered += bite.length
      tally.open += bite.length
      if (bite.length > 0) wire.send(bite)
    }
    wire = await open(url, {
      text: (text) => {
        if (!text.startsWith('["OK"')) return
        const [, id, ok, message] = JSON.parse(text) as [string, string, boolean, string]
        unanswered -= 1
        tally.open -= 1
        const ms = performance.now() - began
        if (!ok) {
          tally.refused += 1
          tally.reason ||= message
          return
        }
        accepted.push(id)
        if (ms < warmUpMs) each = Math.min(most, each + 1)
        if (ms < warmUpMs || ms > endMs) return
        tally.counted += 1
        lastMs = ms
      },
      // A bite is worth a write of its own; a trickle of single events would measure system calls.
      turn: () => (unanswered <= each / 2 ? fill() : undefined),
    })
    return { wire, fill }
  }

  // All are there before the first event: a busy relay may let the others wait at the door.
  const opened = await Promise.all(Array.from({ length: connections }, connection))
  began = performance.now()
  for (const { fill } of opened) fill()
  while (performance.now() - began < endMs && (again || next < frames.length)) await wait(20)
  sending = false
  for (const until = performance.now() + answerMsMax; tally.open > 0 && performance.now() < until;) await wait(20)
  const sample = again ? [] : sampleOf(accepted)
  const kept = sample.length === 0 ? 0 : await stored(url, sample)
  await Promise.all(opened.map(({ wire }) => wire.close()))
  return {
    perSecond: tally.counted === 0 ? 0 : tally.counted / ((Math.max(lastMs, warmUpMs + 1) - warmUpMs) / 1000),
    accepted: accepted.length,
    refused: tally.refused,
    reason: tally.reason,
    unanswered: tally.open,
    kept,
    sampled: sample.length,
  }
}

const sampleOf = (ids: readonly string[]): readonly string[] => {
  const step = Math.max(1, Math.floor(ids.length / 100))
  return ids.filter((_, index) => index % step === 0).slice(0, 100)
}

const stored = (url: string, ids: readonly string[]): Promise<number> =>
  new Promise((resolve, reject) => {
    let found = 0
    const opened = open(url, {
      text: (text) => {
        if (text.startsWith('["EVENT"')) found += 1
        else if (text.startsWith('["EOSE"') || text.startsWith('["CLOSED"')) done()
      },
    })
    const timer = setTimeout(() => done(), answerMsMax)
    const done = (): void => {
      clearTimeout(timer)
      resolve(found)
      void opened.then((wire) => wire.close())
    }
    opened.then((wire) => wire.send([encode(JSON.stringify(["REQ", "kept", { ids, limit: ids.length }]))]), reject)
  })
