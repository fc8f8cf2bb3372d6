/**
 * The roads between a process and the relays: frames of one direction keep their order, everything takes its time, and a
 * road can stall or break. It is the `Socket` service of the process.
 */
import type { ChanceShape } from "../../../src/services/chance.ts"
import type { SocketHandlers, SocketShape } from "../../../src/services/socket.ts"
import type { Client, SimulatedRelay } from "./relay.ts"
import type { Owner, Timeline } from "./timeline.ts"

export interface Network {
  readonly socketFor: (process: Owner, listen: (url: string) => WireHears) => SocketShape
  /** Nothing passes to or from that relay until then. */
  readonly stall: (url: string, forMs: number) => void
  /** How long a frame takes at most. */
  readonly delay: (url: string, mostMs: number) => void
}

/** What the model looks at on one socket, where the process stands. */
export interface WireHears {
  readonly sent: (text: string) => void
  readonly received: (text: string) => void
}

export const openNetwork = (options: {
  readonly timeline: Timeline
  readonly chance: ChanceShape
  readonly relays: ReadonlyMap<string, SimulatedRelay>
}): Network => {
  const { timeline, chance, relays } = options
  const stalled = new Map<string, number>()
  const delays = new Map<string, number>()

  const connect = (
    process: Owner,
    hears: WireHears,
    url: string,
    handlers: SocketHandlers,
    { connectMsMax }: { readonly connectMsMax: number },
  ) => {
    const relay = relays.get(url)
    /** As the relay sees it, and as the process does. */
    let open = true
    let closed = false
    let greeted = false
    let paused: string[] | undefined
    let lastIn = 0
    let lastOut = 0
    const arrival = (last: number): number => {
      const due = Math.max(timeline.nowMs(), stalled.get(url) ?? 0) + 1 + chance.next() * (delays.get(url) ?? 40)
      return Math.max(last + 0.001, due)
    }
    const toRelay = (call: () => void): void => void timeline.at((lastOut = arrival(lastOut)), call)
    const toProcess = (call: () => void, lateMs = 0): void => {
      const due = arrival(lastIn)
      if (lateMs === 0) lastIn = due
      timeline.at(due + lateMs, call, process)
    }
    const hear = (text: string): void => {
      if (closed) return
      if (paused !== undefined) return void paused.push(text)
      hears.received(text)
      handlers.message(text)
    }
    const end = (code: number, reason: string): void => {
      if (closed) return
      closed = true
      handlers.closed(code, reason)
    }
    const greet = (): void => {
      if (closed) return
      greeted = true
      handlers.opened()
    }
    const hangUp = (reason: string): void => {
      toRelay(() => {
        open = false
        relay?.gone(client)
      })
      end(1006, reason)
    }
    const client: Client = {
      send: (frame, lateMs) => {
        if (!open) return
        if (!process.alive) {
          open = false
          return relay?.gone(client)
        }
        const text = typeof frame === "string" ? frame : JSON.stringify(frame)
        toProcess(() => hear(text), lateMs)
      },
      drop: (code, reason) => {
        if (!open) return
        open = false
        toProcess(() => end(code, reason))
      },
    }
    if (relay === undefined) toProcess(() => end(1006, "no such relay"))
    else {
      toRelay(() => {
        if (!process.alive || !open) return
        // The handshake's answer comes before anything that the relay says.
        if (relay.up()) toProcess(() => greet())
        relay.open(client)
      })
    }
    timeline.at(timeline.nowMs() + connectMsMax, () => !greeted && hangUp("no answer in time"), process)
    return {
      send: (text: string) => {
        if (closed || !process.alive) return
        hears.sent(text)
        toRelay(() => open && relay?.message(client, text))
      },
      ping: () => {
        if (!closed && process.alive) toRelay(() => open && toProcess(() => !closed && handlers.pong()))
      },
      close: (code = 1000, reason = "") => {
        if (closed) return
        if (code === 1006) return hangUp(reason)
        toRelay(() => {
          open = false
          relay?.gone(client)
        })
        toProcess(() => end(code, reason))
      },
      bufferedBytes: () => 0,
      pause: () => {
        paused ??= []
      },
      resume: () => {
        const waiting = paused ?? []
        paused = undefined
        for (const text of waiting) timeline.at(timeline.nowMs(), () => hear(text), process)
      },
    }
  }

  return {
    socketFor: (process, listen) => ({
      connect: (url, handlers, limits) => connect(process, listen(url), url, handlers, limits),
    }),
    stall: (url, forMs) => void stalled.set(url, timeline.nowMs() + forMs),
    delay: (url, mostMs) => void delays.set(url, mostMs),
  }
}
