import { describe, expect, it } from "vitest"
import { isBarred, refusalOf } from "../../src/protocol/refusal.ts"

describe("a refusal", () => {
  it.each([
    ["auth-required: who", "auth", false],
    ["ERROR: auth-required: who", "auth", false],
    ["restricted: no", "never", true],
    ["ERROR: blocked: no", "never", true],
    ["invalid: no", "never", false],
    ["pow: 28", "never", false],
    ["duplicate: have it", "duplicate", false],
    ["error: disk", "later", false],
    ["rate-limited: slowly", "later", false],
    ["mute: what is this", "later", false],
    ["plain words", "later", false],
    ["", "later", false],
  ])("%j asks for %s; whether it bars us: %s", (message, refusal, barred) => {
    expect([refusalOf(message), isBarred(message)]).toEqual([refusal, barred])
  })
})
