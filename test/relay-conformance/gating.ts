/**
 * Kinds that only the parties may read (4 and 1059): by whatever way one asks, a stranger gets none, the recipient all.
 * One list of checks for both kinds.
 *
 * A stranger's REQ may be refused by CLOSED, or answered without the private events. Both are right.
 */
import type { Filter } from "nostr-tools/filter"
import type { NostrEvent } from "../../src/protocol/event.ts"
import { type Check, demand, type Level, required, optional, show, skip } from "./check.ts"
import type { Connection } from "./connection.ts"
import { reconcile } from "./negentropy-client.ts"
import { now, person, type Person } from "./person.ts"
import { type Relay, settled } from "./relay.ts"

/** A private message, and a public note by the same author to the same person. */
const letter = (kind: number) => {
  const [author, recipient] = [person(), person()]
  const tags = [["p", recipient.pubkey]]
  return { author, recipient, secret: author.event({ kind, tags }), note: author.event({ tags }) }
}

type Letter = ReturnType<typeof letter>

/** Ways to ask for it. The last ones do not name the kind. */
const ways: Readonly<Record<string, (l: Letter) => readonly Filter[]>> = {
  "by kind and recipient": (l) => [{ kinds: [l.secret.kind], "#p": [l.recipient.pubkey] }],
  "by kind and author": (l) => [{ kinds: [l.secret.kind], authors: [l.author.pubkey] }],
  "by kind and time": (l) => [{ kinds: [l.secret.kind], since: now() - 60, limit: 100 }],
  "by id": (l) => [{ ids: [l.secret.id] }],
  "by recipient alone": (l) => [{ "#p": [l.recipient.pubkey] }],
  "by author alone": (l) => [{ authors: [l.author.pubkey] }],
  "among other kinds": (l) => [{ kinds: [1, l.secret.kind], authors: [l.author.pubkey] }],
  "by one of several filters": (l) => [{ kinds: [1], authors: [l.author.pubkey] }, { ids: [l.secret.id] }],
  "by time alone": () => [{ since: now() - 60, limit: 200 }],
}

const holds = (events: readonly NostrEvent[], { secret }: Letter): boolean => events.some(({ id }) => id === secret.id)

const prepared = async (relay: Relay, kind: number): Promise<Letter> => {
  const l = letter(kind)
  await (await relay.connect()).store(l.secret, l.note)
  return l
}

const connectedAs = async (relay: Relay, who?: Person): Promise<Connection> => {
  const client = await relay.connect()
  if (who !== undefined) await client.authenticate(who)
  return client
}

export const gating = (kind: number, level: Level): readonly Check[] => {
  const check = level === "required" ? required : optional
  const strangers: Readonly<Record<string, () => Person | undefined>> = {
    "who has not authenticated": () => undefined,
    "who has authenticated as somebody else": () => person(),
  }
  return [
    ...Object.entries(strangers).flatMap(([who, stranger]) => [
      ...Object.entries(ways).map(([way, filters]) =>
        check(`kind ${kind} is not served to one ${who}, asked for ${way}`, async (relay) => {
          const l = await prepared(relay, kind)
          const { events } = await (await connectedAs(relay, stranger())).ask(...filters(l))
          demand(!holds(events, l), `no event of kind ${kind}`, show(events.find(({ id }) => id === l.secret.id)))
        }),
      ),
      check(`kind ${kind} is not delivered live to one ${who}, whatever was asked for`, async (relay) => {
        const l = letter(kind)
        const [observer, publisher] = [await connectedAs(relay, stranger()), await relay.connect()]
        for (const [way, filters] of Object.entries(ways)) await observer.open(way, ...filters(l))
        await publisher.store(l.secret, l.note)
        await settled(observer, publisher)
        const leaks = Object.keys(ways).filter((way) => holds(observer.eventsOf(way), l))
        demand(leaks.length === 0, `no event of kind ${kind} live`, `one ${leaks.join(", ")}`)
      }),
      check(`kind ${kind} is not counted for one ${who}`, async (relay) => {
        if (!relay.claims(45)) skip("the relay does not claim NIP-45")
        const l = await prepared(relay, kind)
        const client = await connectedAs(relay, stranger())
        for (const filter of [ways["by kind and recipient"], ways["by id"], ways["by recipient alone"]]) {
          const from = client.received.length
          client.send("COUNT", "c", ...(filter as (l: Letter) => readonly Filter[])(l))
          const answer = await client.until("COUNT or CLOSED", (m) => m[0] !== "AUTH" && m[1] === "c", from)
          const count = answer[0] === "CLOSED" ? 0 : (answer[2] as { count: number }).count
          demand(
            count <= (filter === ways["by recipient alone"] ? 1 : 0),
            "CLOSED, or a count without it",
            show(answer),
          )
        }
      }),
      check(`kind ${kind} is not offered by negentropy to one ${who}`, async (relay) => {
        if (!relay.claims(77)) skip("the relay does not claim NIP-77")
        const l = await prepared(relay, kind)
        const client = await connectedAs(relay, stranger())
        for (const filters of [ways["by kind and recipient"], ways["by id"], ways["by recipient alone"]]) {
          const [filter] = (filters as (l: Letter) => readonly Filter[])(l)
          const { need } = await reconcile(client, filter as Filter, [])
          demand(!need.includes(l.secret.id), "NEG-ERR, or no such id", l.secret.id)
        }
      }),
    ]),
    ...Object.entries(ways)
      .filter(([way]) => way !== "by time alone" && way !== "by kind and time")
      .map(([way, filters]) =>
        required(`kind ${kind} is served to its recipient, asked for ${way}`, async (relay) => {
          const l = await prepared(relay, kind)
          const events = await (await asParty(relay, l.recipient)).query(...filters(l))
          demand(holds(events, l), `the event of kind ${kind}`, show(events))
        }),
      ),
    required(`kind ${kind} is delivered live to its recipient`, async (relay) => {
      const l = letter(kind)
      const observer = await asParty(relay, l.recipient)
      await observer.open("s", { kinds: [kind], "#p": [l.recipient.pubkey] })
      await (await relay.connect()).store(l.secret)
      await observer.until("the event, live", (m) => m[0] === "EVENT" && m[1] === "s")
    }),
    required(`kind ${kind} with two recipients is served to the second`, async (relay) => {
      const [author, one, two] = [person(), person(), person()]
      const event = author.event({
        kind,
        tags: [
          ["p", one.pubkey],
          ["p", two.pubkey],
        ],
      })
      await (await relay.connect()).store(event)
      const events = await (await asParty(relay, two)).query({ kinds: [kind], "#p": [two.pubkey] })
      demand(events.length === 1, "the event", show(events))
    }),
    required(
      `the public note beside an event of kind ${kind} is served to anybody who asks for notes`,
      async (relay) => {
        const l = await prepared(relay, kind)
        const events = await (await relay.connect()).query({ kinds: [1], authors: [l.author.pubkey] })
        demand(events.length === 1, "the note", show(events))
      },
    ),
  ]
}

/** Authenticated where the relay does that; else anybody may read. */
const asParty = (relay: Relay, who: Person): Promise<Connection> =>
  connectedAs(relay, relay.claims(42) ? who : undefined)
