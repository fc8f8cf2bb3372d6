import * as fc from "fast-check"
import type { NostrEvent } from "nostr-tools/pure"
import { describe, expect, it } from "vitest"
import { createIntake, type Request } from "../../actors/relay-intake.ts"
import type { Batch } from "../../actors/subscription.ts"
import { virtualClock } from "../../src/services/clock.ts"

interface Site {
  readonly intake: ReturnType<typeof createIntake>
  /** What happened, in order. */
  readonly said: string[]
  readonly request: Request
}

/** Checks and takes that end when they are told to; an event whose content is `forged` is none. */
const site = (options: {
  readonly verify?: () => Promise<void>
  readonly take?: (batch: Batch) => Promise<void>
}): Site => {
  const said: string[] = []
  const request: Request = {
    subscription: "notes",
    dead: false,
    phase: () => "stored",
    given: () => false,
    checked: ({ id }) => void said.push(`checked ${id}`),
  }
  const intake = createIntake({
    url: "ws://relay",
    clock: virtualClock(),
    limits: { intakeRowsMax: 1000, intakeBytesMax: 1000 },
    verifier: {
      backend: "nostr-tools",
      verify: async (events) => {
        await options.verify?.()
        return events.map(({ content }) => content !== "forged")
      },
    },
    take: async (batch) => {
      await options.take?.(batch)
      for (const { id } of batch.events) said.push(`taken ${id}`)
    },
    throttle: (full) => void said.push(full ? "full" : "free"),
    failed: () => {
      request.dead = true
      said.push("failed")
    },
    crash: (error) => {
      throw error
    },
  })
  return { intake, said, request }
}

const eventOf = (id: string, content = ""): NostrEvent => ({
  id,
  content,
  pubkey: "",
  created_at: 0,
  kind: 1,
  tags: [],
  sig: "",
})

const marked = (said: string[], intake: Site["intake"], name: string): void =>
  intake.mark(
    () => void said.push(`all checked before ${name}`),
    async () => void said.push(`all taken before ${name}`),
  )

describe("the road of incoming events", () => {
  it("RI1 RI4: batches are taken and marks called in the order of their arrival, however long each check takes", () =>
    fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(fc.constantFrom("event", "forged", "mark", "turn"), { maxLength: 40 }),
        async (scheduler, things) => {
          const { intake, said, request } = site({
            verify: () => scheduler.schedule(Promise.resolve()),
            take: () => scheduler.schedule(Promise.resolve()),
          })
          for (const [n, thing] of things.entries()) {
            if (thing === "turn") await Promise.resolve()
            else if (thing === "mark") marked(said, intake, `${n}`)
            else intake.push(request, eventOf(`${n}`, thing), true, 1)
          }
          await scheduler.waitFor(intake.idle())
          const only = (word: string) => said.filter((line) => line.includes(word))
          const due = (word: string) =>
            things.flatMap((thing, n) =>
              thing === "event" ? [`${word} ${n}`] : thing === "mark" ? [`all ${word} before ${n}`] : [],
            )
          expect([only("checked"), only("taken")]).toEqual([due("checked"), due("taken")])
          expect(intake.taken()).toBe(things.filter((thing) => thing === "event").length)
        },
      ),
    ))

  it("the next batches are checked while one is written", async () => {
    const gate = Promise.withResolvers<void>()
    const { intake, said, request } = site({ take: () => gate.promise })
    intake.push(request, eventOf("a"), true, 1)
    marked(said, intake, "b")
    intake.push(request, eventOf("b"), true, 1)
    while (!said.includes("checked b")) await Promise.resolve()
    expect(said).toEqual(["checked a", "all checked before b", "checked b"])
    gate.resolve()
    await intake.idle()
    expect(said.slice(3)).toEqual(["taken a", "all taken before b", "taken b"])
  })

  it("RI2: nothing that came after a batch that was not taken is taken, though it was checked before", async () => {
    const gate = Promise.withResolvers<void>()
    const { intake, said, request } = site({ take: () => gate.promise })
    intake.push(request, eventOf("a"), true, 1)
    marked(said, intake, "b")
    intake.push(request, eventOf("b"), true, 1)
    while (!said.includes("checked b")) await Promise.resolve()
    gate.reject(new Error("the disk is full"))
    await intake.idle()
    expect(said.slice(3)).toEqual(["failed", "all taken before b"])
    expect(intake.taken()).toBe(0)
  })

  it("RI3: what is being written counts: the socket is read again when half of all of it is taken", async () => {
    const gates: PromiseWithResolvers<void>[] = []
    const take = (): Promise<void> => {
      const gate = Promise.withResolvers<void>()
      gates.push(gate)
      return gate.promise
    }
    const { intake, said, request } = site({ take })
    for (const id of ["a", "b", "c"]) {
      intake.push(request, eventOf(id), true, 400)
      marked(said, intake, `after ${id}`)
    }
    while (!said.includes("checked c")) await Promise.resolve()
    expect([said.filter((word) => word === "full"), intake.full()]).toEqual([["full"], true])
    for (const isFull of [true, false, false]) {
      while (gates.length === 0) await Promise.resolve()
      gates.shift()?.resolve()
      const taken = said.filter((word) => word.startsWith("all taken")).length
      while (said.filter((word) => word.startsWith("all taken")).length === taken) await Promise.resolve()
      for (let turn = 0; turn < 5; turn++) await Promise.resolve()
      expect(intake.full()).toBe(isFull)
    }
    await intake.idle()
  })
})
