/**
 * From an arrived event to its OK: signatures in batches, everything that is ready in one transaction, one sync, then
 * the answers. The next group is verified and gathered while the disk works on the last one.
 *
 *   submit ─► arrived ─► verify (a batch) ─► verified ─► one transaction ─► live feed ─► sync ─► OK
 *
 * W1  OK true is said only after a sync that covers the event's commit, or the commit of what it duplicates.
 * W2  Every submitted event is answered once, in whatever way it ends; the flow goes on after a failed group.
 * W3  A stored event goes to the live feed in the turn of its commit, so a query sees either both or neither.
 */
import type { VerifierShape } from "../identity/verifier.ts"
import type { Limits } from "../limits.ts"
import type { NostrEvent } from "../protocol/event.ts"
import { keepingOf } from "../protocol/kinds.ts"
import { type ClockShape, nowSeconds } from "../services/clock.ts"
import type { LiveFeed } from "./live.ts"
import type { Outcome, Storage } from "./storage.ts"

export interface Arrival {
  readonly event: NostrEvent
  readonly json: string
  /** NIP-01's OK: `message` is empty or opens with a machine-readable prefix. Must not throw. */
  readonly answer: (ok: boolean, message: string) => void
}

export interface Writer {
  readonly submit: (arrival: Arrival) => void
  /** Takes nothing more; resolves when all that was submitted is answered. */
  readonly close: () => Promise<void>
  readonly stats: () => { readonly accepted: number; readonly refused: number; readonly groups: number }
}

export interface WriterParts {
  readonly storage: Storage
  readonly live: LiveFeed
  readonly verifier: VerifierShape
  readonly clock: ClockShape
  readonly limits: Limits
  /** What is asked only of an event whose author is sure: one more of this key. */
  readonly isInRate?: (pubkey: string) => boolean
  /** A sync failed: nothing can be promised any more. Told once. */
  readonly onBroken: (error: Error) => void
}

export const groupWriter = (parts: WriterParts): Writer => {
  const { storage, live, verifier, clock, limits, isInRate = () => true, onBroken } = parts
  const arrived: Arrival[] = []
  const verified: Arrival[] = []
  let verifying: Promise<void> | undefined
  let committing: Promise<void> | undefined
  let closed = false
  let broken = false
  const tally = { accepted: 0, refused: 0, groups: 0 }

  const answer = (arrival: Arrival, ok: boolean, message: string): void => {
    if (ok) tally.accepted++
    else tally.refused++
    arrival.answer(ok, message)
  }
  const refuseAll = (group: readonly Arrival[], reason: string): void => {
    for (const arrival of group) answer(arrival, false, `error: ${reason}; send it again later`)
  }

  const verifyAll = async (): Promise<void> => {
    while (arrived.length > 0) {
      const group = arrived.splice(0, limits.groupRowsMax)
      try {
        const good = await verifier.verify(group.map((arrival) => arrival.event))
        for (const [index, arrival] of group.entries()) {
          if (good[index] !== true) answer(arrival, false, "invalid: id or signature is wrong")
          else if (isInRate(arrival.event.pubkey)) verified.push(arrival)
          else answer(arrival, false, `rate-limited: at most ${limits.relayKeyEventsPerMinuteMax} a minute by one key`)
        }
      } catch {
        // The verifier's own failure (a worker died) says nothing about the events.
        refuseAll(group, "signatures cannot be checked at the moment")
      }
      if (verified.length > 0) committing ??= soon(commitAll)
    }
    verifying = undefined
  }

  const commitAll = async (): Promise<void> => {
    while (verified.length > 0) {
      const group = verified.splice(0, limits.groupRowsMax)
      const outcomes = commit(group)
      if (outcomes === undefined) continue
      try {
        await storage.sync()
        for (const [index, arrival] of group.entries()) {
          const outcome = outcomes[index] as Outcome
          answer(arrival, outcome !== "deleted", okText[outcome])
        }
      } catch (error) {
        refuseAll(group, "the disk did not confirm the write")
        if (!broken) onBroken(error as Error)
        broken = true
      }
    }
    committing = undefined
  }

  const commit = (group: readonly Arrival[]): readonly Outcome[] | undefined => {
    const now = nowSeconds(clock)
    let outcomes: readonly Outcome[]
    try {
      outcomes = storage.transaction(now, () =>
        group.map(({ event, json }) =>
          keepingOf(event.kind) === "ephemeral" ? "stored" : storage.put(event, json, now),
        ),
      )
    } catch (error) {
      refuseAll(group, `not stored (${(error as Error).message})`)
      return undefined
    }
    tally.groups++
    for (const [index, arrival] of group.entries()) if (outcomes[index] === "stored") live.publish(arrival)
    return outcomes
  }

  return {
    submit: (arrival) => {
      if (closed) return answer(arrival, false, "error: the relay is closing; send it again later")
      arrived.push(arrival)
      verifying ??= soon(verifyAll)
    },
    close: async () => {
      closed = true
      await verifying
      await committing
    },
    stats: () => ({ ...tally }),
  }
}

/** Never within the caller's turn, so that a loop cannot end before it is known to run. */
const soon = (loop: () => Promise<void>): Promise<void> => Promise.resolve().then(loop)

/** An older version than the held one is no failure of the sender's: it is done with, as a duplicate is. */
const okText: Record<Outcome, string> = {
  stored: "",
  duplicate: "duplicate: already have this event",
  older: "duplicate: a newer one is held",
  deleted: "blocked: its author asked for its deletion",
}
