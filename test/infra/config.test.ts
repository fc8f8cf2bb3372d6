/** The example config is one that the relay takes, once its owner has put in the council's key. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { npubEncode } from "nostr-tools/nip19"
import { expect, it } from "vitest"
import { readRelayConfig } from "../../src/relay/config.ts"
import { keyPair } from "../support/relay-harness.ts"

const example = readFileSync(new URL("../../infra/relay/relay.json", import.meta.url), "utf8")

it("infra/relay/relay.json is a config, and says whose council is meant before it is one", () => {
  const dir = mkdtempSync(join(tmpdir(), "wizardly-config-"))
  const file = join(dir, "relay.json")
  const { pubkey } = keyPair()
  writeFileSync(file, example)
  expect(() => readRelayConfig(file)).toThrow(/npub/)
  writeFileSync(file, example.replace(/npub1-[a-z-]+/, npubEncode(pubkey)))
  expect(readRelayConfig(file)).toMatchObject({ council: pubkey, urls: ["wss://relay.example.org"] })
  rmSync(dir, { recursive: true })
})
