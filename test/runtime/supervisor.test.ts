import { Effect, Exit, Fiber } from "effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { asChild, supervisor, type TooManyRestarts, type Child, type Restart } from "../../src/runtime/supervisor.ts"
import { virtualClock } from "../../src/services/clock.ts"

const limits = { restartsMax: 3, restartWindowSeconds: 10, restartMsMin: 100, restartMsMax: 400 }

/** Children that do as they are told, and a log of what became of them. */
const world = (
  strategy: "one-for-one" | "rest-for-one",
  names: readonly string[],
  bounds: Partial<typeof limits> = {},
) => {
  const clock = virtualClock()
  const log: string[] = []
  const records: Restart[] = []
  const ends = new Map<string, (exit: Exit.Exit<void, Error>) => void>()
  const child = (name: string, restart: Child["restart"] = "permanent"): Child => ({
    name,
    restart,
    run: Effect.acquireRelease(
      Effect.sync(() => void log.push(`+${name}`)),
      () => Effect.sync(() => void log.push(`-${name}`)),
    ).pipe(
      Effect.andThen(
        Effect.callback<void, Error>((resume) => void ends.set(name, (exit) => resume(Effect.suspend(() => exit)))),
      ),
    ),
  })
  const handle = supervisor({
    name: "top",
    strategy,
    children: names.map((name) => child(name)),
    limits: { ...limits, ...bounds },
    clock,
    record: (restart) => records.push(restart),
  })
  const fiber = Effect.runFork(handle.run)
  const end = (name: string, exit: Exit.Exit<void, Error>): void => ends.get(name)?.(exit)
  const stateOf = (name: string) => handle.tree().children.find((each) => each.name === name)?.state
  return {
    clock,
    log,
    records,
    child,
    handle,
    fiber,
    end,
    fail: (name: string) => end(name, Exit.fail(new Error(`${name} broke`))),
    stateOf,
    ends,
  }
}

/** Lets the fibers run until that holds. */
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}
const exitOf = (fiber: Fiber.Fiber<void, TooManyRestarts>) => Effect.runPromise(Fiber.await(fiber))
const stop = (fiber: Fiber.Fiber<void, TooManyRestarts>) => Effect.runPromise(Fiber.interrupt(fiber))

const abc = ["a", "b", "c"]

