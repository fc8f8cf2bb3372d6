/**
 * `npm run mutations [-- --seeds N] [--only NAME]`: proves that the simulator sees. Each deliberate fault is put into a
 * copy of the source, by a text that must stand there exactly once, and the simulator must find it within N seeds (1,000).
 */
import { spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { mutate, mutations } from "./mutation-list.ts"

const root = join(import.meta.dirname, "../../..")

const { values } = parseArgs({
  options: { seeds: { type: "string", default: "1000" }, only: { type: "string" } },
})
const say = (line: string): void => void process.stdout.write(`${line}\n`)
const simulate = (dir: string, seed: number, seeds: number) =>
  spawnSync(
    process.execPath,
    [join(dir, "test/support/world/simulate.ts"), "--seed", `${seed}`, "--seeds", `${seeds}`, "--first"],
    { encoding: "utf8", maxBuffer: 1 << 28 },
  )

/** The first seed that fails with the fault and not without it. */
const seedThatFails = (dir: string, name: string): { readonly seed: number; readonly what: string } | undefined => {
  const last = Number(values.seeds)
  for (let from = 1; from <= last;) {
    const { status, stdout, stderr } = simulate(dir, from, last - from + 1)
    const [, seed, what = ""] = /^seed (\d+) FAILS: (.*)$/m.exec(stdout) ?? []
    // A copy that cannot run at all proves nothing.
    if (status !== 0 && seed === undefined) throw new Error(`"${name}" does not run: ${stderr.slice(0, 2000)}`)
    if (seed === undefined) return undefined
    if (simulate(root, Number(seed), 1).status === 0) return { seed: Number(seed), what }
    from = Number(seed) + 1
  }
  return undefined
}

let missed = 0
for (const [name, changes] of Object.entries(mutations)) {
  if (values.only !== undefined && name !== values.only) continue
  const dir = mkdtempSync(join(tmpdir(), "wizardly-mutation-"))
  try {
    for (const room of ["src", "actors", "machines", "test", "package.json"])
      cpSync(join(root, room), join(dir, room), { recursive: true })
    symlinkSync(join(root, "node_modules"), join(dir, "node_modules"))
    for (const change of changes) {
      const file = join(dir, change.file)
      writeFileSync(file, mutate(readFileSync(file, "utf8"), change))
    }
    const caught = seedThatFails(dir, name)
    if (caught === undefined) missed++
    say(caught === undefined ? `MISSED  ${name}` : `caught  ${name}: seed ${caught.seed}, ${caught.what.slice(0, 140)}`)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
process.exitCode = missed > 0 ? 1 : 0
