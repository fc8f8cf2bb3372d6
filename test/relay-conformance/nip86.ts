/**
 * NIP-86 with NIP-98: managing a relay over HTTP, by its administrator and nobody else. Runs last and alone, as it changes
 * what the relay takes; each check takes back what it changed.
 */
import { type Check, demand, type NipChecks, optional, required, show, skip } from "./check.ts"
import { answerOf, authorization, call, type CallParts, tryCall } from "./management-client.ts"
import { hex32, now, person } from "./person.ts"
import type { Relay } from "./relay.ts"

export const nip86: NipChecks = {
  nip: 86,
  title: "Management",
  claimedBy: [86],
  isAlone: true,
  checks: [
    required("a call without authorization is answered 401", async (relay) => {
      const { status } = await tryCall(relay, "supportedmethods", [], { authorization: null })
      demand(status === 401, "401", String(status))
    }),
    required("a stranger's call, rightly signed, is refused", async (relay) => {
      const { status, result } = await tryCall(relay, "listbannedpubkeys", [], { who: person() })
      demand(status >= 400 || result === undefined, "401, 403 or an error", `${status} ${show(result)}`)
    }),
    required("a stranger cannot ban anybody", async (relay) => {
      const alice = person()
      await tryCall(relay, "banpubkey", [alice.pubkey, "no"], { who: person() })
      await (await relay.connect()).store(alice.event())
    }),
    asAdmin("the administrator's call is answered: supportedmethods is a list of texts", async (relay) => {
      const methods = await call(relay, "supportedmethods")
      demand(Array.isArray(methods) && methods.every((name) => typeof name === "string"), "a list", show(methods))
    }),
    refused("no Nostr scheme in the header", (parts) => ({
      ...parts,
      header: (text) => text.replace("Nostr ", "Bearer "),
    })),
    refused("an authorization that is no base64 JSON", (parts) => ({ ...parts, header: () => "Nostr %%%" })),
    refused("an event of another kind", (parts) => ({ ...parts, kind: 1 })),
    refused("another URL in u", (parts) => ({ ...parts, u: "https://relay.example.com/" })),
    refused("a u that goes on after the URL", (parts, u) => ({
      ...parts,
      u: `${u}${u.endsWith("/") ? "" : "/"}other`,
    })),
    refused("another method in its tag", (parts) => ({ ...parts, method: "GET" })),
    refused("no payload", (parts) => ({ ...parts, payload: null })),
    refused("another payload", (parts) => ({ ...parts, payload: hex32() })),
    refused("a date two minutes ago", (parts) => ({ ...parts, created_at: now() - 121 })),
    refused("a date two minutes ahead", (parts) => ({ ...parts, created_at: now() + 121 })),
    refused("a wrong signature", (parts) => ({ ...parts, sig: `${hex32()}${hex32()}` })),
    asAdmin("a body that is not the one that was signed is refused", async (relay) => {
      const signed = await authorization(relay, '{"method":"supportedmethods","params":[]}')
      const { status } = await answerOf(relay, '{"method":"listbannedpubkeys","params":[]}', signed)
      demand(status === 401 || status === 403, "401", String(status))
    }),
    asAdmin(
      "an authorization counts once",
      async (relay) => {
        const body = '{"method":"supportedmethods","params":[]}'
        const signed = await authorization(relay, body)
        const first = await answerOf(relay, body, signed)
        demand(first.status === 200, "200 the first time", String(first.status))
        const { status } = await answerOf(relay, body, signed)
        demand(status === 401 || status === 403, "401 the second time", String(status))
      },
      optional,
    ),
    asAdmin("an unknown method is answered by an error", async (relay) => {
      const { result, error } = await tryCall(relay, "nosuchmethod", [])
      demand(result == null && typeof error === "string" && error !== "", "an error", show({ result, error }))
    }),
    asAdmin("params of wrong types are answered by an error", async (relay) => {
      await needs(relay, "banpubkey")
      for (const params of [[], [5], ["hello"], [null]]) {
        const { result, error } = await tryCall(relay, "banpubkey", params)
        demand(result !== true && typeof error === "string", `an error for ${show(params)}`, show({ result, error }))
      }
    }),
    asAdmin("a body that is no call is refused and the relay lives", async (relay) => {
      for (const body of ["", "hello", "[]", "{}", '{"method":5}', "null"]) {
        const { status, result } = await answerOf(relay, body, await authorization(relay, body))
        demand(status !== 500 && result == null, `an error for ${show(body)}`, `${status} ${show(result)}`)
      }
    }),
    asAdmin("banpubkey keeps a key's events out, until unbanpubkey", async (relay) => {
      await needs(relay, "banpubkey")
      const alice = person()
      const client = await relay.connect()
      await client.store(alice.event())
      demand((await call(relay, "banpubkey", [alice.pubkey, "noise"])) === true, "true", "another result")
      const { ok, frame } = await client.publish(alice.event())
      demand(ok === false, "OK false for a banned key", show(frame))
      await client.store(person().event())
      if (!(await supports(relay, "unbanpubkey"))) return
      await call(relay, "unbanpubkey", [alice.pubkey])
      await client.store(alice.event())
    }),
    asAdmin("listbannedpubkeys tells keys and reasons, while they are banned", async (relay) => {
      await needs(relay, "listbannedpubkeys")
      const alice = person()
      await call(relay, "banpubkey", [alice.pubkey, "noise"])
      const entry = await listed(relay, "listbannedpubkeys", "pubkey", alice.pubkey)
      demand(entry?.["reason"] === "noise", '{"pubkey", "reason": "noise"}', show(entry))
      if (!(await supports(relay, "unbanpubkey"))) return
      await call(relay, "unbanpubkey", [alice.pubkey])
      const after = await listed(relay, "listbannedpubkeys", "pubkey", alice.pubkey)
      demand(after === undefined, "no entry", show(after))
    }),
    asAdmin("allowpubkey and unallowpubkey keep the list of allowed keys", async (relay) => {
      await needs(relay, "allowpubkey")
      await needs(relay, "listallowedpubkeys")
      const alice = person()
      await call(relay, "allowpubkey", [alice.pubkey, "friend"])
      const entry = await listed(relay, "listallowedpubkeys", "pubkey", alice.pubkey)
      const { ok, frame } = await (await relay.connect()).publish(alice.event())
      if (await supports(relay, "unallowpubkey")) await call(relay, "unallowpubkey", [alice.pubkey])
      demand(entry?.["reason"] === "friend", '{"pubkey", "reason": "friend"}', show(entry))
      demand(ok === true, "OK true for an allowed key", show(frame))
      const after = await listed(relay, "listallowedpubkeys", "pubkey", alice.pubkey)
      demand(after === undefined || !(await supports(relay, "unallowpubkey")), "no entry", show(after))
    }),
    asAdmin("banevent takes an event out and keeps it out, until allowevent", async (relay) => {
      await needs(relay, "banevent")
      const event = person().event()
      const client = await relay.connect()
      await client.store(event)
      await call(relay, "banevent", [event.id, "noise"])
      demand((await client.query({ ids: [event.id] })).length === 0, "no event", "the event")
      const { ok, frame } = await client.publish(event)
      demand(ok === false, "OK false for a banned event", show(frame))
      if (await supports(relay, "listbannedevents")) {
        const entry = await listed(relay, "listbannedevents", "id", event.id)
        demand(entry?.["reason"] === "noise", '{"id", "reason": "noise"}', show(entry))
      }
      if (!(await supports(relay, "allowevent"))) return
      await call(relay, "allowevent", [event.id])
      await client.store(event)
    }),
    asAdmin("disallowkind keeps a kind out, until allowkind", async (relay) => {
      await needs(relay, "disallowkind")
      await needs(relay, "allowkind")
      const before = await call(relay, "listallowedkinds")
      if (Array.isArray(before) && before.length > 0) skip("there is a list of allowed kinds already")
      const client = await relay.connect()
      await call(relay, "disallowkind", [9_217])
      const { ok, frame } = await client.publish(person().event({ kind: 9_217 }))
      const other = await client.publish(person().event({ kind: 9_218 }))
      await call(relay, "allowkind", [9_217])
      const after = await client.publish(person().event({ kind: 9_217 }))
      // Allowing one kind may mean that others are not: take it back.
      for (const kind of [9_217]) await call(relay, "disallowkind", [kind])
      demand(ok === false, "OK false for kind 9217", show(frame))
      demand(other.ok === true, "OK true for kind 9218", show(other.frame))
      demand(after.ok === true, "OK true for kind 9217 once it is allowed", show(after.frame))
    }),
    asAdmin("changerelayname shows in the information document", async (relay) => {
      await needs(relay, "changerelayname")
      const name = String(relay.document?.["name"] ?? "")
      await call(relay, "changerelayname", ["conformance"])
      const response = await fetch(relay.httpUrl, { headers: { accept: "application/nostr+json" } })
      const document = (await response.json()) as { readonly name?: string }
      await call(relay, "changerelayname", [name])
      demand(document.name === "conformance", "the new name", show(document.name))
    }),
    asAdmin("blockip and unblockip keep the list of blocked addresses", async (relay) => {
      await needs(relay, "blockip")
      await needs(relay, "unblockip")
      await call(relay, "blockip", ["203.0.113.7", "noise"])
      const entry = await listed(relay, "listblockedips", "ip", "203.0.113.7")
      await call(relay, "unblockip", ["203.0.113.7"])
      demand(entry?.["reason"] === "noise", '{"ip", "reason": "noise"}', show(entry))
      const after = await listed(relay, "listblockedips", "ip", "203.0.113.7")
      demand(after === undefined, "no entry", show(after))
    }),
  ],
}

function asAdmin(name: string, run: Check["run"], level = required): Check {
  return level(name, (relay) => {
    if (relay.admin === undefined) skip("no --secret-admin was given")
    return run(relay)
  })
}

/** The administrator's call is refused where the authorization has this fault. */
function refused(fault: string, broken: (parts: CallParts, u: string) => CallParts): Check {
  return asAdmin(`the administrator's call is refused with ${fault}`, async (relay) => {
    const { status, result } = await tryCall(relay, "supportedmethods", [], { broken })
    demand(status === 401 || status === 403, "401", `${status} ${show(result)}`)
  })
}

const supports = async (relay: Relay, method: string): Promise<boolean> =>
  ((await call(relay, "supportedmethods")) as readonly unknown[]).includes(method)

const needs = async (relay: Relay, method: string): Promise<void> => {
  if (!(await supports(relay, method))) skip(`the relay has no ${method}`)
}

const listed = async (relay: Relay, method: string, field: string, value: string) => {
  const list = await call(relay, method)
  demand(Array.isArray(list), "a list", show(list))
  return (list as readonly Record<string, unknown>[]).find((entry) => entry[field] === value)
}
