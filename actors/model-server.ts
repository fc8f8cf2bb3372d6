/**
 * The doing half of `machines/model-server.ts`: launches the process, asks whether it answers, and tells whoever would
 * use it when it does.
 *
 * Where it is used (`src/executors/mlx.ts`) gives the process and the questions; nothing here knows what serves.
 */
import { createActor, type AnyActor } from "xstate"
import {
  machine,
  type ModelServerBounds,
  type ModelServerEvent,
  type ModelServerTimer,
} from "../machines/model-server.ts"
import type { ClockShape } from "../src/services/clock.ts"

export interface ServerProcess {
  /** When it is gone with all that it started, and its last words. */
  readonly exited: Promise<string>
  readonly kill: () => void
  /**
   * Undefined when it has answered with a token, or what it said instead; rejects where it did not answer at all. Aborted
   * when nobody waits any more.
   */
  readonly answers: (signal: AbortSignal) => Promise<string | undefined>
}

export interface ModelServerDeps<P extends ServerProcess> {
  readonly clock: ClockShape
  readonly bounds: ModelServerBounds
  /** How long it may take to answer a canary. */
  readonly canaryMsMax: number
  readonly launch: () => P
}

export type ModelServerState = "stopped" | "starting" | "ready" | "busy" | "unhealthy" | "restarting" | "stopping"

export interface ModelServerActor<P extends ServerProcess> {
  readonly actor: AnyActor
  readonly status: () => { readonly state: ModelServerState; readonly reason: string | null; readonly restarts: number }
  /** Resolves when it can be asked; rejects, with why, where it has stopped trying. Starts it where it is stopped. */
  readonly ready: (signal: AbortSignal) => Promise<P>
  readonly begin: () => void
  readonly done: () => void
  /** A request saw no life. */
  readonly hang: (reason: string) => void
  /** Resolves when its process is gone. */
  readonly close: () => Promise<void>
}

/** How long between two tries to have the first answer of one that starts. */
const startingMs = 250

export const runModelServer = <P extends ServerProcess>(deps: ModelServerDeps<P>): ModelServerActor<P> => {
  const { clock } = deps
  const timers = new Map<ModelServerTimer, () => void>()
  let held: { readonly process: P; readonly asking: AbortController } | undefined
  const disarm = (timer: ModelServerTimer): void => {
    timers.get(timer)?.()
    timers.delete(timer)
  }
  const tell = (event: ModelServerEvent): void => {
    if (actor.getSnapshot().status === "active") actor.send(event)
  }

  const launch = (): void => {
    const process = deps.launch()
    const mine = { process, asking: new AbortController() }
    held = mine
    void process.exited.then((reason) => {
      mine.asking.abort()
      if (held === mine) held = undefined
      tell({ type: "exited", reason, atMs: clock.nowMs() })
    })
    const ask = (): void => {
      if (mine.asking.signal.aborted) return
      process.answers(mine.asking.signal).then(
        (refusal) =>
          held === mine && tell(refusal === undefined ? { type: "up" } : { type: "refused", reason: refusal }),
        () => void clock.after(startingMs, ask, { unref: true }),
      )
    }
    ask()
  }

  const probe = (): void => {
    const mine = held
    if (mine === undefined) return
    const late = new AbortController()
    const cancel = clock.after(deps.canaryMsMax, () => late.abort(), { unref: true })
    const both = AbortSignal.any([late.signal, mine.asking.signal])
    mine.process
      .answers(both)
      .then((refusal) => {
        if (refusal !== undefined) throw new Error(refusal)
      })
      .catch(() => {
        // One that a request keeps busy answers it first.
        if (held === mine && !mine.asking.signal.aborted && state() === "ready")
          tell({ type: "hang", reason: `it did not answer a canary in ${deps.canaryMsMax / 1000} s` })
      })
      .finally(cancel)
  }

  const actor = createActor(
    machine.provide({
      actions: {
        launch,
        kill: () => held?.process.kill(),
        probe,
        arm: (_, { timer, ms }) =>
          void timers.set(
            timer,
            clock.after(ms, () => tell({ type: timer }), { unref: true }),
          ),
        disarm: (_, { timer }) => disarm(timer),
      },
    }),
    { input: deps.bounds },
  )
  const state = (): ModelServerState => actor.getSnapshot().value
  actor.subscribe({ error: () => {} })
  actor.start()

  /** The first state that fits, now or to come. */
  const until = (fits: (state: ModelServerState) => boolean, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (fits(state())) return resolve()
      const subscription = actor.subscribe(() => {
        if (!fits(state())) return
        subscription.unsubscribe()
        resolve()
      })
      signal?.addEventListener("abort", () => {
        subscription.unsubscribe()
        reject(new Error("nobody waits any more"))
      })
    })

  return {
    actor,
    status: () => {
      const { context } = actor.getSnapshot()
      return { state: state(), reason: context.reason, restarts: context.restarts.length }
    },
    ready: async (signal) => {
      tell({ type: "start" })
      await until((now) => now === "ready" || now === "busy" || now === "stopped", signal)
      if (held === undefined || state() === "stopped")
        throw new Error(actor.getSnapshot().context.reason ?? "it was stopped")
      return held.process
    },
    begin: () => tell({ type: "begin" }),
    done: () => tell({ type: "done" }),
    hang: (reason) => tell({ type: "hang", reason }),
    close: async () => {
      tell({ type: "stop" })
      await until((now) => now === "stopped")
      actor.stop()
      for (const timer of timers.keys()) disarm(timer)
    },
  }
}
