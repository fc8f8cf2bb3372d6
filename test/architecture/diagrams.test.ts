import { readdirSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { diagrams, stale } from "../../docs/diagrams.ts"
import { machines } from "../../machines/machines.ts"

describe("diagrams", () => {
  it("are what the machines say (else: npm run diagrams)", () => {
    expect(stale()).toEqual([])
  })

  it("every statechart is in the list", () => {
    const files = readdirSync(new URL("../../machines/", import.meta.url)).filter((file) => file.endsWith(".ts"))
    const charts = files.filter((file) => file !== "machines.ts").map((file) => file.slice(0, -3))
    expect(Object.keys(machines).toSorted()).toEqual(charts.toSorted())
  })

  it("show states, events, guards and ends", () => {
    const wizard = diagrams().get("wizard.md") ?? ""
    for (const part of [
      'state "catching-up" as catching_up',
      "ready__settling --> ready__busy: at once [hasQueue] / pump",
      "stopped --> [*]",
      "- anything else / refuse",
    ])
      expect(wizard).toContain(part)
  })
})
