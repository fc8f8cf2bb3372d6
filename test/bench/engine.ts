/**
 * Signed durable commands a second, end to end in one process: verify, judge, receive, begin, run an executor that does
 * nothing, succeed; four signed receipts and the artifact event; every step on the disk before the next. Beside it, in
 * the same run, the ceilings: the same signatures alone, and the same writes in the same transactions alone.
 *
 *   --commands N (5000)  --notes N (20; the note executor, reported apart)
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { openDatabase } from "../../src/store/sqlite.ts"
import { migrations } from "../../src/store/migrations.ts"
import { openCouncil, secretOf, type Council } from "./council.ts"
import { withId } from "../../src/protocol/event.ts"

/** What one command costs: events verified, events signed. */
const verifiedEach = 1
const signedEach = 5
const concurrent = 512
const connections = 3

export const engine = async (args: readonly string[]): Promise<void> => {
  const { values } = parseArgs({
    args: [...args],
    options: { commands: { type: "string", default: "5000" }, notes: { type: "string", default: "20" } },
  })
  const count = Number(values.commands)
  const council = await openCouncil({ executor: "none", concurrent })
  await run(council, Math.min(500, count))
  const signatures = await signaturesAlone(council, count)
  const done = await run(council, count)
  await council.close()
  // Once more with every write kept, which would have slowed the measured run.
  const recorded = await openCouncil({ executor: "none", concurrent, record: true })
  await run(recorded, count)
  const { perSecond: sqlite, writes } = await sqliteAlone(recorded, count)
  await recorded.close()

  const ceiling = 1 / (1 / signatures + 1 / sqlite)
  const print = (line: string): void => void process.stdout.write(`${line}\n`)
  print(`${count} commands, signatures by ${council.signatures.backend}`)
  print(`end to end                ${figure(done)} commands/s (${council.groups()} transactions)`)
  print(
    `signatures alone          ${figure(signatures)} commands/s (${verifiedEach} verified, ${signedEach} signed each)`,
  )
  print(
    `SQLite alone              ${figure(sqlite)} commands/s (the same ${writes.toFixed(1)} writes each, in the same transactions, durable)`,
  )
  print(`both, one after the other ${figure(ceiling)} commands/s`)
  print(`end to end / that ceiling ${(done / ceiling).toFixed(2)}`)
  print(`end to end / signatures   ${(done / signatures).toFixed(2)}`)
  print(`end to end / SQLite       ${(done / sqlite).toFixed(2)}`)

  const notes = Number(values.notes)
  if (notes === 0) return
  const noting = await openCouncil({ executor: "note", concurrent: 1 })
  await run(noting, 2)
  const noted = await run(noting, notes)
  await noting.close()
  print(`note executor, apart      ${figure(noted)} commands/s (one at a time: clone, commit, verify, claim)`)
}

/** Commands a second, from the first byte to the last end and signature. */
const run = async (council: Council, count: number): Promise<number> => {
  const events = await council.commands(count)
  const before = council.store.journal.last()
  const began = performance.now()
  const settled = council.settled(count)
  const batches = Array.from({ length: Math.ceil(count / 256) }, (_, i) => events.slice(i * 256, (i + 1) * 256))
  // As from a few connections: each hands over its next batch when the one before is durable.
  const feed = batches.values()
  await Promise.all(
    Array.from({ length: connections }, async () => {
      for (const batch of feed) await council.take(batch)
    }),
  )
  await settled
  const seconds = (performance.now() - began) / 1000
  if (council.store.journal.last() - before < count * 3) throw new Error("fewer steps than three a command")
  return count / seconds
}

const signaturesAlone = async (council: Council, count: number): Promise<number> => {
  const signer = council.signatures.signerFor(secretOf(3))
  const unsigned = Array.from({ length: count }, (_, i) =>
    withId(signer.pubkey, { kind: 1, created_at: i, tags: [], content: String(i) }),
  )
  const signed = await signer.sign(unsigned)
  const began = performance.now()
  await Promise.all([
    council.signatures.verifier.verify(signed),
    ...Array.from({ length: signedEach }, () => signer.sign(unsigned)),
  ])
  return count / ((performance.now() - began) / 1000)
}

/** What the run wrote, written once more into an empty database in the same transactions; nothing is read or computed. */
const sqliteAlone = async (
  council: Council,
  commands: number,
): Promise<{ readonly perSecond: number; readonly writes: number }> => {
  const file = join(council.dir, "alone.db")
  const database = openDatabase({ file, migrations })
  const began = performance.now()
  for (const group of council.written) {
    database.transaction(() => {
      for (const [sql, values] of group) database.statement(sql).run(...values)
    })
    await database.sync()
  }
  const seconds = (performance.now() - began) / 1000
  database.close()
  rmSync(file)
  const writes = council.written.reduce((sum, group) => sum + group.length, 0)
  return { perSecond: commands / seconds, writes: writes / commands }
}

const figure = (value: number): string => value.toFixed(0).padStart(7)
