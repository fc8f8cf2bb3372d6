/** A process that signs and verifies once, tells the outcome, and forgets to close its threads. */
import { openSignatures } from "../../src/identity/signature-pool.ts"
import { withId } from "../../src/protocol/event.ts"

const { signerFor, verifier } = await openSignatures({ workers: 2 })
const signer = signerFor(new Uint8Array(32).fill(1))
const signed = await signer.sign([withId(signer.pubkey, { kind: 1, created_at: 1, tags: [], content: "" })])
process.send?.(await verifier.verify(signed), undefined, undefined, () => process.disconnect())
