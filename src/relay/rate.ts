/**
 * How much of something in a minute: a bucket for each name that fills again as time goes by. The number of buckets is
 * bounded; the one that was not used for longest is forgotten, which is to say full.
 */
import type { ClockShape } from "../services/clock.ts"

/** Whether there is one left for that name; takes it. */
export type Take = (name: string) => boolean

export const perMinute = (most: number, namesMax: number, clock: ClockShape): Take => {
  const buckets = new Map<string, { left: number; atMs: number }>()
  return (name) => {
    const nowMs = clock.nowMs()
    const bucket = buckets.get(name) ?? { left: most, atMs: nowMs }
    // A clock that was put back gives nothing and takes nothing.
    const passed = Math.max(0, nowMs - bucket.atMs)
    const left = Math.min(most, bucket.left + (passed * most) / 60_000)
    buckets.delete(name)
    buckets.set(name, { left: left >= 1 ? left - 1 : left, atMs: nowMs })
    if (buckets.size > namesMax) buckets.delete(buckets.keys().next().value as string)
    return left >= 1
  }
}
