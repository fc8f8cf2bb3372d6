/** What the parts of publishing share: the relay as they see it, and the order of what is owed. */
import type { ClockShape } from "../services/clock.ts"
import type { Limits } from "../limits.ts"
import type { NostrEvent } from "../protocol/event.ts"
import type { OutboxPlace, StoreShape } from "../store/store.ts"
import type { EngineShape } from "../engine/engine.ts"

export interface Answer {
  readonly accepted: boolean
  readonly message: string
}

/**
 * One relay as one wizard sees it. `publish` rejects where there is no answer: not connected, or lost. With `late: true`
 * on the error the relay was there and kept silent about this event.
 */
export interface Outlet {
  readonly relay: string
  readonly publish: (event: NostrEvent) => Promise<Answer>
}

export interface PublisherOptions {
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly clock: ClockShape
  readonly limits: Pick<
    Limits,
    "deliveriesInFlightMax" | "deliveryTriesMax" | "okMsMax" | "reconnectMsMin" | "reconnectMsMax" | "suspendSeconds"
  >
  /** Hears of what could not be signed or stored; it is tried again. */
  readonly warn: (message: string) => void
}

export const isAfter = (a: OutboxPlace, b: OutboxPlace): boolean =>
  a.position > b.position || (a.position === b.position && indexOf(a.effect) > indexOf(b.effect))

/** The place of which everything from that one on comes after. */
export const justBefore = ({ position, effect }: OutboxPlace): OutboxPlace =>
  indexOf(effect) === 0 ? { position, effect: "" } : { position, effect: `x/${indexOf(effect) - 1}` }

/** The engine has stopped: what is owed is sent by the next start. */
export const isStopped = (error: unknown): boolean => error instanceof Error && error.name === "HostStopped"

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Before all of its step where it names none. */
const indexOf = (effect: string): number => (effect === "" ? -1 : Number(effect.slice(effect.lastIndexOf("/") + 1)))
