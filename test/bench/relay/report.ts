/** What was measured, as rows of figures by relay; printed as a table with each figure's ratio, ours to theirs, or as JSON. */

export interface Row {
  readonly section: string
  readonly measure: string
  readonly unit: string
  /** By relay; text where there is no figure: why. */
  readonly values: Readonly<Record<string, number | string>>
}

/** An aim that was set before anything was measured. */
export interface Aim {
  readonly text: string
  /** Undefined: this run cannot tell. */
  readonly reached: boolean | undefined
  readonly measured: string
}

export const oursName = "ours"

export const table = (relays: readonly string[], rows: readonly Row[]): string => {
  const labelWidth = Math.max(...rows.map(labelOf).map((label) => label.length)) + 2
  const width = Math.max(12, ...relays.map((name) => name.length)) + 2
  const line = (label: string, cells: readonly string[]): string =>
    (label.padEnd(labelWidth) + cells.map((cell) => cell.padStart(width)).join("")).trimEnd()
  const out: string[] = []
  let section = ""
  for (const row of rows) {
    if (row.section !== section) {
      section = row.section
      out.push("", line(section, relays))
    }
    out.push(
      line(
        labelOf(row),
        relays.map((name) => cell(row.values[name])),
      ),
    )
    const ratios = relays.map((name) => ratio(row.values[oursName], row.values[name]))
    if (ratios.some((text, index) => relays[index] !== oursName && text !== ""))
      out.push(line("    ours / theirs", ratios))
  }
  return out.slice(1).join("\n")
}

const labelOf = ({ measure, unit }: Row): string => `  ${measure}${unit === "" ? "" : `, ${unit}`}`

const cell = (value: number | string | undefined): string =>
  typeof value === "number" ? figure(value) : (value ?? "-").slice(0, 16)

export const figure = (value: number): string =>
  Number.isNaN(value) ? "-" : Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2)

const ratio = (ours: number | string | undefined, theirs: number | string | undefined): string =>
  typeof ours === "number" && typeof theirs === "number" && theirs !== 0 && !Number.isNaN(ours / theirs)
    ? `${(ours / theirs).toFixed(2)}×`
    : ""

export const aimLine = ({ text, reached, measured }: Aim): string =>
  `${reached === undefined ? "not told   " : reached ? "reached    " : "not reached"}  ${text}: ${measured}`
