/** The one word for "done" without anything done. */
import { Schema } from "effect"

/** A result that is not believed; `reason` says what is wrong with it. */
export class Unverified extends Schema.TaggedError<Unverified>()("Unverified", { reason: Schema.String }) {
  override get message(): string {
    return `unverified: ${this.reason}`
  }
}
