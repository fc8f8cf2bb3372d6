/** Databases that an older version wrote are brought up to date with every value that they held. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import SQLite from "better-sqlite3"
import * as fc from "fast-check"
import { describe, expect, it, onTestFinished } from "vitest"
import { migrations } from "../../src/store/migrations.ts"
import { openStore, outboxStart, type OutboxRow, type StoreShape } from "../../src/store/store.ts"
import { counter } from "../engine/counter.ts"
import { openHost } from "../support/engine.ts"

/** An effect as version 1 held it; its name was actor/sequence/index. */
interface Owed {
  readonly actor: string
  readonly seq: number
  readonly idx: number
  readonly position: number
  readonly kind?: string
  readonly owner?: string
  readonly state?: OutboxRow["state"]
  readonly error?: string
  readonly sig?: string
  readonly deliveries?: readonly { relay: string; state: string; tries: number; error: string | null }[]
}
/** A step in the journal. */
interface Stepped {
  readonly actor: string
  readonly seq: number
  readonly position: number
}

const nameOf = ({ actor, seq, idx }: Owed): string => `${actor}/${seq}/${idx}`

const newFile = (): string => {
  const dir = mkdtempSync(join(tmpdir(), "migrations-"))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return join(dir, "runtime.db")
}

/** Written as version 1 did. */
const version1 = (file: string, steps: readonly Stepped[], effects: readonly Owed[]): void => {
  const db = new SQLite(file)
  db.pragma("journal_mode = WAL")
  db.exec(`${migrations[0]}; PRAGMA user_version = 1`)
  const actors = [...new Set([...steps, ...effects].map(({ actor }) => actor))]
  const keyOf = (actor: string): number => actors.indexOf(actor) + 1
  const run = (text: string, ...values: unknown[]): void => void db.prepare(text).run(...values)
  db.transaction(() => {
    for (const actor of actors) {
      const last = Math.max(0, ...steps.filter((step) => step.actor === actor).map(({ seq }) => seq))
      run("INSERT INTO actor (key, name) VALUES (?, ?)", keyOf(actor), actor)
      run(
        "INSERT INTO snapshot (actor, machine, version, seq, state, context, done, fault) VALUES (?, 'counter', 1, ?, 'counting', '{\"total\":1}', 0, ?)",
        keyOf(actor),
        last,
        effects.some((each) => each.actor === actor && each.seq > last) ? "it broke" : null,
      )
    }
    for (const { actor, seq, position } of steps)
      run(
        "INSERT INTO journal (position, actor, seq, machine, version, cause, at_ms, event, state) VALUES (?, ?, ?, 'counter', 1, ?, 1, '{}', 'counting')",
        position,
        keyOf(actor),
        seq,
        `cause ${seq}`,
      )
    for (const owed of effects) {
      const at = [keyOf(owed.actor), owed.seq, owed.idx]
      run(
        "INSERT INTO outbox (actor, seq, idx, position, kind, owner, payload, event_id, state, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ...at,
        owed.position,
        owed.kind ?? "publish",
        owed.owner ?? "timmy",
        `{"is":"${nameOf(owed)}"}`,
        `id of ${nameOf(owed)}`,
        owed.state ?? "pending",
        owed.error ?? null,
      )
      if (owed.sig !== undefined)
        run("INSERT INTO signature (actor, seq, idx, sig) VALUES (?, ?, ?, ?)", ...at, owed.sig)
      for (const { relay, state, tries, error } of owed.deliveries ?? [])
        run(
          "INSERT INTO delivery (actor, seq, idx, relay, state, tries, error) VALUES (?, ?, ?, ?, ?, ?, ?)",
          ...at,
          relay,
          state,
          tries,
          error,
        )
    }
  })()
  db.close()
}

const open = (file: string): StoreShape => {
  const store = openStore(file)
  onTestFinished(() => store.database.close())
  return store
}

