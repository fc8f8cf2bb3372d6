/** What a runtime is started with, and what cannot be. */
import { Schema } from "effect"
import type { Limits } from "../limits.ts"
import type { Config } from "./config.ts"
import type { Home } from "./home.ts"

/** What a person asked for that cannot be; exit code 2. */
export class StartRefused extends Schema.TaggedError<StartRefused>()("StartRefused", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

/** What a person names is not there; exit code 3. */
export class NotThere extends Schema.TaggedError<NotThere>()("NotThere", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

export interface RuntimeOptions {
  readonly home: Home
  readonly roles: readonly {
    readonly name: string
    readonly class?: string
    readonly executor?: string
    /** For its executor, which is `mlx` where none is named. */
    readonly model?: string
  }[]
  /** Relays of others; none: the embedded one. */
  readonly relays: readonly string[]
  readonly relayPort: number
  /** A council to join: its public key, hex. */
  readonly council: string | undefined
  /** People's own public keys, hex. */
  readonly operators: readonly string[]
  readonly config: Config
  readonly limits: Limits
  readonly warn: (message: string) => void
}
