/**
 * Events under way to one relay, each until its OK.
 *
 * RO1 A publish is answered exactly once: by the relay's first OK, or by `Undelivered`.
 * RO2 Everything in flight when the connection goes is undelivered (P3); who publishes sends it again.
 * RO3 The same event under way twice is sent once, and both are answered.
 *
 * Who publishes bounds how many are under way (`deliveriesInFlightMax`).
 */
import { Schema } from "effect"
import type { Limits } from "../src/limits.ts"
import type { NostrEvent } from "../src/protocol/event.ts"
import type { ClockShape } from "../src/services/clock.ts"
import { refusalOf } from "./relay-frames.ts"

export class Undelivered extends Schema.TaggedError<Undelivered>()("Undelivered", {
  relay: Schema.String,
  reason: Schema.String,
  /** The relay was there and said nothing about this event. */
  late: Schema.optional(Schema.Boolean),
}) {
  override get message(): string {
    return `${this.relay}: ${this.reason}`
  }
}

/** The relay's word. A `duplicate:` refusal is an acceptance: it has the event. */
export interface Delivery {
  readonly accepted: boolean
  readonly message: string
}

export interface Outgoing {
  readonly publish: (event: NostrEvent) => Promise<Delivery>
  readonly ok: (id: string, accepted: boolean, message: string) => void
  /** AUTH was taken: what waited for it is sent once more. */
  readonly authenticated: () => void
  readonly drop: (reason: string) => void
  /** Events that a relay accepted. */
  readonly delivered: () => number
}

interface Flight {
  readonly event: NostrEvent
  readonly answer: PromiseWithResolvers<Delivery>
  readonly disarm: () => void
  again: "no" | "waits" | "sent"
}

export const createOutgoing = (deps: {
  readonly url: string
  readonly clock: ClockShape
  readonly limits: Pick<Limits, "okMsMax">
  readonly send: (frame: readonly unknown[]) => void
  /** False: we are authenticated already. */
  readonly demandAuth: () => boolean
}): Outgoing => {
  const flights = new Map<string, Flight>()
  let delivered = 0

  const land = (id: string, flight: Flight): void => {
    flights.delete(id)
    flight.disarm()
  }
  const lose = (id: string, reason: string, late = false): void => {
    const flight = flights.get(id)
    if (flight === undefined) return
    land(id, flight)
    flight.answer.reject(new Undelivered({ relay: deps.url, reason, ...(late && { late }) }))
  }

  return {
    publish: (event) => {
      const under = flights.get(event.id)
      if (under !== undefined) return under.answer.promise
      const answer = Promise.withResolvers<Delivery>()
      const disarm = deps.clock.after(deps.limits.okMsMax, () => lose(event.id, "no OK in time", true))
      flights.set(event.id, { event, answer, disarm, again: "no" })
      deps.send(["EVENT", event])
      return answer.promise
    },
    ok: (id, accepted, message) => {
      const flight = flights.get(id)
      if (flight === undefined) return
      const refusal = accepted ? undefined : refusalOf(message)
      if (refusal === "auth" && flight.again === "no" && deps.demandAuth()) {
        flight.again = "waits"
        return
      }
      land(id, flight)
      const taken = accepted || refusal === "duplicate"
      if (taken) delivered++
      flight.answer.resolve({ accepted: taken, message })
    },
    authenticated: () => {
      for (const flight of flights.values()) {
        if (flight.again !== "waits") continue
        flight.again = "sent"
        deps.send(["EVENT", flight.event])
      }
    },
    drop: (reason) => {
      for (const id of flights.keys()) lose(id, reason)
    },
    delivered: () => delivered,
  }
}