/** What an effect was, and what it is now; without its position, which only orders. */
const before = (owed: Owed) => ({
  effect: nameOf(owed),
  kind: owed.kind ?? "publish",
  actor: owed.actor,
  owner: owed.owner ?? "timmy",
  payload: `{"is":"${nameOf(owed)}"}`,
  event_id: `id of ${nameOf(owed)}`,
  state: owed.state ?? "pending",
  error: owed.error ?? null,
  sig: owed.sig ?? null,
  deliveries: (owed.deliveries ?? []).toSorted((a, b) => (a.relay < b.relay ? -1 : 1)),
})
const after = (store: StoreShape, actor: string) =>
  store.outbox.of(actor).map(({ position, ...row }) => ({
    ...row,
    deliveries: store.delivery
      .of({ position, effect: row.effect })
      .map(({ relay, state, tries, error }) => ({ relay, state, tries, error })),
  }))

const accepted = (relay: string) => ({ relay, state: "accepted", tries: 1, error: null })
const refused = (relay: string) => ({ relay, state: "refused", tries: 20, error: "blocked: no" })

const [a, b, c, d] = ["counter/a", "counter/b", "counter/c", "counter/d"] as const
/** Two actors stepped in turn; two more that were faulted after their first step, in one group with the last step of b. */
const steps: readonly Stepped[] = [
  { actor: a, seq: 1, position: 1 },
  { actor: c, seq: 1, position: 2 },
  { actor: d, seq: 1, position: 3 },
  { actor: b, seq: 1, position: 4 },
  { actor: a, seq: 2, position: 5 },
  { actor: b, seq: 2, position: 6 },
]
const effects: readonly Owed[] = [
  {
    actor: a,
    seq: 1,
    idx: 0,
    position: 1,
    state: "done",
    sig: "1",
    deliveries: [accepted("wss://x"), refused("wss://y")],
  },
  {
    actor: a,
    seq: 1,
    idx: 1,
    position: 1,
    state: "dead",
    error: "wss://x: no",
    sig: "2",
    deliveries: [refused("wss://x")],
  },
  { actor: a, seq: 1, idx: 2, position: 1, kind: "execute", state: "done" },
  { actor: b, seq: 1, idx: 0, position: 4, sig: "3", deliveries: [accepted("wss://x")] },
  { actor: a, seq: 2, idx: 0, position: 5, sig: "4" },
  { actor: b, seq: 2, idx: 0, position: 6, owner: "claude" },
  { actor: b, seq: 2, idx: 1, position: 6 },
  { actor: c, seq: 2, idx: 0, position: 6, kind: "abort", state: "done" },
  { actor: d, seq: 2, idx: 0, position: 6, kind: "abort" },
  { actor: d, seq: 2, idx: 1, position: 6, kind: "abort" },
]

