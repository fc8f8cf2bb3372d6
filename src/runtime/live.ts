/** The services of a real process. Tests and the simulator give others. */
import { Layer } from "effect"
import { SignaturePool } from "../identity/signature-pool.ts"
import { Chance } from "../services/chance.ts"
import { Clock } from "../services/clock.ts"
import { Socket } from "../services/socket.ts"

export const live = Layer.mergeAll(Clock.layer, Chance.layer, Socket.layer, SignaturePool.layer)
