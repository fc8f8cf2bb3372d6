/** The services of a real process. Tests and the simulator give others. */
import { Effect, Layer } from "effect"
import { SignaturePool } from "../identity/signature-pool.ts"
import { Verifier } from "../identity/verifier.ts"
import { Chance } from "../services/chance.ts"
import { Clock } from "../services/clock.ts"
import { Socket } from "../services/socket.ts"

/** Verifying and signing share one set of threads. */
const signatures = Layer.effect(
  Verifier,
  Effect.map(SignaturePool, (pool) => pool.verifier),
).pipe(Layer.provideMerge(SignaturePool.layer))

export const live = Layer.mergeAll(Clock.layer, Chance.layer, Socket.layer, signatures)
