/** Our own relay passes the suite that any relay can be held against. */
import { afterAll, describe, expect, it } from "vitest"
import { openSignatures } from "../../src/identity/signature-pool.ts"
import { startRelay } from "../relay/client.ts"
import { person } from "./person.ts"
import { readDocument } from "./relay.ts"
import { runSuite } from "./suite.ts"

const admin = person()

const factsOf = async (url: string) => ({ url, authUrl: url, admin, document: await readDocument(url) })

const signatures = await openSignatures({ workers: 1 })
afterAll(signatures.close)

describe("our relay", () => {
  it(
    "passes every check of the suite that it claims, and claims all but proof of work",
    { timeout: 180_000 },
    async () => {
      const relay = await startRelay({ council: admin.pubkey, verifier: signatures.verifier })
      try {
        const outcomes = await runSuite(await factsOf(relay.url))
        expect(outcomes.filter(({ verdict }) => verdict === "failed")).toEqual([])
        expect(new Set(outcomes.filter(({ verdict }) => verdict === "unsupported").map(({ nip }) => nip))).toEqual(
          new Set([13]),
        )
      } finally {
        await relay.close()
      }
    },
  )

  it("passes the checks of proof of work where it asks for it", async () => {
    const relay = await startRelay({ rules: { powBitsMin: 6 } })
    try {
      const outcomes = await runSuite(await factsOf(relay.url), { nips: [13] })
      expect(outcomes.map(({ verdict }) => verdict)).toEqual(["passed", "passed"])
    } finally {
      await relay.close()
    }
  })
})
