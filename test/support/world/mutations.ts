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
    const script = join(dir, "test/support/world/simulate.ts")
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [script, "--seeds", values.seeds, "--first", "--no-shrink"],
      { encoding: "utf8", maxBuffer: 1 << 28 },
    )
    const caught = /^seed (\d+) FAILS: (.*)$/m.exec(stdout)
    // A copy that cannot run at all proves nothing.
    if (status !== 0 && caught === null) throw new Error(`"${name}" does not run: ${stderr.slice(0, 2000)}`)
    if (caught === null) missed++
    say(caught === null ? `MISSED  ${name}` : `caught  ${name}: seed ${caught[1]}, ${caught[2]?.slice(0, 140)}`)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
process.exitCode = missed > 0 ? 1 : 0