describe("migration 2, the outbox by place", () => {
  it("keeps every value: pending, done, dead, signed, delivered, and what faulted actors owe", () => {
    const file = newFile()
    version1(file, steps, effects)
    const store = open(file)
    for (const actor of [a, b, c, d])
      expect(after(store, actor)).toEqual(effects.filter((owed) => owed.actor === actor).map(before))
    expect(store.outbox.allDead().map(({ effect }) => effect)).toEqual([`${a}/1/1`])
    for (const owed of effects) expect(store.outbox.holds(owed.actor, `id of ${nameOf(owed)}`)).toBe(true)
    expect(store.outbox.holds(a, `id of ${b}/1/0`)).toBe(false)
    expect(store.snapshot.get(d)?.fault).toBe("it broke")
  })

  it("keeps what is owed in its order, to whom, and what each relay lacks", () => {
    const file = newFile()
    version1(file, steps, effects)
    const { outbox } = open(file)
    const names = (rows: readonly OutboxRow[]): readonly string[] => rows.map(({ effect }) => effect)
    expect(names(outbox.pending("publish", "timmy", outboxStart, 9))).toEqual([`${b}/1/0`, `${a}/2/0`, `${b}/2/1`])
    expect(names(outbox.pending("publish", "claude", outboxStart, 9))).toEqual([`${b}/2/0`])
    expect(names(outbox.pending("abort", "timmy", outboxStart, 9))).toEqual([`${d}/2/0`, `${d}/2/1`])
    expect(names(outbox.unanswered("publish", "timmy", "wss://x", outboxStart, 9))).toEqual([`${a}/2/0`, `${b}/2/1`])
    expect(names(outbox.answered("publish", "timmy", ["wss://x"], outboxStart, 9))).toEqual([`${b}/1/0`])
    expect(outbox.countPending("publish", "timmy")).toBe(3)
  })

  it("H6: what is owed after it takes no place that is taken", async () => {
    const file = newFile()
    version1(file, steps, effects)
    const { engine, store, close } = openHost({
      file,
      kinds: { counter },
      projections: { counter: { project: ({ owe }) => owe("publish", {}, { owner: "timmy" }) } },
    })
    await engine.deliver([{ actor: "counter/new", cause: "made", event: { type: "receive", input: { from: 0 } } }])
    const [row] = store.outbox.of("counter/new")
    expect(row?.position).toBeGreaterThan(
      Math.max(...[c, d].flatMap((name) => store.outbox.of(name).map(({ position }) => position))),
    )
    expect(store.outbox.pending("publish", "timmy", outboxStart, 9).at(-1)?.effect).toBe("counter/new/1/0")
    await close()
  })

  it("of a database without rows gives one that works", () => {
    const file = newFile()
    version1(file, [], [])
    const { outbox } = open(file)
    expect([outbox.last(), outbox.allDead()]).toEqual([0, []])
  })

  it("keeps every value of whatever was stepped, owed and answered", () => {
    const state = fc.constantFrom("pending", "done", "dead") as fc.Arbitrary<OutboxRow["state"]>
    const effect = fc.record({ state, isSigned: fc.boolean(), relays: fc.subarray(["wss://x", "wss://y", "wss://z"]) })
    const step = fc.record({ actor: fc.constantFrom(a, b, c), effects: fc.array(effect, { maxLength: 3 }) })
    const all = fc.record({
      steps: fc.array(step, { minLength: 1, maxLength: 12 }),
      faulted: fc.subarray([a, b, c]),
      owed: fc.array(effect, { minLength: 1, maxLength: 2 }),
    })
    fc.assert(
      fc.property(all, ({ steps: taken, faulted, owed }) => {
        const seqs = new Map<string, number>()
        const next = (actor: string): number => (seqs.set(actor, (seqs.get(actor) ?? 0) + 1), seqs.get(actor) ?? 0)
        const journal: Stepped[] = []
        const rows: Owed[] = []
        const owe = (actor: string, seq: number, position: number, list: typeof owed): void =>
          list.forEach(({ state: is, isSigned, relays }, idx) =>
            rows.push({
              actor,
              seq,
              idx,
              position,
              state: is,
              deliveries: relays.map(refused),
              ...(isSigned && { sig: `${rows.length}` }),
            }),
          )
        for (const [n, { actor, effects: list }] of taken.entries()) {
          const at = { actor, seq: next(actor), position: n + 1 }
          journal.push(at)
          owe(actor, at.seq, at.position, list)
        }
        // Version 1 gave these the position of whatever was stepped last.
        for (const actor of faulted) if (seqs.has(actor)) owe(actor, next(actor), journal.length, owed)
        const file = newFile()
        version1(file, journal, rows)
        const store = openStore(file)
        const kept = [a, b, c].map((actor) => after(store, actor))
        store.database.close()
        expect(kept).toEqual([a, b, c].map((actor) => rows.filter((row) => row.actor === actor).map(before)))
      }),
      { numRuns: 40 },
    )
  })
})
