/** The suite on a tiny relay that has one fault after the other: each is seen by the check that is meant for it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type FaultyRelay, faultyRelay } from "../support/faulty-relay.ts"
import { type Fault, faults } from "../support/faults.ts"
import { person } from "./person.ts"
import { readDocument } from "./relay.ts"
import { runSuite, suite } from "./suite.ts"
import { rowsOf, tableOf } from "./table.ts"

const admin = person()

const factsOf = async (url: string) => ({ url, authUrl: url, admin, document: await readDocument(url) })

describe("the suite", () => {
  it("names each check once", () => {
    for (const { checks } of suite) expect(new Set(checks.map(({ name }) => name)).size).toBe(checks.length)
  })

  it("S1: does not run what is not claimed, unless it is asked for", async () => {
    const relay = await faultyRelay(undefined, admin.pubkey)
    try {
      const facts = { ...(await factsOf(relay.url)), document: undefined }
      const [unasked] = await runSuite(facts, { names: ["an event that has expired is refused"] })
      expect(unasked?.verdict).toBe("unsupported")
      const [asked] = await runSuite(facts, { nips: [40], names: ["an event that has expired is refused"] })
      expect(asked?.verdict).toBe("passed")
    } finally {
      await relay.close()
    }
  })

  it("sums up by NIP", () => {
    const outcomes = (["passed", "failed", "skipped"] as const).map((verdict) => ({
      nip: 40,
      name: verdict,
      level: "required" as const,
      verdict,
      ms: 0,
    }))
    expect(rowsOf(suite, outcomes)).toMatchObject([{ nip: 40, checks: 3, passed: 1, failedRequired: 1, skipped: 1 }])
    expect(tableOf(rowsOf(suite, outcomes))).toContain("| 40  | Expiration")
  })

  describe("on a relay without a fault", () => {
    let relay: FaultyRelay
    beforeAll(async () => {
      relay = await faultyRelay(undefined, admin.pubkey)
    })
    afterAll(() => relay.close())

    it.each(Object.entries(faults))("passes what is meant to see: %s", async (_, [nip, name]) => {
      const outcomes = await runSuite(await factsOf(relay.url), { nips: [nip], names: [name] })
      expect(outcomes.length).toBeGreaterThan(0)
      expect(outcomes.filter(({ verdict }) => verdict !== "passed")).toEqual([])
    })
  })

  it.each(Object.entries(faults))("sees a relay's fault: %s", async (fault, [nip, name]) => {
    const relay = await faultyRelay(fault as Fault, admin.pubkey)
    try {
      const outcomes = await runSuite(await factsOf(relay.url), { nips: [nip], names: [name] })
      expect(outcomes.length).toBeGreaterThan(0)
      expect(outcomes.map(({ verdict }) => verdict)).toContain("failed")
      expect(outcomes.find(({ verdict }) => verdict === "failed")?.reason).toMatch(/^expected .+; came /s)
    } finally {
      await relay.close()
    }
  })
})
