import { expect, it } from "vitest"
import { fuzz } from "./fuzz.ts"

const frames = Number(process.env["RELAY_FUZZ_FRAMES"] ?? 100_000)
const seed = Number(process.env["RELAY_FUZZ_SEED"] ?? 1)

it(`P24: ${frames} frames, sound, bent and noise (seed ${seed}): the relay lives, in bounded memory, and its database is sound`, async () => {
  const report = await fuzz(frames, seed)
  const [early, late] = report.megabytes
  expect(report).toMatchObject({ frames, integrity: "ok", exitCode: 0 })
  // Every verb was reached, with answers of every sort.
  const rare = ["OK", "EOSE", "CLOSED", "COUNT", "NOTICE", "EVENT", "NEG-MSG", "NEG-ERR"].filter(
    (name) => (report.answers[name] ?? 0) < 20,
  )
  expect(rare).toEqual([])
  expect(late - early).toBeLessThan(150)
  expect(late).toBeLessThan(600)
}, 180_000)
