/** strfry's write policy as strfry runs it: a line in, a line out. */
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { npubEncode } from "nostr-tools/nip19"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { keyPair } from "../support/relay-harness.ts"

const policy = fileURLToPath(new URL("../../infra/strfry/policy/write-policy.mjs", import.meta.url))
const member = keyPair()
const other = keyPair()
const stranger = keyPair()

let dir: string
let members: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "wizardly-policy-"))
  members = join(dir, "members.txt")
  writeFileSync(
    members,
    `# the council\n\n${npubEncode(member.pubkey)}  operator: Ada\n${other.pubkey} wizard: timmy\n`,
  )
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

interface Decision {
  readonly id: string
  readonly action: string
  readonly msg?: string
}

const start = () => {
  const child = spawn(process.execPath, [policy], { env: { ...process.env, MEMBERS: members } })
  let said = ""
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    raw: (line: string) => void child.stdin.write(`${line}\n`),
    decide: async (event: object, more: object = {}): Promise<Decision> => {
      child.stdin.write(`${JSON.stringify({ type: "new", event, receivedAt: 1, sourceType: "IP4", ...more })}\n`)
      return JSON.parse((await lines.next()).value as string) as Decision
    },
    said: () => said,
    stop: () => {
      child.stdin.end()
      return new Promise((resolve) => child.once("close", resolve))
    },
  }
}

describe("the write policy", () => {
  it("takes what members write, given as npub or hex, and refuses strangers with a reason", async () => {
    const running = start()
    for (const { event } of [member, other]) {
      const note = event("hello", 1)
      expect(await running.decide(note)).toEqual({ id: note.id, action: "accept" })
    }
    const refused = stranger.event(`"pubkey":"${member.pubkey}"`, 1, 1, [["p", member.pubkey]])
    expect(await running.decide(refused)).toEqual({
      id: refused.id,
      action: "reject",
      msg: expect.stringMatching(/^restricted: /),
    })
    await running.stop()
  })

  it("judges gift wraps by whom they are for, or by who authenticated", async () => {
    const running = start()
    const action = async (tags: string[][], authed?: string, kind = 1059) =>
      (await running.decide(stranger.event("", 1, kind, tags), authed === undefined ? {} : { authed })).action
    expect(await action([["p", member.pubkey]])).toBe("accept")
    expect(await action([["p", stranger.pubkey]])).toBe("reject")
    expect(await action([["p", stranger.pubkey]], other.pubkey)).toBe("accept")
    expect(await action([["e", member.pubkey]])).toBe("reject")
    expect(await action([["p", member.pubkey]], undefined, 24133)).toBe("accept")
    expect(await action([["p", member.pubkey]], member.pubkey, 4)).toBe("reject")
    await running.stop()
  })

  it("reads the list anew when it changes, and refuses all when it is gone", async () => {
    const running = start()
    const note = stranger.event("let me in", 1)
    expect((await running.decide(note)).action).toBe("reject")
    writeFileSync(members, stranger.pubkey)
    utimesSync(members, 1, 1)
    expect((await running.decide(note)).action).toBe("accept")
    rmSync(members)
    expect((await running.decide(note)).action).toBe("reject")
    await running.stop()
  })

  it("names a line that is no key, and an npub with a slip of the pen admits nobody", async () => {
    const npub = npubEncode(stranger.pubkey)
    const slip = npub.slice(0, 20) + (npub[20] === "q" ? "p" : "q") + npub.slice(21)
    writeFileSync(members, `Ada\n${slip}\n`)
    const running = start()
    expect((await running.decide(stranger.event("hello", 1))).action).toBe("reject")
    await running.stop()
    expect(running.said()).toContain("line 1 holds no key: Ada")
    expect(running.said()).toContain("line 2 holds no key")
  })

  it("goes on after a line that it does not understand", async () => {
    const running = start()
    running.raw("not json")
    running.raw('{"type":"other"}')
    running.raw('{"type":"new","event":null}')
    expect((await running.decide(member.event("hello", 1))).action).toBe("accept")
    await running.stop()
  })
})
