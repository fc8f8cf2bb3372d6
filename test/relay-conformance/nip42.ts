/** NIP-42: who a client is, proven to this relay, on this connection, now. */
import type { NostrEvent } from "../../src/protocol/event.ts"
import { type Check, demand, type NipChecks, optional, required, show, skip } from "./check.ts"
import type { AuthParts, Connection } from "./connection.ts"
import { hex32, now, person, type Person } from "./person.ts"
import { type Relay, settled } from "./relay.ts"

export const nip42: NipChecks = {
  nip: 42,
  title: "Authentication",
  claimedBy: [42],
  checks: [
    required("a challenge comes, on connecting or when it is needed", async (relay) => {
      const challenge = await (await relay.connect()).challenge()
      demand(challenge.length >= 8, "a challenge that cannot be guessed", show(challenge))
    }),
    optional("a challenge comes on connecting", async (relay) => {
      await (await relay.connect()).until("AUTH", (m) => m[0] === "AUTH", 0, 1_000)
    }),
    required("each connection has a challenge of its own", async (relay) => {
      const [one, two] = [await relay.connect(), await relay.connect()]
      const challenges = [await one.challenge(), await two.challenge()]
      demand(challenges[0] !== challenges[1], "two challenges", show(challenges))
    }),
    required("a right AUTH is answered OK true", async (relay) => (await relay.connect()).authenticate(person())),
    optional("an AUTH that names the relay with a slash at the end more or less is taken", async (relay) => {
      const other = relay.authUrl.endsWith("/") ? relay.authUrl.slice(0, -1) : `${relay.authUrl}/`
      await verdict(relay, true, { relay: other })
    }),
    refused("an AUTH of another kind is refused", { kind: 1 }),
    refused("an AUTH with another challenge is refused", { challenge: hex32() }),
    refused("an AUTH with an empty challenge is refused", { challenge: "" }),
    refused("an AUTH for another relay is refused", { relay: "wss://relay.example.com" }),
    refused("an AUTH for no relay is refused", { relay: "" }),
    refused("an AUTH that is half an hour old is refused", { created_at: now() - 1_800 }),
    refused("an AUTH that is half an hour ahead is refused", { created_at: now() + 1_800 }),
    required("an AUTH without tags is refused", async (relay) => {
      const client = await relay.connect()
      await client.challenge()
      await no(client, person().event({ kind: 22242, content: "" }))
    }),
    required("an AUTH with a wrong signature is refused", async (relay) => {
      const client = await relay.connect()
      const event = await client.authEvent(person())
      await no(client, { ...event, sig: `${hex32()}${hex32()}` })
    }),
    required("an AUTH in another's name is refused", async (relay) => {
      const client = await relay.connect()
      await no(client, { ...(await client.authEvent(person())), pubkey: person().pubkey })
    }),
    required("an AUTH that another connection was given is refused", async (relay) => {
      const [one, two] = [await relay.connect(), await relay.connect()]
      const alice = person()
      const event = await one.authEvent(alice)
      await two.challenge()
      await no(two, event)
      await notAuthenticated(relay, two, alice)
    }),
    required("an AUTH that is replayed on another connection is refused", async (relay) => {
      const [one, two] = [await relay.connect(), await relay.connect()]
      const event = await one.authEvent(person())
      await one.sendAuth(event)
      await two.challenge()
      await no(two, event)
    }),
    required("a refused AUTH gives no rights", async (relay) => {
      const client = await relay.connect()
      const alice = person()
      await client.sendAuth(await client.authEvent(alice, { challenge: hex32() }))
      await notAuthenticated(relay, client, alice)
    }),
    required("several keys may authenticate on one connection, and all of them count", async (relay) => {
      const client = await relay.connect()
      const people = [person(), person(), person()]
      for (const one of people) await client.authenticate(one)
      for (const one of people) await authenticated(relay, client, one)
    }),
    required("authentication is one connection's: another has none of it", async (relay) => {
      const [one, two] = [await relay.connect(), await relay.connect()]
      const alice = person()
      await one.authenticate(alice)
      await two.challenge()
      await notAuthenticated(relay, two, alice)
    }),
    required("authentication lasts for the connection", async (relay) => {
      const client = await relay.connect()
      const alice = person()
      await client.authenticate(alice)
      await new Promise((resolve) => setTimeout(resolve, 1_500))
      await authenticated(relay, client, alice)
    }),
    required("events of kind 22242 are delivered to nobody", async (relay) => {
      const alice = person()
      const [observer, publisher] = [await relay.connect(), await relay.connect()]
      await observer.open("s", { kinds: [22242] }, { authors: [alice.pubkey] })
      await publisher.authenticate(alice)
      await publisher.publish(alice.event({ kind: 22242, tags: [["relay", relay.authUrl]] }))
      await settled(observer, publisher)
      const came = observer.eventsOf("s").filter(({ pubkey }) => pubkey === alice.pubkey)
      demand(came.length === 0, "nothing", show(came))
    }),
    required("what is no AUTH event is refused and the connection goes on", async (relay) => {
      const client = await relay.connect()
      for (const odd of [null, "hello", {}, [], 5, { id: 5 }]) client.send("AUTH", odd)
      await client.query({ ids: [hex32()] })
    }),
  ],
}

function refused(name: string, parts: AuthParts): Check {
  return required(name, (relay) => verdict(relay, false, parts))
}

const verdict = async (relay: Relay, due: boolean, parts: AuthParts): Promise<void> => {
  const client = await relay.connect()
  const { ok, frame } = await client.sendAuth(await client.authEvent(person(), parts))
  demand(ok === due, `OK ${due}`, show(frame))
}

const no = async (client: Connection, event: NostrEvent): Promise<void> => {
  const { ok, frame } = await client.sendAuth(event)
  demand(ok === false, "OK false", show(frame))
}

/** What only an authenticated key may do: publish a protected event of its own (NIP-70), or read its private events. */
const canProve = async (relay: Relay, client: Connection, who: Person): Promise<boolean> => {
  if (relay.claims(70)) return (await client.publish(who.event({ tags: [["-"]] }))).ok === true
  for (const kind of [1059, 4]) {
    const event = person().event({ kind, tags: [["p", who.pubkey]] })
    const filter = { kinds: [kind], "#p": [who.pubkey] }
    const stranger = await relay.connect()
    await stranger.publish(event)
    // Anybody may read it: it proves nothing.
    if ((await stranger.ask(filter)).events.length > 0) continue
    return (await client.ask(filter)).events.length > 0
  }
  return skip("nothing here depends on AUTH: no protected events, no private kinds")
}

const authenticated = async (relay: Relay, client: Connection, who: Person): Promise<void> =>
  demand(await canProve(relay, client, who), "the rights of an authenticated key", "none")

const notAuthenticated = async (relay: Relay, client: Connection, who: Person): Promise<void> =>
  demand(!(await canProve(relay, client, who)), "no rights", "those of an authenticated key")