describe("supervisor", () => {
  it("S1, S2: rest-for-one stops those after in reverse order and starts them in order; one-for-one only the child", async () => {
    const expected = { "rest-for-one": ["-b", "-c", "+b", "+c"], "one-for-one": ["-b", "+b"] }
    for (const strategy of ["rest-for-one", "one-for-one"] as const) {
      const { clock, log, fail, fiber, stateOf, ends } = world(strategy, abc)
      await until(() => ends.size === 3)
      expect(log.splice(0)).toEqual(["+a", "+b", "+c"])
      fail("b")
      await until(() => stateOf("b") === "backing-off" && clock.armed() === 1)
      clock.advance(limits.restartMsMin)
      await until(() => log.length === expected[strategy].length)
      expect(log.splice(0)).toEqual(expected[strategy])
      await stop(fiber)
      expect(log).toEqual(["-c", "-b", "-a"])
    }
  })

  it("S2, S5, S6: any failures in any order leave the children started in order, one of each, and all stopped at the end", async () => {
    const strategies = fc.constantFrom("one-for-one" as const, "rest-for-one" as const)
    await fc.assert(
      fc.asyncProperty(strategies, fc.array(fc.constantFrom(...abc), { maxLength: 12 }), async (strategy, failures) => {
        const { clock, log, fail, fiber, records, handle } = world(strategy, abc, { restartsMax: 100 })
        const running = () => handle.tree().children.every(({ state }) => state === "running")
        const alive = () =>
          log.filter((each) => each.startsWith("+")).length - log.filter((each) => each.startsWith("-")).length
        await until(() => running() && alive() === 3)
        for (const [index, name] of failures.entries()) {
          fail(name)
          await until(() => records.length === index + 1 && clock.armed() > 0)
          clock.advance(limits.restartMsMax)
          await until(() => running() && alive() === 3)
        }
        await stop(fiber)
        const living: string[] = []
        for (const entry of log) {
          const name = entry.slice(1)
          expect(living.includes(name)).toBe(entry.startsWith("-"))
          if (entry.startsWith("-")) {
            living.splice(living.indexOf(name), 1)
            continue
          }
          expect(strategy === "one-for-one" || living.every((other) => other < name)).toBe(true)
          living.push(name)
        }
        expect(living).toEqual([])
        expect(records.map(({ reason }) => reason)).toEqual(failures.map((name) => `${name} broke`))
      }),
      { numRuns: 30 },
    )
  })

  it("S3: escalates when the window slides over one restart too many, and not before", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 400, max: 9000 }), { minLength: 1, maxLength: 10 }), async (gaps) => {
        const { clock, fail, fiber, records, stateOf, ends } = world("one-for-one", ["a"])
        const times: number[] = []
        const perWindow: number[] = []
        for (const gap of gaps) {
          await until(() => stateOf("a") === "running" && ends.has("a"))
          times.push(clock.nowMs())
          const from = clock.nowMs() - limits.restartWindowSeconds * 1000
          perWindow.push(times.filter((time) => time > from).length)
          const seen = records.length
          fail("a")
          await until(() => records.length > seen || fiber.pollUnsafe() !== undefined)
          if (fiber.pollUnsafe() !== undefined) break
          await until(() => clock.armed() === 1)
          ends.delete("a")
          clock.advance(gap)
        }
        const escalated = fiber.pollUnsafe() !== undefined
        expect(perWindow.map((count) => count > limits.restartsMax)).toEqual(
          perWindow.map((_, index) => escalated && index === perWindow.length - 1),
        )
        expect(records.length).toBe(escalated ? perWindow.length - 1 : perWindow.length)
        await stop(fiber)
      }),
      { numRuns: 40 },
    )
  })

  it("S3: the reasons go up, and the parent treats it as a failed child", async () => {
    const inner = world("one-for-one", [], { restartsMax: 0 })
    await stop(inner.fiber)
    await Effect.runPromise(inner.handle.add(inner.child("x")))
    const outer = world("one-for-one", [])
    await until(() => outer.handle.tree().name === "top")
    await Effect.runPromise(outer.handle.add(asChild("inner", inner.handle)))
    await until(() => inner.ends.has("x"))
    inner.ends.get("x")?.(Exit.die(new Error("a defect")))
    await until(() => outer.records.length === 1)
    expect(outer.records[0]).toMatchObject({
      path: "top/inner",
      count: 1,
      reason: "top was restarted too often: a defect",
    })
    expect(inner.log).toEqual(["+x", "-x"])
    outer.clock.advance(limits.restartMsMin)
    await until(() => inner.log.length === 3)
    expect(outer.handle.tree().children[0]?.tree?.children[0]).toMatchObject({ name: "x", state: "running" })
    await stop(outer.fiber)
    expect(inner.log.at(-1)).toBe("-x")
  })

  it("S4: transient is restarted after a failure only, temporary never; the last one's end is the supervisor's", async () => {
    const { handle, child, end, fail, fiber, records, clock, ends, stateOf } = world("one-for-one", [])
    await Effect.runPromise(handle.add(child("once", "temporary")))
    await Effect.runPromise(handle.add(child("job", "transient")))
    await until(() => ends.size === 2)
    fail("once")
    await until(() => stateOf("once") === undefined)
    fail("job")
    await until(() => records.length === 1 && clock.armed() === 1)
    ends.delete("job")
    clock.advance(limits.restartMsMin)
    await until(() => ends.has("job"))
    end("job", Exit.void)
    expect(Exit.isSuccess(await exitOf(fiber))).toBe(true)
    expect(records.map(({ path }) => path)).toEqual(["top/job"])
  })

  it("children are added and removed while it runs; a name is taken once", async () => {
    const { handle, child, log, fiber, ends } = world("rest-for-one", ["a"])
    await until(() => ends.has("a"))
    await Effect.runPromise(handle.add(child("b")))
    await until(() => ends.has("b"))
    const again = await Effect.runPromiseExit(handle.add(child("b")))
    expect(Exit.isFailure(again)).toBe(true)
    await Effect.runPromise(handle.remove("a"))
    expect(log).toEqual(["+a", "+b", "-a"])
    expect(handle.tree().children.map(({ name, state }) => [name, state])).toEqual([["b", "running"]])
    await stop(fiber)
  })

  it("rest-for-one: what waited for a child that is removed starts without it", async () => {
    const { handle, fail, log, fiber, stateOf, clock, ends } = world("rest-for-one", ["a", "b"])
    await until(() => ends.size === 2)
    fail("a")
    await until(() => stateOf("b") === "waiting" && clock.armed() === 1)
    await Effect.runPromise(handle.remove("a"))
    await until(() => stateOf("b") === "running" && log.length === 5)
    expect(log).toEqual(["+a", "+b", "-a", "-b", "+b"])
    await stop(fiber)
  })

  it("the backoff doubles with each restart in the window, up to its bound", async () => {
    const { clock, fail, fiber, records, ends, stateOf } = world("one-for-one", ["a"], { restartsMax: 10 })
    for (const pauseMs of [100, 200, 400, 400]) {
      await until(() => ends.has("a") && stateOf("a") === "running")
      const seen = records.length
      fail("a")
      await until(() => records.length === seen + 1 && clock.armed() === 1)
      ends.delete("a")
      clock.advance(pauseMs - 1)
      expect(stateOf("a")).toBe("backing-off")
      clock.advance(1)
    }
    await until(() => ends.has("a"))
    await stop(fiber)
  })
})
