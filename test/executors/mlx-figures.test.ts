import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { readGenerated } from "../../src/executors/mlx-figures.ts"

const figures =
  "Prompt: 12 tokens, 345.678 tokens-per-sec\nGeneration: 100 tokens, 45.123 tokens-per-sec\nPeak memory: 2.345 GB\n"
const cost = {
  tokensIn: 12,
  tokensInPerSecond: 345.678,
  tokensOut: 100,
  tokensOutPerSecond: 45.123,
  peakBytes: 2_345_000_000,
}

describe("what mlx_lm.generate prints", () => {
  it("M1: is read from its end, whatever the model wrote", () => {
    const line = fc.oneof(
      fc.string(),
      fc.constantFrom("==========", ...figures.trim().split("\n"), "No text generated for this prompt"),
    )
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const text = lines.join("\n").replaceAll("\r\n", "\n").trim()
        expect(readGenerated(`==========\n${text}\n==========\n${figures}`)).toEqual({ text, cost })
      }),
    )
  })

  it("says so where nothing was generated, and where it is something else", () => {
    expect(readGenerated("==========\n\n==========\nNo text generated for this prompt\n")).toEqual({
      text: "",
      cost: {},
    })
    for (const other of ["", "Traceback", figures, `==========\n${figures}`, "==========\nhalf"])
      expect(readGenerated(other)).toBeUndefined()
  })
})
