/**
 * From the outbox to the relays: signs what is owed, keeps the signed event, and offers it to each relay until each has
 * answered.
 *
 *   outbox row ─► signer ─► a lane for each (wizard, relay) ─► OK ─► delivery row
 *
 * U1  An event has its id, and owes its being sent, on the disk before it is first sent; its signature is written in the
 *     same moment. Every resend bears that id, and the same signature but after a crash in that very moment.
 * U2  A row is done when each relay of the wizard has answered, attached yet or not, and one took it; refused by all, it
 *     is a dead letter with the reasons. A relay that refused what another one took has a dead letter of its own.
 * U3  Events of one actor are offered to a relay in their order, one after the other.
 * U4  A relay that is away loses nothing: its lane begins again at the oldest event that it has not answered.
 * U5  A lane holds `deliveriesInFlightMax` events at most; the rest of its backlog stays in the store.
 * U6  A relay that bars us (`restricted`, `blocked`) is offered nothing more of that actor until it is reached anew, or
 *     `suspendSeconds` have passed; each of those is a try.
 * U7  An event that this signer cannot sign, since it bears another key, is a dead letter; the others go on.
 * U8  A relay that comes later is offered the receipts and artifacts of commands that have not ended, once. What ended
 *     is not told to it, unless no relay has heard of it yet.
 * U9  A relay that says `rate-limited:` is left alone as a whole, twice as long each time, and then gets fewer at a time.
 * U10 A reaction that waits while its command ends is dropped: done, not dead. Refused for its age an event is a dead
 *     letter for that relay at once; it is never signed anew.
 * U11 A dead letter that a person sends again is the same event, goes to the relays that refused it, and at its place.
 */
import type { OutboxPlace } from "../store/store.ts"
import type { Signer } from "../identity/signer.ts"
import type { Effect } from "../engine/command-host.ts"
import { openOutbox, type WizardOutbox } from "./outbox.ts"
import type { Outlet, PublisherOptions } from "./outlet.ts"

export type { Answer, Outlet, PublisherOptions } from "./outlet.ts"

export interface Publisher {
  /** Adds or replaces the outlet of a wizard to a relay. Returns what removes it. */
  readonly attach: (wizard: string, outlet: Outlet) => () => void
  /** The relay can be reached again. */
  readonly reconnected: (wizard: string, relay: string) => void
  /** Signs for a wizard from now on, for these relays. */
  readonly open: (wizard: string, signer: Signer, relays: readonly string[]) => void
  /** One more relay of a wizard; resolves when what it is offered (U8) is written down. */
  readonly know: (wizard: string, relay: string) => Promise<void>
  /** That relay is one no more; resolves when what waited for it is settled. */
  readonly forget: (wizard: string, relay: string) => Promise<void>
  /** U11: these are dead letters. Rejects where it could not be written. */
  readonly resend: (rows: readonly (OutboxPlace & { readonly owner: string })[]) => Promise<void>
  /** A person wants no more of these dead letters. */
  readonly drop: (rows: readonly OutboxPlace[]) => Promise<void>
  /** Events of a wizard that some relay has not answered; of one relay, those that it has not. */
  readonly backlog: (wizard: string, relay?: string) => number
  readonly close: () => void
}

export const openPublisher = (options: PublisherOptions): Publisher => {
  const { engine, store } = options
  const wizards = new Map<string, WizardOutbox>()
  const unwatch = engine.watch(({ effects }) => {
    const owners = new Map<string, Effect[]>()
    for (const effect of effects) {
      if (effect.kind !== "publish") continue
      const owed = owners.get(effect.owner)
      if (owed === undefined) owners.set(effect.owner, [effect])
      else owed.push(effect)
    }
    for (const [owner, owed] of owners) wizards.get(owner)?.sign(owed)
  })
  const outboxOf = (wizard: string): WizardOutbox => {
    const outbox = wizards.get(wizard)
    if (outbox === undefined) throw new Error(`the outbox of ${wizard} is not open`)
    return outbox
  }
  return {
    open: (wizard, signer, relays) => {
      const outbox = openOutbox(wizard, signer, relays, options)
      wizards.set(wizard, outbox)
      outbox.sign([])
      outbox.tidy()
      for (const relay of relays) void outbox.know(relay)
    },
    know: (wizard, relay) => outboxOf(wizard).know(relay),
    forget: (wizard, relay) => outboxOf(wizard).forget(relay),
    attach: (wizard, outlet) => outboxOf(wizard).attach(outlet),
    reconnected: (wizard, relay) => wizards.get(wizard)?.reconnected(relay),
    resend: async (rows) => {
      await engine.write(() => {
        for (const row of rows) store.outbox.revive(row)
      })
      for (const [owner, owed] of Map.groupBy(rows, ({ owner }) => owner)) wizards.get(owner)?.revived(owed)
    },
    drop: (rows) =>
      engine.write(() => {
        for (const row of rows) store.outbox.drop(row)
      }),
    backlog: (wizard, relay) =>
      relay === undefined
        ? store.outbox.countPending("publish", wizard)
        : store.outbox.countUnanswered("publish", wizard, relay),
    close: () => {
      unwatch()
      for (const outbox of wizards.values()) outbox.close()
    },
  }
}
