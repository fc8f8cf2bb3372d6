/**
 * The socket of one connection, one at a time: dials, pings, and lets go.
 *
 * RL1 After a socket is let go or lost, nothing of it is heard any more.
 * RL2 A socket that answers no ping within `pongMsMax` is lost (half-open, a laptop that slept): it is cut, not asked.
 *     While we do not read it ourselves nothing is expected of it.
 */
import type { Limits } from "../src/limits.ts"
import type { ClockShape } from "../src/services/clock.ts"
import type { SocketConnection, SocketShape } from "../src/services/socket.ts"

export interface LinkHandlers {
  readonly opened: () => void
  readonly message: (text: string) => void
  /** `stableMs` is how long it was open. */
  readonly lost: (code: number, reason: string, stableMs: number) => void
  readonly guard: (call: () => void) => () => void
}

export interface Link {
  readonly dial: () => void
  readonly send: (frame: readonly unknown[]) => void
  /** Whether reading is to stop for now. */
  readonly throttle: (full: boolean) => void
  /** Looks now whether the other side still lives. */
  readonly probe: () => void
  readonly hangUp: () => void
  /** How long the last ping went unanswered, or the greeting right after opening; null before. */
  readonly latencyMs: () => number | null
  /** Resolves when every socket that was let go is closed. */
  readonly gone: () => Promise<void>
}

interface Call {
  connection: SocketConnection | undefined
  openedMs: number | undefined
  pingedMs: number | undefined
  awaiting: boolean
  disarm: () => void
  readonly closed: PromiseWithResolvers<void>
}

export const createLink = (
  deps: {
    readonly url: string
    readonly socket: SocketShape
    readonly clock: ClockShape
    readonly limits: Pick<Limits, "frameInBytesMax" | "connectMsMax" | "pingSeconds" | "pongMsMax">
  },
  handlers: LinkHandlers,
): Link => {
  const { clock, limits } = deps
  const calls = new Set<Call>()
  let current: Call | undefined
  let full = false
  let latencyMs: number | null = null

  const beat = (call: Call): void => {
    call.disarm()
    call.disarm = clock.after(
      limits.pingSeconds * 1000,
      handlers.guard(() => probe(call)),
    )
  }
  const probe = (call: Call): void => {
    if (call.openedMs === undefined) return
    if (full) return beat(call)
    call.awaiting = true
    ping(call)
    call.disarm()
    call.disarm = clock.after(
      limits.pongMsMax,
      handlers.guard(() => {
        if (full || !call.awaiting) beat(call)
        else lose(call, 1006, `no pong within ${limits.pongMsMax} ms`)
      }),
    )
  }
  const ping = (call: Call): void => {
    call.pingedMs = clock.nowMs()
    call.connection?.ping()
  }
  const ponged = (call: Call): void => {
    if (call.pingedMs !== undefined) latencyMs = Math.max(0, clock.nowMs() - call.pingedMs)
    call.pingedMs = undefined
    alive(call)
  }
  const alive = (call: Call): void => {
    if (!call.awaiting) return
    call.awaiting = false
    beat(call)
  }
  const lose = (call: Call, code: number, reason: string): void => {
    const stableMs = call.openedMs === undefined ? 0 : Math.max(0, clock.nowMs() - call.openedMs)
    letGo(call, 1006)
    handlers.lost(code, reason, stableMs)
  }
  const letGo = (call: Call, code: number): void => {
    if (current === call) current = undefined
    call.disarm()
    call.disarm = clock.after(limits.pongMsMax, () => call.connection?.close(1006))
    if (full) call.connection?.resume()
    call.connection?.close(code)
  }

  return {
    dial: () => {
      const call: Call = {
        connection: undefined,
        openedMs: undefined,
        pingedMs: undefined,
        awaiting: false,
        disarm: () => {},
        closed: Promise.withResolvers<void>(),
      }
      const mine = (does: () => void): void => {
        if (current === call) handlers.guard(does)()
      }
      calls.add(call)
      current = call
      call.connection = deps.socket.connect(
        deps.url,
        {
          opened: () =>
            mine(() => {
              call.openedMs = clock.nowMs()
              if (full) call.connection?.pause()
              beat(call)
              // Nothing is expected of it yet: it shows how far the relay is.
              ping(call)
              handlers.opened()
            }),
          message: (text) =>
            mine(() => {
              alive(call)
              handlers.message(text)
            }),
          pong: () => mine(() => ponged(call)),
          closed: (code, reason) => {
            mine(() => lose(call, code, reason))
            call.disarm()
            calls.delete(call)
            call.closed.resolve()
          },
        },
        { frameBytesMax: limits.frameInBytesMax, connectMsMax: limits.connectMsMax },
      )
    },
    send: (frame) => current?.connection?.send(JSON.stringify(frame)),
    throttle: (next) => {
      full = next
      if (full) current?.connection?.pause()
      else current?.connection?.resume()
    },
    probe: () => current !== undefined && probe(current),
    hangUp: () => {
      if (current !== undefined) letGo(current, 1000)
    },
    latencyMs: () => latencyMs,
    gone: async () => {
      await Promise.all([...calls].map(({ closed }) => closed.promise))
    },
  }
}
