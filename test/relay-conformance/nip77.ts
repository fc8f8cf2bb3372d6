/** NIP-77: negentropy, with nostr-tools' implementation on this side. */
import type { NostrEvent } from "../../src/protocol/event.ts"
import { type Check, demand, type NipChecks, optional, required, show } from "./check.ts"
import { type Difference, negentropyOf, reconcile } from "./negentropy-client.ts"
import { hex32, now, person } from "./person.ts"
import type { Relay } from "./relay.ts"

export const nip77: NipChecks = {
  nip: 77,
  title: "Negentropy",
  claimedBy: [77],
  checks: [
    differs("the relay has nothing, we have nothing", 0, [], []),
    differs("the relay has five, we have none", 5, [0, 1, 2, 3, 4], []),
    differs("the relay has none, we have five", 5, [], [0, 1, 2, 3, 4]),
    differs("both have the same five", 5, [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
    differs("each has one that the other lacks", 5, [0, 1, 2, 3], [1, 2, 3, 4]),
    differs("150 events, both lack some, over several rounds", 150, without(150, 7), without(150, 11)),
    differs("150 events of one second, both lack some", 150, without(150, 13), without(150, 5), true),
    differs("150 events that both have", 150, without(150, 1_000), without(150, 1_000)),
    differs("the relay has 150, we have one", 150, without(150, 1_000), [77]),
    required("only what fits the filter takes part", async (relay) => {
      const client = await relay.connect()
      const alice = person()
      const events = [alice.event(), alice.event({ kind: 7 }), alice.event({ created_at: now() - 500 })]
      await client.store(...events, person().event())
      const { need } = await reconcile(client, { authors: [alice.pubkey], kinds: [1], since: now() - 100 }, [])
      demand(show(need) === show([events[0]?.id]), "one id", show(need))
    }),
    required("filters by tag take part", async (relay) => {
      const client = await relay.connect()
      const tag = hex32()
      const events = [person().event({ tags: [["t", tag]] }), person().event({ tags: [["t", hex32()]] })]
      await client.store(...events)
      const { need } = await reconcile(client, { "#t": [tag] }, [])
      demand(show(need) === show([events[0]?.id]), "one id", show(need))
    }),
    required("what is learned can be fetched and sent, and then both have the same", async (relay) => {
      const client = await relay.connect()
      const alice = person()
      const events = Array.from({ length: 40 }, (_, n) => alice.event({ created_at: now() - n }))
      const [theirs, ours] = [events.slice(0, 30), events.slice(10)]
      await client.store(...theirs)
      const filter = { authors: [alice.pubkey] }
      const { need, have } = await reconcile(client, filter, ours)
      const fetched = await client.query({ ids: [...need] })
      await client.store(...ours.filter(({ id }) => have.includes(id)))
      const after = await reconcile(client, filter, [...ours, ...fetched])
      demand(after.need.length + after.have.length === 0, "no difference", show(after))
    }),
    required("two sessions may run at a time, of two ids", async (relay) => {
      const client = await relay.connect()
      const [alice, bob] = [person(), person()]
      await client.store(alice.event(), bob.event(), bob.event())
      const [one, two] = await Promise.all([
        reconcile(client, { authors: [alice.pubkey] }, [], "one"),
        reconcile(client, { authors: [bob.pubkey] }, [], "two"),
      ])
      demand(one.need.length === 1 && two.need.length === 2, "1 and 2", `${one.need.length} and ${two.need.length}`)
    }),
    required("NEG-OPEN with an id that is open begins anew", async (relay) => {
      const client = await relay.connect()
      const [alice, bob] = [person(), person()]
      await client.store(alice.event(), bob.event(), bob.event())
      client.send("NEG-OPEN", "neg", { authors: [alice.pubkey] }, negentropyOf([]).initiate())
      await client.until("NEG-MSG", (m) => m[0] === "NEG-MSG")
      const { need } = await reconcile(client, { authors: [bob.pubkey] }, [])
      demand(need.length === 2, "2 ids", show(need))
    }),
    required("a session's id and a subscription's id are apart", async (relay) => {
      const client = await relay.connect()
      const alice = person()
      await client.open("same", { authors: [alice.pubkey] })
      await reconcile(client, { authors: [alice.pubkey] }, [], "same")
      await client.store(alice.event())
      await client.until("the live event", (m) => m[0] === "EVENT" && m[1] === "same")
    }),
    required("a filter that cannot be read is refused by NEG-ERR", async (relay) => {
      const client = await relay.connect()
      client.send("NEG-OPEN", "neg", { kinds: "all" }, negentropyOf([]).initiate())
      const answer = await client.until("NEG-ERR", (m) => m[0] !== "AUTH")
      demand(answer[0] === "NEG-ERR" && answer[1] === "neg", "NEG-ERR", show(answer))
    }),
    required("a message that cannot be read is refused by NEG-ERR or NOTICE", async (relay) => {
      const client = await relay.connect()
      const alice = person()
      for (const message of ["zz", "61ff", "6", "6100ff", `61${"ff".repeat(40)}`]) {
        const from = client.received.length
        client.send("NEG-OPEN", "neg", { authors: [alice.pubkey] }, message)
        const answer = await client.until(`NEG-ERR for ${message}`, (m) => m[0] !== "AUTH", from)
        demand(answer[0] === "NEG-ERR" || answer[0] === "NOTICE", `NEG-ERR for ${show(message)}`, show(answer))
      }
    }),
    optional("another version of the protocol is answered by the version that is spoken, 61", async (relay) => {
      const client = await relay.connect()
      client.send("NEG-OPEN", "neg", { authors: [hex32()] }, "62000200")
      const answer = await client.until("NEG-MSG", (m) => m[0] !== "AUTH")
      demand(answer[0] === "NEG-MSG" && answer[2] === "61", '["NEG-MSG", id, "61"]', show(answer))
    }),
    optional("NEG-MSG for what was never opened is answered by NEG-ERR", async (relay) => {
      const client = await relay.connect()
      client.send("NEG-MSG", "never", "61")
      const answer = await client.until("NEG-ERR", (m) => m[0] !== "AUTH")
      demand(answer[0] === "NEG-ERR" || answer[0] === "NOTICE", "NEG-ERR", show(answer))
    }),
    optional("NEG-CLOSE ends a session: NEG-MSG is not answered by NEG-MSG after it", async (relay) => {
      const client = await relay.connect()
      client.send("NEG-OPEN", "neg", { authors: [hex32()] }, negentropyOf([]).initiate())
      await client.until("NEG-MSG", (m) => m[0] === "NEG-MSG")
      const from = client.received.length
      client.send("NEG-CLOSE", "neg")
      client.send("NEG-MSG", "neg", negentropyOf([]).initiate())
      await client.ask({ ids: [hex32()] })
      const stray = client.received.slice(from).find((m) => m[0] === "NEG-MSG")
      demand(stray === undefined, "no NEG-MSG", show(stray))
    }),
    required("ephemeral events take no part", async (relay) => {
      const client = await relay.connect()
      const alice = person()
      await client.store(alice.event({ kind: 20_001 }), alice.event())
      const { need } = await reconcile(client, { authors: [alice.pubkey] }, [])
      demand(need.length === 1, "1 id", String(need.length))
    }),
  ],
}

/** Every index but each n-th. */
function without(count: number, nth: number): readonly number[] {
  return Array.from({ length: count }, (_, n) => n).filter((n) => n % nth !== nth - 1)
}

function differs(
  what: string,
  count: number,
  theirs: readonly number[],
  ours: readonly number[],
  isOneSecond = false,
): Check {
  return required(`the difference is found: ${what}`, async (relay) => {
    const alice = person()
    const events = Array.from({ length: count }, (_, n) => alice.event({ created_at: now() - (isOneSecond ? 50 : n) }))
    const pick = (numbers: readonly number[]) => numbers.map((n) => events[n] as NostrEvent)
    const result = await differenceAt(relay, alice.pubkey, pick(theirs), pick(ours))
    const missing = (from: readonly number[], among: readonly number[]) =>
      pick(from.filter((n) => !among.includes(n))).map(({ id }) => id)
    const isRight =
      same(result.need, missing(theirs, ours)) &&
      same(result.have, missing(ours, theirs)) &&
      result.refused === undefined
    demand(
      isRight,
      `${missing(theirs, ours).length} to fetch, ${missing(ours, theirs).length} to send`,
      result.refused ?? `${result.need.length} to fetch, ${result.have.length} to send`,
    )
  })
}

const differenceAt = async (
  relay: Relay,
  author: string,
  theirs: readonly NostrEvent[],
  ours: readonly NostrEvent[],
): Promise<Difference> => {
  const client = await relay.connect()
  await client.store(...theirs)
  return reconcile(client, { authors: [author] }, ours)
}

const same = (one: readonly string[], two: readonly string[]): boolean =>
  one.length === two.length && one.every((id) => two.includes(id))
