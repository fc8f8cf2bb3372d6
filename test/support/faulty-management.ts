/** The management (NIP-86) of the tiny relay of `faulty-relay.ts`: banpubkey and its list, for one administrator. */
import { createHash } from "node:crypto"
import type { IncomingMessage, ServerResponse } from "node:http"
import { verifyEvent } from "nostr-tools/pure"
import { type NostrEvent, parseEvent, tagValue } from "../../src/protocol/event.ts"
import type { Fault } from "./faults.ts"

export const answerManagement = (fault: Fault | undefined, admin: string, banned: Map<string, string>) => {
  const used = new Set<string>()
  return (request: IncomingMessage, response: ServerResponse): void => {
    const parts: Buffer[] = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.on("end", () => {
      const body = Buffer.concat(parts).toString("utf8")
      const event = eventOf(request.headers.authorization)
      const url = `http://${request.headers.host}`
      const isAllowed = event !== undefined && isRight(event, url, body) && !used.has(event.id)
      if (event !== undefined && fault !== "a call counts twice") used.add(event.id)
      const answer = (status: number, value: unknown): void =>
        void response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value))
      if (!isAllowed && fault !== "obeys without authorization") return answer(401, { error: "no" })
      return answer(200, run(body))
    })
  }

  function isRight(event: NostrEvent, url: string, body: string): boolean {
    const hash = createHash("sha256").update(body).digest("hex")
    const u = tagValue(event, "u") ?? ""
    return (
      event.kind === 27235 &&
      verifyEvent({ ...event, tags: event.tags.map((tag) => [...tag]) }) &&
      (fault === "obeys anybody" || event.pubkey === admin) &&
      (fault === "u is not compared" ||
        u === url ||
        (fault === "u is compared at its beginning" && u.startsWith(url))) &&
      tagValue(event, "method") === "POST" &&
      (fault === "payload is not compared" || tagValue(event, "payload") === hash) &&
      (fault === "an old call counts" || Math.abs(event.created_at - Date.now() / 1000) <= 60)
    )
  }

  function run(body: string): unknown {
    try {
      const { method, params } = JSON.parse(body) as { readonly method: string; readonly params: readonly string[] }
      const [key = "", reason = ""] = params
      if (method === "supportedmethods") return { result: ["banpubkey", "unbanpubkey", "listbannedpubkeys"] }
      if (method === "listbannedpubkeys")
        return { result: [...banned].map(([pubkey, why]) => ({ pubkey, reason: why })) }
      if (method === "banpubkey" && /^[0-9a-f]{64}$/.test(key)) {
        if (fault !== "a ban changes nothing") banned.set(key, reason)
        return { result: true }
      }
      if (method === "unbanpubkey") return { result: banned.delete(key) || true }
      return { error: "no such method" }
    } catch {
      return { error: "no call" }
    }
  }
}

const eventOf = (header: string | undefined): NostrEvent | undefined => {
  try {
    const text = /^Nostr (.+)$/.exec(header ?? "")?.[1] ?? ""
    return parseEvent(JSON.parse(Buffer.from(text, "base64").toString("utf8")))
  } catch {
    return undefined
  }
}
