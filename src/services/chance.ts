/**
 * Chance as a service: every random number of the runtime comes from here (keys apart, which always come from the
 * operating system). `seeded` gives the same numbers for the same seed, for tests and the simulator.
 */
import { randomBytes } from "node:crypto"
import { Context, Layer } from "effect"

export interface ChanceShape {
  /** A number in [0, 1). */
  readonly next: () => number
  /** That many random bytes in lower-case hex. */
  readonly hex: (bytes: number) => string
}

export class Chance extends Context.Service<Chance, ChanceShape>()("wizardly/services/Chance") {
  static readonly layer = Layer.sync(Chance, () => systemChance)
}

export const systemChance: ChanceShape = {
  next: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
  hex: (bytes) => randomBytes(bytes).toString("hex"),
}

/** The same sequence for the same seed (mulberry32). Not for secrets. */
export const seededChance = (seed: number): ChanceShape => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const byte = (): string =>
    Math.floor(next() * 256)
      .toString(16)
      .padStart(2, "0")
  return { next, hex: (bytes) => Array.from({ length: bytes }, byte).join("") }
}
