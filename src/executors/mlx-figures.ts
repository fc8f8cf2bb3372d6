/**
 * What `mlx_lm.generate --verbose True` prints:
 *
 *   ==========
 *   the text
 *   ==========
 *   Prompt: 12 tokens, 345.678 tokens-per-sec
 *   Generation: 100 tokens, 45.123 tokens-per-sec
 *   Peak memory: 2.345 GB
 *
 * M1: it is read from its end, because the model may write any of this itself.
 */
import type { Cost } from "./executor.ts"

export interface Generated {
  /** Without the lines round it; empty where nothing was generated. */
  readonly text: string
  readonly cost: Cost
}

/** Undefined where it is not such an output. */
export const readGenerated = (output: string): Generated | undefined => {
  const lines = output.replaceAll("\r\n", "\n").trimEnd().split("\n")
  const figures = lines.slice(-3)
  if (lines.at(-1)?.startsWith("No text generated for this prompt") === true) return { text: "", cost: {} }
  const [, tokensIn, tokensInPerSecond] = /^Prompt: (\d+) tokens, ([\d.]+) tokens-per-sec$/.exec(figures[0] ?? "") ?? []
  const [, tokensOut, tokensOutPerSecond] =
    /^Generation: (\d+) tokens, ([\d.]+) tokens-per-sec$/.exec(figures[1] ?? "") ?? []
  const [, peak] = /^Peak memory: ([\d.]+) GB$/.exec(figures[2] ?? "") ?? []
  if (tokensIn === undefined || tokensOut === undefined || peak === undefined) return undefined
  const first = lines.indexOf(rule)
  const last = lines.lastIndexOf(rule, -4)
  if (first < 0 || last <= first) return undefined
  return {
    text: lines
      .slice(first + 1, last)
      .join("\n")
      .trim(),
    cost: {
      tokensIn: Number(tokensIn),
      tokensInPerSecond: Number(tokensInPerSecond),
      tokensOut: Number(tokensOut),
      tokensOutPerSecond: Number(tokensOutPerSecond),
      peakBytes: Math.round(Number(peak) * 1e9),
    },
  }
}

const rule = "=========="
