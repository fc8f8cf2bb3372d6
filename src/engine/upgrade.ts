/**
 * Brings unended actors that an older machine version wrote up to this one, at start, after a backup, in one
 * transaction. A version that no migration leads on from is refused, and nothing is changed.
 */
import { migrations, type Migration } from "../../machines/migrations/migrations.ts"
import type { SnapshotRow, StoreShape } from "../store/store.ts"
import { NoMigration, type ActorKind } from "./command-host.ts"

/** How many actors were brought up. Throws NoMigration. */
export const upgradeActors = async (
  store: StoreShape,
  kinds: Readonly<Record<string, ActorKind>>,
  backupFile: string,
  ways: Readonly<Record<string, readonly Migration[]>> = migrations,
): Promise<number> => {
  const moved: SnapshotRow[] = []
  for (const row of store.snapshot.unended()) {
    const kind = kinds[row.actor.slice(0, row.actor.indexOf("/"))]
    if (kind === undefined || row.version === kind.version) continue
    const refusal = new NoMigration({ actor: row.actor, machine: row.machine, found: row.version, known: kind.version })
    if (row.version > kind.version) throw refusal
    let stored = { state: row.state, context: JSON.parse(row.context) as unknown }
    for (let from = row.version; from < kind.version; from++) {
      const way = ways[row.machine]?.[from - 1]
      if (way === undefined) throw refusal
      stored = way(stored)
    }
    kind.machine.resolveState({ value: stored.state, context: stored.context })
    moved.push({ ...row, version: kind.version, state: stored.state, context: JSON.stringify(stored.context) })
  }
  if (moved.length === 0) return 0
  await store.database.backup(backupFile)
  store.database.transaction(() => moved.forEach((row) => store.snapshot.put(row)))
  await store.database.sync()
  return moved.length
}
