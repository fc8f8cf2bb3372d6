/** An answer as a file: what a result consists of where there was no other file to change. */
import type { Outcome, Task } from "./executor.ts"

/** `reports/2026-03-31-1a2b3c4d5e6f7a8b.md`; a command has one. */
export const pathOf = ({ command, createdAt }: Pick<Task, "command" | "createdAt">): string =>
  `reports/${dateOf(createdAt).slice(0, 10)}-${command.slice(0, 16)}.md`

export const contentOf = (
  task: Pick<Task, "body" | "wizard" | "createdAt">,
  executor: string,
  outcome: Outcome,
): string => {
  const asked = task.body.toWellFormed().split(/\r\n|\r|\n/)
  const quoted = asked.map((line) => (line === "" ? ">" : `> ${line}`)).join("\n")
  const facts = [`${task.wizard} (${executor}), asked at ${dateOf(task.createdAt)}`, figuresOf(outcome)]
  return (
    [quoted, outcome.text.toWellFormed().trim(), `— ${facts.filter((fact) => fact !== "").join("; ")}`].join("\n\n") +
    "\n"
  )
}

/** "12 tokens in, 100 out, 45.1 tokens/s, 2.3 s" */
const figuresOf = ({ cost = {} }: Outcome): string =>
  [
    cost.tokensIn === undefined ? "" : `${cost.tokensIn} tokens in`,
    cost.tokensOut === undefined ? "" : `${cost.tokensOut} out`,
    cost.tokensOutPerSecond === undefined ? "" : `${cost.tokensOutPerSecond.toFixed(1)} tokens/s`,
    cost.peakBytes === undefined ? "" : `peak ${(cost.peakBytes / 1e9).toFixed(2)} GB`,
    cost.seconds === undefined ? "" : `${cost.seconds.toFixed(1)} s`,
  ]
    .filter((figure) => figure !== "")
    .join(", ")

/** ISO 8601, UTC, to the second; a date that no calendar holds is the last one that it does. */
export const dateOf = (seconds: number): string =>
  new Date(Math.min(Math.max(0, seconds), 8.64e12 - 1) * 1000).toISOString().replace(/\.\d+Z$/, "Z")
