/**
 * Places at a model or a machine: a local model is swamped by parallel work, so whoever would use it waits for a place,
 * in the order of asking, also where several wizards of this process share it.
 */
import { Semaphore, type Effect } from "effect"

const places = new Map<string, Semaphore.Semaphore>()

/** Runs `work` in a place of `key`, of which there are `most`; the first caller's figure holds. */
export const inPlace =
  (key: string, most: number) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
    const held = places.get(key) ?? Semaphore.makeUnsafe(most)
    places.set(key, held)
    return held.withPermit(work)
  }
