/** A process that makes a key when it is told to, and says which one it got. */
import { readOrCreateKey } from "../../src/identity/keys.ts"

process.once("message", () => {
  const { pubkey, created } = readOrCreateKey(process.argv[2] ?? "")
  process.send?.({ pubkey, created }, undefined, undefined, () => process.disconnect())
})
process.send?.("ready")
