/**
 * From the publisher's write until an event has come to a subscriber, one event at a time, by one clock: the client's.
 * Each subscriber has a connection of its own. What has not come within two seconds is lost, and told.
 */
import { setTimeout as wait } from "node:timers/promises"
import type { Prepared } from "./events.ts"
import { encode, open, type Wire } from "./wire.ts"

export interface FannedOut {
  readonly p50Ms: number
  readonly p95Ms: number
  readonly lost: number
  readonly expected: number
}

const arriveMsMax = 2000
const gapMs = 3

export const fanOut = async (url: string, prepared: Prepared, subscribers: number): Promise<FannedOut> => {
  const rounds = subscribers > 100 ? 30 : 200
  const warmUp = subscribers > 100 ? 5 : 50
  const samples: number[] = []
  let wanted = ""
  let sentMs = 0
  let arrived = 0
  let all = (): void => {}
  const heard = (text: string): void => {
    if (!text.startsWith('["EVENT"') || !text.includes(wanted)) return
    samples.push(performance.now() - sentMs)
    arrived += 1
    if (arrived === subscribers) all()
  }
  const wires = await subscribe(url, subscribers, { kinds: [1, 42], limit: 1 }, heard)
  const publisher = await open(url, { text: () => {} })
  let lost = 0
  for (let round = 0; round < warmUp + rounds; round++) {
    if (round === warmUp) {
      samples.length = 0
      lost = 0
    }
    wanted = prepared.events[round]?.id ?? ""
    const frame = prepared.frame(round)
    arrived = 0
    const complete = new Promise<void>((resolve) => (all = resolve))
    sentMs = performance.now()
    publisher.send([frame])
    await Promise.race([complete, wait(arriveMsMax, undefined, { ref: false })])
    lost += subscribers - arrived
    await wait(gapMs)
  }
  await Promise.all([publisher, ...wires].map((wire) => wire.close()))
  samples.sort((a, b) => a - b)
  return { p50Ms: at(samples, 0.5), p95Ms: at(samples, 0.95), lost, expected: rounds * subscribers }
}

/** So many connections with one subscription each, past their EOSE. */
export const subscribe = async (
  url: string,
  count: number,
  filter: object,
  heard: (text: string) => void,
): Promise<readonly Wire[]> => {
  const wires: Wire[] = []
  const request = encode(JSON.stringify(["REQ", "live", filter]))
  // Some at a time: a listen queue has an end.
  while (wires.length < count) {
    const size = Math.min(50, count - wires.length)
    wires.push(...(await Promise.all(Array.from({ length: size }, () => subscribed(url, request, heard)))))
  }
  return wires
}

const subscribed = (url: string, request: Buffer, heard: (text: string) => void): Promise<Wire> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no EOSE within 10 s")), 10_000)
    const opened = open(url, {
      text: (text) => {
        if (!text.startsWith('["EOSE"')) return heard(text)
        clearTimeout(timer)
        resolve(opened)
      },
    })
    opened.then((wire) => wire.send([request]), reject)
  })

export const at = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
