/**
 * One conversation of NIP-77 about one filter: what the relay has of it that we do not hold.
 *
 *   NEG-OPEN ─► NEG-MSG ⇄ NEG-MSG ─► NEG-CLOSE ─► the ids that we lack
 *
 * RD1 It ends once: with the ids, or with the reason why there are none; after that, and after `end`, nothing is heard.
 * RD2 Silence for `historyWaitSecondsMax`, nonsense, more than `reconcileRoundsMax` messages, or a difference that leaves
 *     out what the relay gave a moment ago: `broken`, it does not do what it says. NEG-ERR, or more than
 *     `reconcileNeedMax` ids: no fault, but no ids either.
 * RD3 What we hold says nothing about what others may give: it only spares asking for it again.
 */
import { idSetOf, NegentropyFault, openingOf, reconcile, type Dated } from "../src/protocol/negentropy.ts"
import type { Limits } from "../src/limits.ts"
import type { ClockShape } from "../src/services/clock.ts"
import type { Filter } from "./subscription.ts"

export interface DifferenceDeps {
  readonly id: string
  /** With `since`, without `limit`. */
  readonly filter: Filter
  readonly held: readonly Dated[]
  /** One message of ours, before hex. */
  readonly bytesMax: number
  readonly clock: ClockShape
  readonly limits: Pick<Limits, "historyWaitSecondsMax" | "reconcileNeedMax" | "reconcileRoundsMax">
  readonly send: (frame: readonly unknown[]) => void
  readonly guard: (call: () => void) => () => void
  readonly lacking: (ids: readonly string[]) => void
  readonly failed: (reason: string, broken: boolean) => void
}

export interface Difference {
  readonly id: string
  /** Begins it; the relay gave these a moment ago. */
  readonly open: (given: readonly string[]) => void
  readonly said: (message: unknown) => void
  readonly refused: (reason: string) => void
  /** The relay said something that may be its only answer. */
  readonly noticed: (text: string) => void
  readonly end: (tell: boolean) => void
}

export const createDifference = (deps: DifferenceDeps): Difference => {
  const { id, filter, bytesMax, clock, limits, send } = deps
  const set = idSetOf(deps.held)
  const need = new Set<string>()
  let given: readonly string[] = []
  let state: "new" | "open" | "over" = "new"
  let rounds = 0
  let disarm = (): void => {}

  const end = (tell: boolean): void => {
    if (state === "open" && tell) send(["NEG-CLOSE", id])
    state = "over"
    disarm()
  }
  const fail = (reason: string, broken: boolean, tell = true): void => {
    end(tell)
    deps.failed(reason, broken)
  }
  const say = (frame: readonly unknown[]): void => {
    disarm()
    disarm = clock.after(
      limits.historyWaitSecondsMax * 1000,
      deps.guard(() => fail(`no answer to ${frame[0]} within ${limits.historyWaitSecondsMax} s`, true)),
    )
    send(frame)
  }
  const finish = (): void => {
    const held = new Set(deps.held.map((event) => event.id))
    if (given.some((each) => !held.has(each) && !need.has(each))) return fail("it left out what it had given", true)
    end(true)
    for (const each of given) need.delete(each)
    deps.lacking([...need])
  }

  return {
    id,
    open: (ids) => {
      if (state !== "new") return
      state = "open"
      given = ids
      say(["NEG-OPEN", id, filter, openingOf(set).toString("hex")])
    },
    said: (message) => {
      if (state !== "open") return
      if (++rounds > limits.reconcileRoundsMax) return fail(`no end after ${limits.reconcileRoundsMax} messages`, true)
      if (typeof message !== "string" || !/^(?:[0-9a-f]{2})+$/i.test(message))
        return fail("what it says is no hex", true)
      let next: Buffer | undefined
      try {
        next = reconcile(set, Buffer.from(message, "hex"), bytesMax, need)
      } catch (error) {
        if (!(error instanceof NegentropyFault)) throw error
        return fail(error.message, true)
      }
      if (need.size > limits.reconcileNeedMax) return fail(`more than ${limits.reconcileNeedMax} are lacking`, false)
      if (next === undefined) finish()
      else say(["NEG-MSG", id, next.toString("hex")])
    },
    refused: (reason) => {
      if (state === "open") fail(reason, false, false)
    },
    noticed: (text) => {
      if (state === "open" && rounds === 0) fail(text, true)
    },
    end,
  }
}
