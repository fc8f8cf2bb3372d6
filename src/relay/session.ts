/**
 * One client of the relay: what it says, and what is answered. A verb is a function in the list; what a subscription is
 * told is `subscriptions.ts`'s.
 *
 * N1  No message throws, whatever it holds (P24): it is answered by OK false, CLOSED or NOTICE, and the client goes on.
 * N4  A client whose events wait for their OK in great number is not read until they have it.
 * N5  What a client says behind an AUTH is heard after its verdict.
 * N7  A client that does not read its answers is not read: two bytes of nonsense are answered by a line of text.
 */
import type { PauseReason, Session, SessionParts, Verb } from "./client.ts"
import { clientNegentropies } from "./negentropies.ts"
import type { ClientHandlers, ClientSocket } from "./socket.ts"
import { clientSubscriptions } from "./subscriptions.ts"
import { auth } from "./verbs/auth.ts"
import { count } from "./verbs/count.ts"
import { event } from "./verbs/event.ts"
import { negClose, negMsg, negOpen } from "./verbs/neg.ts"
import { close, req } from "./verbs/req.ts"

const verbs: ReadonlyMap<string, Verb> = new Map([
  ["EVENT", event],
  ["REQ", req],
  ["CLOSE", close],
  ["AUTH", auth],
  ["COUNT", count],
  ["NEG-OPEN", negOpen],
  ["NEG-MSG", negMsg],
  ["NEG-CLOSE", negClose],
])

/** Serves a client until its socket closes. */
export const openSession = (parts: SessionParts, socket: ClientSocket): ClientHandlers => {
  const keys = new Set<string>()
  const sight = () => ({ keys: [...keys], isAdmitted: parts.access.mayRead(keys), council: parts.council })
  const subscriptions = clientSubscriptions({ ...parts, sight }, socket)
  const reasons = new Set<PauseReason>()
  const pause = (reason: PauseReason): void => {
    if (reasons.size === 0) socket.pause()
    reasons.add(reason)
  }
  const resume = (reason: PauseReason): void => {
    if (!reasons.delete(reason)) return
    hearWaiting()
    if (reasons.size === 0) socket.resume()
  }
  /** What had come already when the socket was paused: one piece from the network at most. */
  const waiting: string[] = []
  const hearWaiting = (): void => {
    while (waiting.length > 0 && !reasons.has("authenticating") && !reasons.has("unread")) {
      hear(waiting.shift() as string)
      if (socket.bufferedBytes() > parts.limits.relayPaceBytesMax) pause("unread")
    }
  }

  const session: Session = {
    ...parts,
    socket,
    subscriptions,
    negentropies: clientNegentropies(parts),
    challenge: parts.newChallenge(),
    keys,
    sight,
    isInRate: parts.newRate(),
    unanswered: { bytes: 0 },
    pause,
    resume,
    holdUntil: (done) => {
      pause("authenticating")
      void done.then(() => resume("authenticating"))
    },
  }
  const { send } = subscriptions

  const hear = (text: string): void => {
    const message = parseList(text)
    if (message === undefined) return send("NOTICE", "invalid: a message is a JSON list")
    const [name, ...args] = message
    const verb = typeof name === "string" ? verbs.get(name) : undefined
    if (verb !== undefined) verb(session, args, text.length)
    else send("NOTICE", `invalid: unknown verb; this relay knows ${[...verbs.keys()].join(", ")}`)
  }

  send("AUTH", session.challenge)
  return {
    message: (text) => {
      waiting.push(text)
      hearWaiting()
    },
    drained: () => {
      subscriptions.drained()
      if (socket.bufferedBytes() <= parts.limits.relayPaceBytesMax / 2) resume("unread")
    },
    closed: () => {
      waiting.length = 0
      subscriptions.leave()
      session.negentropies.leave()
    },
  }
}

const parseList = (text: string): readonly unknown[] | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}
