import { Deferred, Effect, Fiber, Result } from "effect"
import { describe, expect, it } from "vitest"
import { inPlace } from "../../src/executors/places.ts"
import { withTimers } from "../../src/executors/timers.ts"
import { virtualClock } from "../../src/services/clock.ts"

const timers = { coldSeconds: 10, quietSeconds: 5, totalSeconds: 20 }

/** Work that lives as long as it is told, and what became of it. */
const started = () => {
  const clock = virtualClock()
  let alive = (): void => undefined
  let stopped = false
  const done = Deferred.makeUnsafe<string>()
  const work = withTimers(timers, clock, "it", (sign) => {
    alive = sign
    return Deferred.await(done).pipe(Effect.onInterrupt(() => Effect.sync(() => void (stopped = true))))
  })
  const fiber = Effect.runFork(Effect.result(work))
  const failure = async (): Promise<unknown> => {
    const result = await Effect.runPromise(Fiber.join(fiber))
    return Result.isSuccess(result) ? result.success : result.failure
  }
  return { clock, alive: () => alive(), stopped: () => stopped, failure, done, fiber }
}

describe("the timers of a run", () => {
  it("cold: no first sign of life", async () => {
    const run = started()
    run.clock.advance(9_999)
    expect(run.fiber.pollUnsafe()).toBeUndefined()
    run.clock.advance(1)
    expect(await run.failure()).toMatchObject({ kind: "stalled", reason: "it: no sign of life in its first 10 s" })
    expect(run.stopped()).toBe(true)
    expect(run.clock.armed()).toBe(0)
  })

  it("quiet: none after the last one", async () => {
    const run = started()
    run.clock.advance(9_000)
    run.alive()
    run.clock.advance(4_999)
    run.alive()
    run.clock.advance(4_999)
    expect(run.fiber.pollUnsafe()).toBeUndefined()
    run.clock.advance(1)
    expect(await run.failure()).toMatchObject({ kind: "stalled", reason: "it: no sign of life for 5 s" })
    expect(run.clock.armed()).toBe(0)
  })

  it("total: however lively it is", async () => {
    const run = started()
    for (let second = 0; second < 20; second++) {
      run.alive()
      run.clock.advance(1_000)
    }
    expect(await run.failure()).toMatchObject({ kind: "late", reason: "it: it was not done after 20 s" })
    expect(run.stopped()).toBe(true)
    expect(run.clock.armed()).toBe(0)
  })

  it("none is left armed after an end", async () => {
    const run = started()
    await Effect.runPromise(Deferred.succeed(run.done, "done"))
    expect(await run.failure()).toBe("done")
    expect(run.clock.armed()).toBe(0)
  })
})

describe("places at a model", () => {
  it("no more are at work than there are places, in the order of asking, and one that is interrupted gives its place up", async () => {
    const order: number[] = []
    let atWork = 0
    let most = 0
    const release = Array.from({ length: 10 }, () => Deferred.makeUnsafe<void>())
    const fibers = release.map((gate, n) =>
      Effect.runFork(
        Effect.gen(function* () {
          order.push(n)
          most = Math.max(most, ++atWork)
          yield* Deferred.await(gate)
        }).pipe(Effect.ensuring(Effect.sync(() => void atWork--)), inPlace("model/of this test", 1)),
      ),
    )
    await Effect.runPromise(Fiber.interrupt(fibers[1] as Fiber.Fiber<void>))
    await Effect.runPromise(Fiber.interrupt(fibers[0] as Fiber.Fiber<void>))
    for (const n of [2, 3, 4, 5, 6, 7, 8, 9]) {
      await Effect.runPromise(Deferred.succeed(release[n] as Deferred.Deferred<void>, undefined))
      await Effect.runPromise(Fiber.await(fibers[n] as Fiber.Fiber<void>))
    }
    expect(order).toEqual([0, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(most).toBe(1)
  })
})
