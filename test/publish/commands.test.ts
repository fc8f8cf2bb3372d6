/** What relays hear of commands: those that come later, and those that were away while a command ended. */
import { join } from "node:path"
import { describe, expect, it, onTestFinished } from "vitest"
import type { Signer } from "../../src/identity/signer.ts"
import { limits as defaults } from "../../src/limits.ts"
import type { NostrEvent } from "../../src/protocol/event.ts"
import { readReceipt } from "../../src/protocol/receipt.ts"
import { openPublisher, type Outlet } from "../../src/publish/publisher.ts"
import { answers } from "../../src/runtime/answers.ts"
import { actorOf, envelope, keys, openCommandHost, receive, temporaryFolder } from "../support/engine.ts"

const signer: Signer = {
  pubkey: keys.timmy,
  sign: async (events) => events.map((event) => ({ ...event, sig: "0".repeat(128) })),
}

const open = (file = join(temporaryFolder(), "runtime.db"), relays: readonly string[] = ["wss://a"]) => {
  const host = openCommandHost({ file, answers: answers(defaults) })
  const { engine, store, clock } = host
  const publisher = openPublisher({ engine, store, clock, limits: defaults, warn: () => {} })
  onTestFinished(publisher.close)
  publisher.open("timmy", signer, relays)
  return {
    ...host,
    publisher,
    file,
    /** Lets everything happen that happens without the clock. */
    quiet: async () => {
      for (let n = 0; n < 20; n++) {
        await engine.write(() => undefined).catch(() => undefined)
        await new Promise<void>((resolve) => setImmediate(resolve))
      }
    },
    stop: async () => {
      publisher.close()
      await host.close()
    },
    /** From `received` to where a person would look. */
    work: async (number: number, form: "command" | "note", ends: boolean) => {
      await engine.deliver([receive(number, { command: { form } }), envelope(number, "begin", { type: "begin" })])
      const result = { text: "done" }
      if (ends) await engine.deliver([envelope(number, "end", { type: "succeed", attempt: 1, result })])
    },
  }
}

const relay = (url: string, isThere = (): boolean => true) => {
  const taken: NostrEvent[] = []
  const outlet: Outlet = {
    relay: url,
    publish: async (event) => {
      if (!isThere()) throw new Error("not connected")
      taken.push(event)
      return { accepted: true, message: "" }
    },
  }
  return {
    outlet,
    taken,
    told: () => taken.map((event) => readReceipt(event)?.status ?? `${event.kind} ${event.content.slice(0, 4)}`),
  }
}

