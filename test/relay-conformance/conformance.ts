/**
 * `npm run conformance -- ws://… [options]`: what a relay does of what the NIPs say. Ends with 0 only if no required check
 * failed; 2: wrong usage; 4: the relay takes no notes from strangers, so nothing can be told; 5: it cannot be reached.
 */
import { parseArgs } from "node:util"
import { decode } from "nostr-tools/nip19"
import { show } from "./check.ts"
import { connectTo } from "./connection.ts"
import { person, type Person } from "./person.ts"
import { claimedNips, type Facts, readDocument } from "./relay.ts"
import { runSuite, suite } from "./suite.ts"
import { rowsOf, sentencesOf, tableOf } from "./table.ts"

const usage = `npm run conformance -- ws://HOST[:PORT] [options]
  --json                 the outcomes as data
  --nip N                only this NIP, also if the relay does not claim it; repeatable
  --auth-url URL         the URL that the relay knows itself by, for AUTH (default: the URL that is called)
  --secret-admin KEY     the administrator's secret, nsec or hex, for the checks of NIP-86
  --admin-url URL        the URL that management calls must name (default: whichever form works)
`

const main = async (): Promise<number> => {
  const asked = readArguments()
  if (typeof asked === "string") {
    process.stderr.write(`${asked}\n${usage}`)
    return 2
  }
  const { url, json, nips } = asked
  const facts: Facts = { ...asked.facts, document: await readDocument(url) }
  const fault = await notTestable(facts, nips)
  if (fault !== undefined) {
    process.stderr.write(`${fault.sentence}\n`)
    return fault.code
  }
  const from = performance.now()
  const outcomes = await runSuite(facts, nips.length > 0 ? { nips } : {})
  const seconds = Math.round((performance.now() - from) / 100) / 10
  const rows = rowsOf(suite, outcomes)
  const failed = rows.reduce((sum, row) => sum + row.failedRequired, 0)
  const { name, software, version } = facts.document ?? {}
  const about = { url, name, software, version, claims: claimedNips(facts.document), seconds }
  await print(
    json
      ? `${JSON.stringify({ ...about, passed: failed === 0, rows, outcomes }, undefined, 2)}\n`
      : `${[
          `${url} · ${show([name, software, version].filter((part) => part !== undefined).join(" ") || "no document")}`,
          `claims NIPs ${about.claims.join(", ") || "none"} · ${seconds} s`,
          "",
          tableOf(rows),
          "",
          ...sentencesOf(outcomes),
          failed === 0 ? "every required check passed" : `${failed} required checks failed`,
        ].join("\n")}\n`,
  )
  return failed === 0 ? 0 : 1
}

/** Until it is with whoever reads: a pipe takes its time. */
const print = (text: string): Promise<void> => new Promise((resolve) => process.stdout.write(text, () => resolve()))

const readArguments = () => {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        json: { type: "boolean", default: false },
        nip: { type: "string", multiple: true, default: [] },
        "auth-url": { type: "string" },
        "secret-admin": { type: "string" },
        "admin-url": { type: "string" },
      },
    })
    const [url, ...more] = positionals
    if (url === undefined || more.length > 0 || !/^wss?:\/\//.test(url))
      return "one relay's URL is due, ws:// or wss://"
    const known = suite.map(({ nip }) => nip)
    const nips = values.nip.map(Number)
    if (nips.some((nip) => !known.includes(nip))) return `--nip is one of ${known.join(", ")}`
    const secret = values["secret-admin"]
    const admin = secret === undefined ? undefined : personOf(secret)
    const adminUrl = values["admin-url"]
    return {
      url,
      json: values.json,
      nips,
      facts: {
        url,
        authUrl: values["auth-url"] ?? url,
        ...(admin !== undefined && { admin }),
        ...(adminUrl !== undefined && { adminUrl }),
      },
    }
  } catch (error) {
    return (error as Error).message
  }
}

const personOf = (secret: string): Person => {
  if (/^[0-9a-f]{64}$/.test(secret)) return person(Buffer.from(secret, "hex"))
  const decoded = secret.startsWith("nsec1") ? decode(secret as `nsec1${string}`) : undefined
  if (decoded?.type !== "nsec") throw new Error("--secret-admin is an nsec, or 64 hex digits")
  return person(decoded.data)
}

/** The suite needs a relay that takes what a stranger writes; the checks of proof of work do their work first. */
const notTestable = async (
  facts: Facts,
  nips: readonly number[],
): Promise<{ readonly code: number; readonly sentence: string } | undefined> => {
  try {
    const client = await connectTo(facts.url, facts.authUrl)
    try {
      const { ok, message, frame } = await client.publish(person().event())
      const wantsWork = String(message).startsWith("pow:") && nips.length === 1 && nips[0] === 13
      return ok === true || wantsWork
        ? undefined
        : {
            code: 4,
            sentence: `${facts.url} takes no note from a throw-away key, so it cannot be examined: ${show(frame)}`,
          }
    } finally {
      client.close()
    }
  } catch (error) {
    return { code: 5, sentence: `${facts.url} cannot be examined: ${(error as Error).message}` }
  }
}

process.exitCode = await main()
