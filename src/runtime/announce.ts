/**
 * What a wizard says of itself to every relay: its profile (kind 0) and its relays (kind 10002).
 *
 * AN1 Each is signed once and kept; a relay that has not taken it gets that same event when it is reached.
 * AN2 Dates of one kind only ever rise, or a relay would keep the older one (P14). Where that would be further ahead
 *     than relays accept, the clock counts.
 * AN3 The list of relays holds only what others can reach. Where there is nothing, none is published; where there was a
 *     list once, an empty one.
 */
import { parseEvent, withId, type EventTemplate, type NostrEvent } from "../protocol/event.ts"
import { Kind } from "../protocol/kinds.ts"
import { profileTemplate } from "../protocol/profile.ts"
import { relayListTemplate } from "../protocol/relay-list.ts"
import type { EngineShape } from "../engine/engine.ts"
import type { Signer } from "../identity/signer.ts"
import type { Limits } from "../limits.ts"
import type { Answer } from "../publish/publisher.ts"
import { nowSeconds, type ClockShape } from "../services/clock.ts"
import type { StoreShape } from "../store/store.ts"

export interface Announcer {
  /** Gives a relay what it lacks. Never rejects. */
  readonly give: (url: string, publish: (event: NostrEvent) => Promise<Answer>) => Promise<void>
}

export const openAnnouncer = (options: {
  readonly name: string
  readonly about: string
  readonly signer: Signer
  readonly relays: () => readonly string[]
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly clock: ClockShape
  readonly limits: Pick<Limits, "futureSecondsMax">
  readonly warn: (message: string) => void
}): Announcer => {
  const { name, signer, engine, store, clock, limits } = options
  let tail: Promise<unknown> = Promise.resolve()

  const templates = (): readonly EventTemplate[] => [
    profileTemplate({ name, about: options.about, createdAt: 0 }),
    relayListTemplate(options.relays(), 0),
  ]

  /** AN1, AN2: the one that is held, unless it says something else. */
  const current = async (template: EventTemplate): Promise<NostrEvent | undefined> => {
    const held = heldOf(store, name, template.kind)
    if (held?.pubkey === signer.pubkey && isSame(held, template)) return held
    if (held?.pubkey !== signer.pubkey && template.kind === Kind.relayList && template.tags.length === 0)
      return undefined
    const [event] = await signer.sign([withId(signer.pubkey, { ...template, created_at: dateFor(template.kind) })])
    if (event === undefined) return undefined
    await engine.write(() => store.setting.put(name, `announced ${event.kind}`, JSON.stringify(event)))
    return event
  }

  const dateFor = (kind: number): number => {
    const now = nowSeconds(clock)
    const next = (heldOf(store, name, kind)?.created_at ?? 0) + 1
    return next > now && next <= now + limits.futureSecondsMax ? next : now
  }

  return {
    give: async (url, publish) => {
      try {
        for (const template of templates()) {
          // One after the other, or two relays would be given two.
          const event = await (tail = tail.catch(() => undefined).then(() => current(template)) as Promise<
            NostrEvent | undefined
          >)
          const key = `announced ${template.kind} ${url}`
          if (event === undefined || store.setting.get(name, key) === event.id) continue
          const answer = await publish(event).catch(() => undefined)
          if (answer?.accepted === true) await engine.write(() => store.setting.put(name, key, event.id))
        }
      } catch (error) {
        options.warn(`${name}: what it says of itself was not given to ${url}: ${(error as Error).message}`)
      }
    },
  }
}

const heldOf = (store: StoreShape, name: string, kind: number): NostrEvent | undefined => {
  const held = store.setting.get(name, `announced ${kind}`)
  return held === undefined ? undefined : parseEvent(JSON.parse(held))
}

const isSame = (held: NostrEvent, wanted: EventTemplate): boolean =>
  held.content === wanted.content && JSON.stringify(held.tags) === JSON.stringify(wanted.tags)
