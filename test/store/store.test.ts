import { describe, expect, it, onTestFinished } from "vitest"
import { migrations } from "../../src/store/migrations.ts"
import { openDatabase } from "../../src/store/sqlite.ts"
import { storeOver } from "../../src/store/store.ts"

describe("the outbox", () => {
  it("is asked by its indexes only, whatever it holds: nothing reads through a table", () => {
    const database = openDatabase({ file: ":memory:", migrations })
    onTestFinished(database.close)
    // Of one that is not known nothing is asked.
    database.exec("INSERT INTO actor (name) VALUES ('counter/a')")
    const asked = new Set<string>()
    const { outbox, delivery, journal } = storeOver({
      ...database,
      statement: (sql) => {
        asked.add(sql)
        return database.statement(sql)
      },
    })
    const ask = (): void => {
      const place = { position: 1, effect: "counter/a/1/0" }
      outbox.pending("publish", "timmy", place, 9)
      outbox.unanswered("publish", "timmy", "wss://a", place, 9)
      outbox.answered("publish", "timmy", ["wss://a"], place, 9)
      outbox.countPending("publish", "timmy")
      outbox.of("counter/a")
      outbox.holds("counter/a", "id")
      outbox.allDead()
      outbox.last()
      delivery.of(place)
    }
    asked.clear()
    ask()
    // `r` and `p` are no tables: the relays that are asked about, and the steps of one actor.
    const scans = (): readonly string[] =>
      [...asked].flatMap((sql) =>
        (database.statement(`EXPLAIN QUERY PLAN ${sql}`).all(valuesFor(sql)) as { readonly detail: string }[])
          .map(({ detail }) => detail)
          .filter((detail) => detail.startsWith("SCAN") && !/^SCAN [rp]\b/.test(detail)),
      )
    expect([asked.size, scans()]).toEqual([10, []])
    database.transaction(() => {
      for (let n = 1; n <= 5_000; n++) {
        const [actor, seq] = [`counter/${n % 100}`, Math.floor(n / 100) + 1]
        const at = {
          machine: "counter",
          version: 1,
          cause: `${n}`,
          at_ms: n,
          event: "{}",
          state: "counting",
          refused: 0,
        }
        journal.append({ position: n, actor, seq, ...at })
        const effect = `${actor}/${seq}/0`
        outbox.add({ effect, position: n, kind: "publish", actor, owner: "timmy", payload: "{}", event_id: `${n}` })
        if (n % 3 > 0) outbox.done({ position: n, effect })
      }
    })
    database.exec("ANALYZE")
    asked.clear()
    ask()
    expect(scans()).toEqual([])
  })
})

/** Something for each value that a statement asks for. */
const valuesFor = (sql: string): unknown =>
  sql.includes("@") ? { actor: 1, eventId: "id" } : Array.from(sql.matchAll(/\?/g), () => "[]")
