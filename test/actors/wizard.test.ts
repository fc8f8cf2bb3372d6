import { describe, expect, it } from "vitest"
import { runWizard } from "../../actors/wizard.ts"
import { virtualClock } from "../../src/services/clock.ts"
import { limits } from "../../src/limits.ts"

const started = (freshKey = false) => {
  const clock = virtualClock()
  const log: string[] = []
  const wizard = runWizard({
    clock,
    limits,
    freshKey,
    paused: false,
    beat: (state) => log.push(`beat ${state}`),
    pump: () => log.push("pump"),
    takeIn: (open) => log.push(open ? "take-in" : "hold"),
    released: () => log.push("released"),
    refused: (event) => log.push(`refused ${event}`),
  })
  return { clock, log, wizard }
}

describe("wizard actor", () => {
  it("W1, W7: history that does not answer and a quiet wait lead to idle, and no timer is left", async () => {
    const { clock, log, wizard } = started()
    wizard.tell({ type: "admit" })
    clock.advance(limits.historyWaitSecondsMax * 1000)
    expect(wizard.status().state).toBe("listening")
    await Promise.resolve()
    clock.advance(limits.instanceWaitSeconds * 1000)
    expect([wizard.status().state, clock.armed(), log]).toEqual(["idle", 0, ["beat listening", "take-in"]])
  })

  it("W4: a live instance keeps it in standby until it is silent for three intervals", () => {
    const { clock, wizard } = started()
    wizard.tell({ type: "admit" })
    wizard.tell({ type: "history-read" })
    wizard.tell({ type: "hear", intervalMs: 1000 })
    clock.advance(2999)
    wizard.tell({ type: "hear", intervalMs: 1000 })
    clock.advance(2999)
    expect(wizard.status().state).toBe("standby")
    clock.advance(1)
    expect(wizard.status().state).toBe("idle")
  })

  it("W2, W6: it pumps what is queued, drains, and is released once", () => {
    const { log, wizard } = started(true)
    wizard.tell({ type: "admit" })
    wizard.tell({ type: "history-read" })
    wizard.tell({ type: "tally", open: 0, queued: 1, paused: false })
    wizard.tell({ type: "tally", open: 1, queued: 1, paused: true })
    wizard.tell({ type: "drain" })
    wizard.tell({ type: "tally", open: 0, queued: 1, paused: true })
    wizard.tell({ type: "drain" })
    expect([wizard.status().state, log]).toEqual(["stopped", ["take-in", "pump", "hold", "released"]])
  })

  it("a heartbeat that throws fails the actor, where its supervisor sees it", async () => {
    const clock = virtualClock()
    const quiet = { pump: () => {}, takeIn: () => {}, released: () => {} }
    const beat = (): void => {
      throw new Error("a bug")
    }
    const wizard = runWizard({ clock, limits, freshKey: false, paused: false, ...quiet, beat })
    const failed = new Promise((resolve) => wizard.actor.subscribe({ error: resolve }))
    wizard.tell({ type: "admit" })
    wizard.tell({ type: "history-read" })
    expect(String(await failed)).toContain("a bug")
    expect(clock.armed()).toBe(0)
  })

  it("close leaves no timer", async () => {
    const { clock, wizard } = started()
    wizard.tell({ type: "admit" })
    expect(clock.armed()).toBe(1)
    await wizard.close()
    expect(clock.armed()).toBe(0)
  })
})
