/** The deliberate faults of `npm run mutations` can still be made: each of their texts stands once where it is looked for. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import { mutate, mutations } from "../support/world/mutation-list.ts"

it.each(Object.entries(mutations))("%s", (_, changes) => {
  for (const change of changes) {
    const text = readFileSync(join(import.meta.dirname, "../..", change.file), "utf8")
    expect(mutate(text, change)).not.toBe(text)
  }
})
