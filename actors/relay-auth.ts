/**
 * AUTH with one relay (NIP-42): keeps the challenge in force, signs for it, and hears whether that was taken.
 *
 * RA1 AUTH is sent only where the relay demanded it; a challenge alone is only kept. A demand is over with the AUTH
 *     that was taken: another challenge then waits for another demand.
 * RA2 Each challenge is answered once. One that is replaced while we sign is not answered.
 * RA3 A signer or a relay that does not answer within `okMsMax` counts as a refusal.
 */
import type { Limits } from "../src/limits.ts"
import { withId } from "../src/protocol/event.ts"
import { Kind } from "../src/protocol/kinds.ts"
import { nowSeconds, type ClockShape } from "../src/services/clock.ts"
import type { Signer } from "../src/identity/signer.ts"

export interface AuthDeps {
  readonly url: string
  readonly identity: string
  readonly signer: Signer
  readonly clock: ClockShape
  readonly limits: Pick<Limits, "okMsMax">
  readonly send: (frame: readonly unknown[]) => void
  /** There is a challenge to be answered: the machine decides whether. */
  readonly challenged: () => void
  readonly authenticated: () => void
  readonly refused: (reason: string) => void
}

export interface Auth {
  readonly challenge: (text: string) => void
  /** The relay said `auth-required`. False: we are authenticated already, and it means never. */
  readonly demand: () => boolean
  readonly answer: () => void
  /** True if that OK was for our AUTH. */
  readonly ok: (id: string, accepted: boolean, message: string) => boolean
  /** The connection is gone, and its challenge with it. */
  readonly reset: () => void
}

export const createAuth = (deps: AuthDeps): Auth => {
  let challenge: string | undefined
  let answered: string | undefined
  let demanded = false
  let asking = false
  let awaited: string | undefined
  let disarm = (): void => {}

  const ask = (): void => {
    asking = true
    deps.challenged()
  }
  const settle = (reason?: string): void => {
    disarm()
    asking = false
    awaited = undefined
    if (reason !== undefined) return deps.refused(reason)
    demanded = false
    deps.authenticated()
  }
  const sign = async (text: string): Promise<void> => {
    const tags = [
      ["relay", deps.url],
      ["challenge", text],
    ]
    const unsigned = withId(deps.identity, {
      kind: Kind.auth,
      created_at: nowSeconds(deps.clock),
      tags,
      content: "",
    })
    const [event] = await deps.signer.sign([unsigned])
    if (event === undefined || text !== challenge || !asking) return
    awaited = event.id
    deps.send(["AUTH", event])
  }

  return {
    challenge: (text) => {
      challenge = text
      if (demanded) ask()
    },
    demand: () => {
      if (answered !== undefined && answered === challenge) return false
      demanded = true
      if (challenge !== undefined && !asking) ask()
      return true
    },
    answer: () => {
      const text = challenge
      if (text === undefined) return
      disarm()
      disarm = deps.clock.after(deps.limits.okMsMax, () => settle("AUTH was not answered in time"))
      sign(text).catch((error: unknown) => {
        if (text === challenge && asking) settle(`the signer refused: ${String(error)}`)
      })
    },
    ok: (id, accepted, message) => {
      if (id !== awaited) return false
      answered = accepted ? challenge : undefined
      settle(accepted ? undefined : message || "AUTH was refused")
      return true
    },
    reset: () => {
      disarm()
      challenge = answered = awaited = undefined
      demanded = asking = false
    },
  }
}
