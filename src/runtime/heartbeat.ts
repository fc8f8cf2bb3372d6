/**
 * A wizard shows that it is alive: one note every few minutes, sent to whichever relays are connected, never made up
 * afterwards. The interval is a setting that a person changes with `heartbeat faster|slower|every …`.
 */
import { withId, type NostrEvent } from "../protocol/event.ts"
import { heartbeatTemplate, isSameDay, type DayRoot } from "../protocol/heartbeat.ts"
import type { EngineShape } from "../engine/engine.ts"
import type { Signer } from "../identity/signer.ts"
import type { Limits } from "../limits.ts"
import { nowSeconds, type ClockShape } from "../services/clock.ts"
import type { StoreShape } from "../store/store.ts"
import { heartbeatSeconds } from "./verbs.ts"

export interface Heartbeats {
  /** Sends one now and begins the interval anew. */
  readonly beat: (state: string) => void
  readonly close: () => void
}

export const openHeartbeats = (options: {
  readonly wizard: string
  readonly instance: string
  readonly signer: Signer
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly clock: ClockShape
  readonly limits: Limits
  readonly state: () => string
  readonly queued: () => number
  /** To every relay that is connected; an answer is not waited for. */
  readonly send: (event: NostrEvent) => void
  readonly warn: (message: string) => void
}): Heartbeats => {
  const { wizard, signer, engine, store, clock, limits } = options
  let seq = 0
  let cancel = (): void => {}
  let interval = heartbeatSeconds(store, wizard, limits)
  let closed = false

  const arm = (): void => {
    cancel()
    if (!closed) cancel = clock.after(interval * 1000, () => beat(options.state()), { unref: true })
  }

  const beat = (state: string): void => {
    arm()
    void send(state).catch((error: unknown) => options.warn(`${wizard}: no heartbeat: ${(error as Error).message}`))
  }

  const send = async (state: string): Promise<void> => {
    const createdAt = nowSeconds(clock)
    const stored = store.setting.get(wizard, "heartbeatRoot")
    const root = stored === undefined ? undefined : (JSON.parse(stored) as DayRoot)
    const template = heartbeatTemplate({
      wizard,
      state,
      queue: options.queued(),
      seq: seq++,
      interval,
      instance: options.instance,
      createdAt,
      keepSeconds: limits.heartbeatKeepSeconds,
      ...(root !== undefined && { root }),
    })
    const [event] = await signer.sign([withId(signer.pubkey, template)])
    if (event === undefined || closed) return
    if (root === undefined || !isSameDay(root.createdAt, createdAt)) {
      const first: DayRoot = { id: event.id, createdAt }
      await engine.write(() => store.setting.put(wizard, "heartbeatRoot", JSON.stringify(first)))
    }
    options.send(event)
  }

  // A changed interval counts from now on.
  const unwatch = engine.watch(({ steps }) => {
    if (!steps.some(({ event, after }) => event.type === "succeed" && after === "artifact-reported")) return
    const wanted = heartbeatSeconds(store, wizard, limits)
    if (wanted === interval) return
    interval = wanted
    arm()
  })

  arm()
  return {
    beat,
    close: () => {
      closed = true
      cancel()
      unwatch()
    },
  }
}
