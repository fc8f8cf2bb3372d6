import { Effect, Exit, Fiber } from "effect"
import { describe, expect, it } from "vitest"
import { createActor, setup } from "xstate"
import { ActorFailed, superviseActor } from "../../actors/bridge.ts"

const machine = setup({ types: { events: {} as { type: "finish" } | { type: "break" } } }).createMachine({
  initial: "running",
  states: {
    running: {
      on: {
        finish: "finished",
        break: {
          actions: () => {
            throw new Error("a bug")
          },
        },
      },
    },
    finished: { type: "final" },
  },
})

const started = () => {
  const actor = createActor(machine)
  let closed = 0
  const close = async (): Promise<void> => {
    actor.stop()
    closed++
  }
  const fiber = Effect.runFork(Effect.scoped(superviseActor("one", () => ({ actor: actor.start(), close }))))
  return { actor, fiber, closed: () => closed }
}

describe("bridge", () => {
  it("B1, B3: an actor that errors fails its fiber, not the process, and is closed", async () => {
    const { actor, fiber, closed } = started()
    await new Promise((resolve) => setImmediate(resolve))
    actor.send({ type: "break" })
    const error = await Effect.runPromise(Effect.flip(Fiber.join(fiber)))
    expect(error).toBeInstanceOf(ActorFailed)
    expect(error.message).toBe("one failed: a bug")
    expect(closed()).toBe(1)
  })

  it("B1: a start that throws is a failure too", async () => {
    const exit = await Effect.runPromiseExit(
      Effect.scoped(
        superviseActor("one", () => {
          throw new Error("no start")
        }),
      ),
    )
    expect(Exit.isFailure(exit)).toBe(true)
  })

  it("B2: an actor that is done ends its fiber", async () => {
    const { actor, fiber, closed } = started()
    await new Promise((resolve) => setImmediate(resolve))
    actor.send({ type: "finish" })
    await Effect.runPromise(Fiber.join(fiber))
    expect(closed()).toBe(1)
  })

  it("B3: interruption closes the actor before it returns", async () => {
    const { actor, fiber, closed } = started()
    await new Promise((resolve) => setImmediate(resolve))
    await Effect.runPromise(Fiber.interrupt(fiber))
    expect([closed(), actor.getSnapshot().status]).toEqual([1, "stopped"])
  })
})
