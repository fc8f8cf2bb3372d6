import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as fc from "fast-check"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { openEngine, type EngineShape } from "../../src/engine/engine.ts"
import { openSignatures, type Signatures } from "../../src/identity/signature-pool.ts"
import type { Signer } from "../../src/identity/signer.ts"
import { limits } from "../../src/limits.ts"
import type { NostrEvent } from "../../src/protocol/event.ts"
import { openRosterKeeper, RosterRefused, type RosterKeeper } from "../../src/runtime/roster-keeper.ts"
import { virtualClock } from "../../src/services/clock.ts"
import { openStore, type StoreShape } from "../../src/store/store.ts"

const folder = mkdtempSync(join(tmpdir(), "wizardly-keeper-"))
const [relayA, relayB] = ["ws://a.example", "ws://b.example"]
const clock = virtualClock()
let signatures: Signatures
let council: Signer
let serial = 0

beforeAll(async () => {
  signatures = await openSignatures({ workers: 0 })
  council = signatures.signerFor(Uint8Array.from({ length: 32 }, (_, i) => i + 1))
})

afterAll(async () => {
  await signatures.close()
  rmSync(folder, { recursive: true, force: true })
})

interface Held {
  readonly store: StoreShape
  readonly engine: EngineShape
  readonly keeper: RosterKeeper
  readonly warned: string[]
  /** Another keeper of the same store, as after a restart. */
  readonly again: () => RosterKeeper
  readonly close: () => Promise<void>
}

const open = (given: { fresh?: boolean; signs?: boolean; relays?: readonly string[] } = {}): Held => {
  const store = openStore(join(folder, `${serial++}.db`))
  const engine = openEngine({ store, clock, limits, kinds: {} })
  const warned: string[] = []
  const again = (): RosterKeeper =>
    openRosterKeeper({
      council: council.pubkey,
      signer: given.signs === false ? undefined : council,
      fresh: given.fresh ?? false,
      relays: given.relays ?? [relayA, relayB],
      engine,
      store,
      clock,
      warn: (message) => warned.push(message),
    })
  const close = async (): Promise<void> => {
    await engine.stop()
    store.database.close()
  }
  return { store, engine, keeper: again(), warned, again, close }
}

const operator = (n: number) => ({ type: "add-operator", pubkey: String(n).padStart(64, "0"), label: "" }) as const

/** A chain of that many versions, as the council signs it; another `first` makes another chain. */
const chainOf = async (length: number, first = 1): Promise<readonly NostrEvent[]> => {
  const { keeper, close } = open({ fresh: true })
  for (let n = 0; n < length; n++) await keeper.amend([operator(first + n)])
  const versions = keeper.versions().map(({ event }) => event())
  await close()
  return versions
}

describe("what relays bring", () => {
  it("K1: whatever the order and the copies, the whole chain comes into force, and is there after a restart", async () => {
    const chain = await chainOf(6)
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray([...chain, ...chain], { minLength: 12, maxLength: 12 }), async (order) => {
        const { keeper, again, close } = open()
        const heard: number[] = []
        keeper.watch(({ version }) => heard.push(version))
        await Promise.all(order.map(keeper.offer))
        expect(keeper.versions().map(({ id }) => id)).toEqual(chain.map(({ id }) => id))
        expect(keeper.inForce()?.version).toBe(6)
        expect(heard).toEqual([...new Set(heard)].toSorted((a, b) => a - b))
        expect(heard.at(-1)).toBe(6)
        expect(again().inForce()?.id).toBe(chain[5]?.id)
        await close()
      }),
      { numRuns: 25 },
    )
  })

  it("K1: a version that cannot be stored does not count, and can be brought again", async () => {
    const [first] = (await chainOf(1)) as [NostrEvent]
    const { keeper, store, close } = open()
    const trigger = "CREATE TRIGGER full BEFORE INSERT ON roster BEGIN SELECT RAISE(ABORT, 'no room'); END"
    store.database.exec(trigger)
    await expect(keeper.offer(first)).rejects.toThrow("no room")
    expect(keeper.inForce()).toBeUndefined()
    store.database.exec("DROP TRIGGER full")
    await keeper.offer(first)
    expect(keeper.inForce()?.version).toBe(1)
    await close()
  })

  it("passes over what is not the council's, and keeps the held one of a fork, with a warning", async () => {
    const [ours, theirs] = await Promise.all([chainOf(2), chainOf(2, 50)])
    const stranger = signatures.signerFor(new Uint8Array(32).fill(9))
    const { keeper, warned, close } = open()
    await keeper.offer(ours[0] as NostrEvent)
    await keeper.offer({ ...(ours[1] as NostrEvent), pubkey: stranger.pubkey })
    expect(keeper.inForce()?.version).toBe(1)
    for (const event of theirs) await keeper.offer(event)
    expect(keeper.inForce()?.id).toBe(ours[0]?.id)
    expect(warned.join("\n")).toMatch(/forks/)
    await close()
  })
})

describe("K3: nothing is signed before the relays gave what they hold", () => {
  it("all of them, where no version is held here", async () => {
    const { keeper, close } = open()
    keeper.heardRelay(relayA)
    await expect(keeper.amend([operator(1)])).rejects.toThrow(/ws:\/\/b\.example/)
    expect(keeper.versions()).toEqual([])
    keeper.heardRelay(relayB)
    await keeper.read
    expect((await keeper.amend([operator(1)])).version).toBe(1)
    await close()
  })

  it("one of them, where one is held; and what it gave is gone on from", async () => {
    const chain = await chainOf(3)
    const { keeper, close } = open()
    await keeper.offer(chain[0] as NostrEvent)
    await expect(keeper.amend([operator(9)])).rejects.toBeInstanceOf(RosterRefused)
    for (const event of chain.slice(1)) await keeper.offer(event)
    keeper.heardRelay(relayB)
    await keeper.read
    expect((await keeper.amend([operator(9)])).version).toBe(4)
    await close()
  })

  it("a relay that comes later counts like the others, and one that goes is not waited for", async () => {
    const { keeper, close } = open()
    keeper.addRelay("ws://c.example")
    keeper.heardRelay(relayA)
    keeper.heardRelay(relayB)
    await expect(keeper.amend([operator(1)])).rejects.toThrow(/ws:\/\/c\.example/)
    keeper.removeRelay("ws://c.example")
    expect((await keeper.amend([operator(1)])).version).toBe(1)
    // One was heard, and a version is held.
    keeper.addRelay("ws://d.example")
    keeper.removeRelay(relayA)
    expect((await keeper.amend([operator(2)])).version).toBe(2)
    await close()
  })

  it("a council made by this start has no past; one kept elsewhere signs nothing", async () => {
    const fresh = open({ fresh: true })
    await fresh.keeper.read
    expect((await fresh.keeper.amend([operator(1)])).version).toBe(1)
    await fresh.close()
    const elsewhere = open({ signs: false, relays: [] })
    await expect(elsewhere.keeper.amend([operator(1)])).rejects.toThrow(/not kept here/)
    await elsewhere.close()
  })

  it("two changes at once make two versions, and one that changes to nonsense makes none", async () => {
    const { keeper, close } = open({ fresh: true })
    const made = await Promise.all([keeper.amend([operator(1)]), keeper.amend([operator(2)])])
    expect(made.map(({ version }) => version)).toEqual([1, 2])
    await expect(keeper.amend([operator(2)])).rejects.toThrow(/listed twice/)
    expect(keeper.inForce()?.operators.length).toBe(2)
    expect(keeper.versions().length).toBe(2)
    await close()
  })
})
