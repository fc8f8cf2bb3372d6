/** The outcomes as a table, and the failures as sentences. */
import type { NipChecks, Outcome, Verdict } from "./check.ts"

export interface Row {
  readonly nip: number
  readonly title: string
  readonly checks: number
  readonly passed: number
  readonly failedRequired: number
  readonly failedOptional: number
  readonly skipped: number
  readonly unsupported: number
}

export const rowsOf = (sections: readonly NipChecks[], outcomes: readonly Outcome[]): readonly Row[] =>
  sections.flatMap(({ nip, title }) => {
    const own = outcomes.filter((outcome) => outcome.nip === nip)
    const count = (verdict: Verdict, level?: Outcome["level"]): number =>
      own.filter((outcome) => outcome.verdict === verdict && (level === undefined || outcome.level === level)).length
    if (own.length === 0) return []
    return {
      nip,
      title,
      checks: own.length,
      passed: count("passed"),
      failedRequired: count("failed", "required"),
      failedOptional: count("failed", "optional"),
      skipped: count("skipped"),
      unsupported: count("unsupported"),
    }
  })

/** Markdown, which also reads well on a terminal. */
export const tableOf = (rows: readonly Row[]): string => {
  const sum = (pick: (row: Row) => number): number => rows.reduce((total, row) => total + pick(row), 0)
  const cells = [
    ["NIP", "", "checks", "passed", "failed", "failed (optional)", "skipped", "unsupported"],
    ["---", "---", "---:", "---:", "---:", "---:", "---:", "---:"],
    ...rows.map((row) => [
      String(row.nip).padStart(2, "0"),
      row.title,
      ...numbersOf(row).map((number) => (number === 0 ? "·" : String(number))),
    ]),
    [
      "all",
      "",
      ...numbersOf({
        checks: sum((row) => row.checks),
        passed: sum((row) => row.passed),
        failedRequired: sum((row) => row.failedRequired),
        failedOptional: sum((row) => row.failedOptional),
        skipped: sum((row) => row.skipped),
        unsupported: sum((row) => row.unsupported),
      }).map(String),
    ],
  ]
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? "").length))) ?? []
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(" | ")} |`
  return cells.map(line).join("\n")
}

const numbersOf = (row: Omit<Row, "nip" | "title">): readonly number[] => [
  row.checks,
  row.passed,
  row.failedRequired,
  row.failedOptional,
  row.skipped,
  row.unsupported,
]

/** One line for each failure, the required ones first; then what was skipped. */
export const sentencesOf = (outcomes: readonly Outcome[]): readonly string[] => {
  const of = (verdict: Verdict, level: Outcome["level"], word: string): readonly string[] =>
    outcomes
      .filter((outcome) => outcome.verdict === verdict && outcome.level === level)
      .map(({ nip, name, reason }) => `${word} NIP-${String(nip).padStart(2, "0")} ${name}: ${reason}`)
  return [
    ...of("failed", "required", "FAILED"),
    ...of("failed", "optional", "failed (optional)"),
    ...of("skipped", "required", "skipped"),
    ...of("skipped", "optional", "skipped"),
  ]
}
