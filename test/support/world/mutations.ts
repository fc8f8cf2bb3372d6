/**
 * `npm run mutations [-- --seeds N] [--only NAME]`: proves that the simulator sees. Each deliberate fault is put into a
 * copy of the source, by a text that must stand there exactly once, and the simulator must find it within N seeds (1,000).
 */
import { spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"

interface Mutation {
  readonly file: string
  readonly from: string
  readonly to: string
}

export const mutations: Readonly<Record<string, readonly Mutation[]>> = {
  "cursor moved before verification": [
    {
      file: "actors/relay-intake.ts",
      from: "  const add = (item: Item): void => {\n",
      to: `  const add = (item: Item): void => {
    if ("event" in item && item.request.phase() === "live")
      void deps
        .take({ subscription: item.request.subscription, relay: deps.url, events: [], cursorMs: item.atMs, phase: "live" })
        .catch(() => undefined)
`,
    },
  ],
  "cursor moved before commit": [
    {
      file: "src/intake/intake.ts",
      from: "    await engine.deliverWith(envelopes, (outcomes) => {\n",
      to: "    await engine.write(() => moveCursor(batch))\n    await engine.deliverWith(envelopes, (outcomes) => {\n",
    },
  ],
  "batch dropped after a failed commit": [
    {
      file: "actors/relay-intake.ts",
      from: "      deps.failed(subscription, error)\n      return\n",
      to: "      return void error\n",
    },
  ],
  "since exclusive": [{ file: "actors/paging.ts", from: "{ since: window.since }", to: "{ since: window.since + 1 }" }],
  "dedupe before verification": [
    {
      file: "actors/relay-reading.ts",
      from: "  const reported = new Set<string>()\n",
      to: "  const reported = new Set<string>()\n  const early = new Set<string>()\n",
    },
    {
      file: "actors/relay-reading.ts",
      from: "      deps.intake.push(asked, event, !asked.ended, bytes)\n",
      to: "      if (early.has(event.id)) return true\n      early.add(event.id)\n      deps.intake.push(asked, event, !asked.ended, bytes)\n",
    },
  ],
  "ack sent before it is durable": [
    {
      file: "src/engine/engine.ts",
      from: "      await database.sync().then(\n        () => tell(group, written),\n",
      to: "      tell(group, written)\n      await database.sync().then(\n        () => undefined,\n",
    },
  ],
  "timer lost on restart": [
    {
      file: "src/engine/alarms.ts",
      from: "  let closed = false\n",
      to: "  let closed = false\n  const lost = new Set(store.timer.due(Number.MAX_SAFE_INTEGER, 1e6).map(({ effect }) => effect))\n",
    },
    {
      file: "src/engine/alarms.ts",
      from: "due.filter(({ actor }) => may(actor))",
      to: "due.filter(({ actor, effect }) => may(actor) && !lost.has(effect))",
    },
  ],
  "resend dropped": [{ file: "src/publish/publisher.ts", from: "    place = floor\n    pump()\n", to: "    pump()\n" }],
  "stale command run": [
    {
      file: "src/intake/intake.ts",
      from: "      stale: nowMs / 1000 - event.created_at > limits.commandAgeSecondsMax,\n",
      to: "      stale: false,\n",
    },
  ],
  "floor ignored": [
    {
      file: "src/intake/intake.ts",
      from: "Math.max(relayFloor, options.authorFloor(event.pubkey))",
      to: "Math.min(0, relayFloor)",
    },
  ],
}

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
    for (const { file, from, to } of changes) {
      const text = readFileSync(join(dir, file), "utf8")
      const times = text.split(from).length - 1
      if (times !== 1) throw new Error(`"${name}": its text stands ${times} times in ${file}, and must once`)
      writeFileSync(
        join(dir, file),
        text.replace(from, () => to),
      )
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
