import { existsSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import type { Migration } from "../../machines/migrations/migrations.ts"
import { machines } from "../../machines/machines.ts"
import { version as commandVersion } from "../../machines/command.ts"
import { migrations } from "../../machines/migrations/migrations.ts"
import { NoMigration, type ActorKind, type Envelope } from "../../src/engine/command-host.ts"
import { upgradeActors } from "../../src/engine/upgrade.ts"
import { openStore } from "../../src/store/store.ts"
import { counter } from "./counter.ts"
import { openHost, temporaryFolder } from "../support/engine.ts"

const at = (version: number): Readonly<Record<string, ActorKind>> => ({ counter: { ...counter, version } })
const made = (name: string): Envelope => ({
  actor: `counter/${name}`,
  cause: "made",
  event: { type: "receive", input: { from: 1 } },
})
const finish = (name: string): Envelope => ({ actor: `counter/${name}`, cause: "end", event: { type: "finish" } })
const doubled: Migration = ({ state, context }) => ({
  state,
  context: { total: (context as { total: number }).total * 2 },
})

/** A store that version 1 wrote: `a` and `b` go on, `done` has ended. */
const written = async () => {
  const folder = temporaryFolder()
  const file = join(folder, "runtime.db")
  const { engine, close } = openHost({ file, kinds: at(1) })
  await engine.deliver([made("a"), made("b"), made("done"), finish("done")])
  await close()
  return { file, backup: join(folder, "before.db") }
}

describe("upgrade", () => {
  it("brings up what has not ended, through every version between, after a backup", async () => {
    const { file, backup } = await written()
    const { store, engine } = openHost({ file, kinds: at(3) })
    expect(await upgradeActors(store, at(3), backup, { counter: [doubled, doubled] })).toBe(2)
    const totals = async () =>
      Promise.all(
        ["a", "b", "done"].map(async (name) => {
          const view = await engine.read(`counter/${name}`)
          return [view?.version, view?.context]
        }),
      )
    expect(await totals()).toEqual([
      [3, { total: 4 }],
      [3, { total: 4 }],
      [1, { total: 1 }],
    ])
    const before = openStore(backup, { readonly: true })
    expect(before.snapshot.get("counter/a")).toMatchObject({ version: 1, context: '{"total":1}' })
    before.database.close()
    expect(await engine.deliver([{ actor: "counter/a", cause: "1", event: { type: "add", by: 1 } }])).toEqual([
      "applied",
    ])
    expect(await engine.read("counter/a")).toMatchObject({ context: { total: 5 }, seq: 2 })
    // A second start has nothing to do.
    expect(await upgradeActors(store, at(3), backup, { counter: [doubled, doubled] })).toBe(0)
  })

  it.each([
    ["no way from it is known", 3, [doubled]],
    ["a newer version wrote it", 0, []],
    ["a way leads to a state that there is not", 2, [(): ReturnType<Migration> => ({ state: "gone", context: {} })]],
    [
      "a way throws",
      2,
      [
        (): never => {
          throw new Error("cannot be read")
        },
      ],
    ],
  ] as const)("is refused, and changes nothing, where %s", async (_, version, ways) => {
    const { file, backup } = await written()
    const { store } = openHost({ file, kinds: at(version) })
    await expect(upgradeActors(store, at(version), backup, { counter: ways })).rejects.toBeInstanceOf(Error)
    expect(store.snapshot.get("counter/a")).toMatchObject({ version: 1, context: '{"total":1}' })
    expect(existsSync(backup)).toBe(false)
  })

  it("says what to do where there is no way", async () => {
    const { file, backup } = await written()
    const { store } = openHost({ file, kinds: at(2) })
    const refusal = await upgradeActors(store, at(2), backup, {}).catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(NoMigration)
    expect((refusal as NoMigration).message).toContain("install the version that wrote it")
  })

  it("every durable machine has a way from each of its versions to the next", () => {
    expect(Object.keys(machines)).toContain("command")
    expect(migrations["command"]?.length).toBe(commandVersion - 1)
  })
})