describe("a relay that comes later", () => {
  it("U8: is offered the receipts and artifacts of commands that have not ended, once, and not those that have", async () => {
    const held = open()
    const first = relay("wss://a")
    held.publisher.attach("timmy", first.outlet)
    await held.work(1, "note", true)
    await held.work(2, "note", false)
    await held.quiet()
    expect(held.publisher.backlog("timmy")).toBe(0)
    const before = first.taken.length
    const later = relay("wss://b")
    await held.publisher.know("timmy", "wss://b")
    expect(held.publisher.backlog("timmy", "wss://b")).toBe(3)
    held.publisher.attach("timmy", later.outlet)
    await held.quiet()
    expect(later.told()).toEqual(["received", "acknowledged", "working"])
    expect(later.taken.every((event) => first.taken.some(({ id, sig }) => id === event.id && sig === event.sig))).toBe(
      true,
    )
    expect([first.taken.length, held.publisher.backlog("timmy")]).toEqual([before, 0])
    // What comes now goes to both, and nothing is told twice.
    await held.engine.deliver([envelope(2, "end", { type: "succeed", attempt: 1, result: { text: "done" } })])
    await held.publisher.know("timmy", "wss://b")
    await held.quiet()
    expect(later.told().slice(3)).toEqual(first.told().slice(before))
  })

  it("U8: named at a start it is offered the same, also where the process ended before that was written", async () => {
    const first = open()
    const one = relay("wss://a")
    first.publisher.attach("timmy", one.outlet)
    await first.work(1, "command", false)
    await first.quiet()
    await first.stop()
    const second = open(first.file, ["wss://a", "wss://b"])
    // Ends at once: what is written of it by then is written.
    await second.stop()
    const third = open(first.file, ["wss://a", "wss://b"])
    const later = relay("wss://b")
    for (const { outlet } of [one, later]) third.publisher.attach("timmy", outlet)
    await third.quiet()
    expect([later.told(), one.told()]).toEqual([
      ["received", "acknowledged", "working"],
      ["received", "acknowledged", "working"],
    ])
  })

  it("U8: gets what no relay has heard of yet, ended or not", async () => {
    const held = open()
    held.publisher.attach("timmy", relay("wss://a", () => false).outlet)
    await held.work(1, "command", true)
    await held.quiet()
    const later = relay("wss://b")
    await held.publisher.know("timmy", "wss://b")
    held.publisher.attach("timmy", later.outlet)
    await held.quiet()
    expect(later.told().slice(0, 3)).toEqual(["received", "acknowledged", "working"])
    expect(later.told()).toContain("artifact-reported")
  })

  it("U8: is not told of an ended command that waits only for others", async () => {
    const held = open(undefined, ["wss://a", "wss://c"])
    held.publisher.attach("timmy", relay("wss://a").outlet)
    await held.work(1, "command", true)
    await held.quiet()
    const waits = held.publisher.backlog("timmy")
    const later = relay("wss://b")
    await held.publisher.know("timmy", "wss://b")
    held.publisher.attach("timmy", later.outlet)
    await held.quiet()
    expect([later.taken, held.publisher.backlog("timmy")]).toEqual([[], waits])
    held.publisher.attach("timmy", relay("wss://c").outlet)
    await held.quiet()
    expect(held.store.outbox.of(actorOf(1)).map(({ state }) => state)).not.toContain("dead")
    expect(held.publisher.backlog("timmy")).toBe(0)
  })

  it("U8: forgotten and known again it is offered what came meanwhile; what waited for it alone is settled", async () => {
    const held = open(undefined, ["wss://a", "wss://b"])
    held.publisher.attach("timmy", relay("wss://a").outlet)
    held.publisher.attach("timmy", relay("wss://b", () => false).outlet)
    await held.work(1, "command", false)
    await held.quiet()
    expect(held.publisher.backlog("timmy", "wss://b")).toBe(3)
    await held.publisher.forget("timmy", "wss://b")
    expect(held.publisher.backlog("timmy")).toBe(0)
    const back = relay("wss://b")
    await held.publisher.know("timmy", "wss://b")
    held.publisher.attach("timmy", back.outlet)
    await held.quiet()
    expect(back.told()).toEqual(["received", "acknowledged", "working"])
  })
})

describe("a relay that was away", () => {
  it("U10: is not told by a reaction that something was begun which has ended meanwhile; the rest it is", async () => {
    const held = open(undefined, ["wss://a", "wss://b"])
    const here = relay("wss://a")
    let isBack = false
    const away = relay("wss://b", () => isBack)
    for (const { outlet } of [here, away]) held.publisher.attach("timmy", outlet)
    await held.work(1, "note", false)
    await held.quiet()
    await held.engine.deliver([envelope(1, "end", { type: "succeed", attempt: 1, result: { text: "done" } })])
    await held.quiet()
    expect(here.told()).toContain("7 👀")
    isBack = true
    held.publisher.reconnected("timmy", "wss://b")
    await held.quiet()
    expect(away.told()).toEqual(here.told().filter((told) => told !== "7 👀"))
    expect(away.told()).toContain("7 ✅")
    expect([held.publisher.backlog("timmy"), held.store.outbox.deadPlaces()]).toEqual([0, []])
  })

  it("U10: where no relay was there, the reaction is done, not dead", async () => {
    const held = open()
    await held.work(1, "note", true)
    const away = relay("wss://a")
    held.publisher.attach("timmy", away.outlet)
    await held.quiet()
    expect(away.told()).not.toContain("7 👀")
    const states = held.store.outbox.of(actorOf(1)).filter(({ kind }) => kind === "publish")
    expect(new Set(states.map(({ state }) => state))).toEqual(new Set(["done"]))
  })
})
