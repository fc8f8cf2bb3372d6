/**
 * rust-nostr's Python bindings (nostr-sdk from PyPI) as a client of the relay, from another language.
 *
 * TEST_PYTHON names a Python that has what requirements.txt lists. Without it this is skipped and says so; with
 * CI_REQUIRE_ALL=1 it fails.
 */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { type ServedRelay, serveRelay } from "./served-relay.ts"

// Processes on a busy machine; nothing here waits a fixed time.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const python = process.env["TEST_PYTHON"]
const required = process.env["CI_REQUIRE_ALL"] === "1"
const missing = "TEST_PYTHON must name a Python that has what requirements.txt beside it lists, as .ci/run makes one"
if (python === undefined && !required) process.stderr.write(`skipped: nostr-sdk from Python: ${missing}\n`)

describe.runIf(python !== undefined || required)("nostr-sdk from Python", () => {
  let relay: ServedRelay
  beforeAll(async () => {
    if (python === undefined) throw new Error(missing)
    relay = await serveRelay()
  })
  afterAll(() => relay?.stop())

  /** Rejects with its traceback. */
  const play = (scenario: string): Promise<unknown> =>
    promisify(execFile)(python as string, [join(import.meta.dirname, "python-client.py"), relay.url, scenario], {
      timeout: 50_000,
    })

  it("publishes, is told of refusals, and hears live what its tag filter asks for alone", async () => {
    expect(await play("live")).toEqual(silence)
  })
  it("counts (NIP-45)", async () => {
    expect(await play("count")).toEqual(silence)
  })
  it("deletes its own events and nobody else's (NIP-09)", async () => {
    expect(await play("deletion")).toEqual(silence)
  })
  it("authenticates, and reads gift wraps and kind 4 that only their parties get (NIP-42)", async () => {
    expect(await play("private")).toEqual(silence)
  })
  it("reconciles in both directions until both sides hold the same (NIP-77)", async () => {
    expect(await play("reconciliation")).toEqual(silence)
  })
})

const silence = { stdout: "", stderr: "" }
