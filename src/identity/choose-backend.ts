/** The choice among the signature libraries; what is passed over is told with its reason. */
import { Schema } from "effect"
import { backendNames, loadBackend } from "./backends.ts"
import type { SchnorrBackend } from "./backends/backend.ts"
import type { SignatureBackend } from "./verifier.ts"

export class BackendUnusable extends Schema.TaggedError<BackendUnusable>()("BackendUnusable", {
  backend: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `signatures by ${this.backend} cannot be had here: ${this.reason}`
  }
}

export interface BackendChoice {
  readonly backend: SchnorrBackend
  readonly skipped: readonly BackendUnusable[]
}

/** The first of `names` that works. Rejects with BackendUnusable (the last one's) when none does. */
export const chooseBackend = async (names: readonly SignatureBackend[] = backendNames): Promise<BackendChoice> => {
  const skipped: BackendUnusable[] = []
  for (const name of names) {
    try {
      return { backend: await loadBackend(name), skipped }
    } catch (error) {
      skipped.push(new BackendUnusable({ backend: name, reason: (error as Error).message }))
    }
  }
  throw skipped.at(-1) ?? new BackendUnusable({ backend: "none", reason: "no library was named" })
}
