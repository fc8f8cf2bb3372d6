/**
 * applesauce (applesauce-relay, with the event store of -core and the signer of -signers) as a client of the relay.
 *
 * It wraps no gifts without a further package: those are made here with nostr-tools, and sent and read by applesauce.
 * All else it can do; it also reconciles (NIP-77), with its own JavaScript negentropy.
 */
import { EventStore } from "applesauce-core/event-store"
import type { NostrEvent } from "applesauce-core/helpers/event"
import type { Filter } from "applesauce-core/helpers/filter"
import { Relay, SyncDirection } from "applesauce-relay"
import { PrivateKeySigner } from "applesauce-signers"
import { nip59 } from "nostr-tools"
import { firstValueFrom, lastValueFrom, toArray } from "rxjs"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { type Inbox, inbox, type ServedRelay, serveRelay } from "./served-relay.ts"

// Processes on a busy machine; nothing here waits a fixed time.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

interface Client {
  readonly relay: Relay
  readonly signer: PrivateKeySigner
  readonly pubkey: string
  /** What the relay says, as it says it. */
  readonly said: Inbox<readonly unknown[]>
}

let served: ServedRelay
const opened: Relay[] = []

/** Who is given authenticates as soon as there is a challenge. */
const connect = async ({ authenticates = false } = {}): Promise<Client> => {
  const signer = new PrivateKeySigner()
  const relay = new Relay(served.url)
  opened.push(relay)
  const said = inbox<readonly unknown[]>()
  relay.message$.subscribe(said.put)
  if (authenticates)
    relay.challenge$.subscribe((challenge) => {
      if (challenge !== null) void relay.authenticate(signer)
    })
  return { relay, signer, pubkey: await signer.getPublicKey(), said }
}

const now = (): number => Math.floor(Date.now() / 1000)

const sign = ({ signer }: Client, kind: number, content: string, tags: string[][] = [], created_at = now()) =>
  signer.signEvent({ kind, content, tags, created_at })

const publish = async ({ relay }: Client, event: NostrEvent): Promise<{ ok: boolean; message: string | undefined }> => {
  const { ok, message } = await relay.publish(event)
  return { ok, message }
}
const taken = { ok: true, message: "" }

const fetch = ({ relay }: Client, filter: Filter): Promise<NostrEvent[]> =>
  lastValueFrom(relay.request(filter).pipe(toArray()))
const idsOf = (events: Iterable<NostrEvent>): string[] => [...events].map(({ id }) => id).toSorted()
const fetchIds = async (client: Client, filter: Filter): Promise<string[]> => idsOf(await fetch(client, filter))

beforeAll(async () => {
  served = await serveRelay()
})
afterAll(async () => {
  for (const relay of opened) relay.close()
  await served.stop()
})

describe("applesauce", () => {
  it("publishes, is told of refusals, and hears live what its tag filter asks for alone", async () => {
    const [writer, other, reader] = [await connect(), await connect(), await connect()]
    const heard = inbox<NostrEvent | "EOSE">()
    const wanted = { kinds: [1], "#t": ["council"], "#p": [reader.pubkey], authors: [writer.pubkey] }
    const live = reader.relay.subscription(wanted, { id: "live" }).subscribe(heard.put)
    await heard.until((item) => item === "EOSE")

    const tags = [
      ["p", reader.pubkey],
      ["t", "council"],
    ]
    for (const others of [[tags[0]], [tags[1]], [tags[0], ["t", "other"]]] as string[][][])
      expect(await publish(writer, await sign(writer, 1, "not meant", others))).toEqual(taken)
    expect(await publish(other, await sign(other, 1, "not hers", tags))).toEqual(taken)
    const event = await sign(writer, 1, "wanted", tags)
    expect(await publish(writer, event)).toEqual(taken)
    await heard.until((item) => item !== "EOSE")
    expect(reader.said.items.filter(([name]) => name === "EVENT")).toEqual([
      ["EVENT", "live", expect.objectContaining({ id: event.id, sig: event.sig, content: "wanted" })],
    ])
    live.unsubscribe()

    const ahead = await sign(writer, 1, "from the future", [], now() + 3600)
    expect(await publish(writer, ahead)).toEqual({
      ok: false,
      message: expect.stringMatching(/^invalid: created_at is \d+ seconds ahead/),
    })
    expect(await fetchIds(reader, { ids: [ahead.id] })).toEqual([])
  })

  it("counts (NIP-45)", async () => {
    const client = await connect()
    for (const topic of ["odd", "even", "odd"])
      expect(await publish(client, await sign(client, 1, crypto.randomUUID(), [["t", topic]]))).toEqual(taken)
    const count = (filter: Filter) => firstValueFrom(client.relay.count(filter))
    expect(await count({ authors: [client.pubkey] })).toEqual({ count: 3 })
    expect(await count({ authors: [client.pubkey], "#t": ["odd"] })).toEqual({ count: 2 })
    expect(await count({ authors: [client.pubkey], "#t": ["none"] })).toEqual({ count: 0 })
  })

  it("deletes its own events and nobody else's (NIP-09)", async () => {
    const [client, other] = [await connect(), await connect()]
    const note = await sign(client, 1, "regretted")
    const deletion = (by: Client) => sign(by, 5, "", [["e", note.id]])
    expect(await publish(client, note)).toEqual(taken)
    expect(await publish(other, await deletion(other))).toEqual(taken)
    expect(await fetchIds(other, { ids: [note.id] })).toEqual([note.id])

    const request = await deletion(client)
    expect(await publish(client, request)).toEqual(taken)
    expect(await fetchIds(other, { ids: [note.id] })).toEqual([])
    expect(await fetchIds(other, { kinds: [5], "#e": [note.id], authors: [client.pubkey] })).toEqual([request.id])
    expect(await publish(other, note)).toEqual({ ok: false, message: expect.stringMatching(/^blocked: /) })
    expect(await fetchIds(other, { ids: [note.id] })).toEqual([])
  })

  it("authenticates, and reads gift wraps and kind 4 that only their parties get (NIP-42)", async () => {
    const [alice, bob, eve] = [await connect(), await connect(), await connect({ authenticates: true })]
    const rumor = { kind: 14, content: "for your eyes only", tags: [["p", bob.pubkey]] }
    const wrap = nip59.wrapEvent(rumor, alice.signer.key, bob.pubkey)
    const tags = [["p", bob.pubkey]]
    const dm = await sign(alice, 4, await alice.signer.nip04.encrypt(bob.pubkey, "old style"), tags)
    const note = await sign(alice, 1, "for all", tags)
    for (const event of [wrap, dm, note]) expect(await publish(alice, event)).toEqual(taken)

    // Asked before he has said who he is: the library waits for his authentication, and asks again.
    const asked = fetchIds(bob, { kinds: [1059], "#p": [bob.pubkey] })
    const refusal = await bob.said.until(([name]) => name === "CLOSED")
    expect(refusal[2]).toMatch(/^auth-required: /)
    expect(await bob.relay.authenticate(bob.signer)).toMatchObject({ ok: true })
    expect(await asked).toEqual([wrap.id])
    expect(await fetchIds(bob, { kinds: [4], "#p": [bob.pubkey] })).toEqual([dm.id])
    expect(await fetchIds(bob, { "#p": [bob.pubkey] })).toEqual(idsOf([wrap, dm, note]))
    expect(await firstValueFrom(bob.relay.count({ "#p": [bob.pubkey] }))).toEqual({ count: 3 })
    const [read] = await fetch(bob, { kinds: [1059] })
    expect(nip59.unwrapEvent(read as NostrEvent, bob.signer.key)).toMatchObject({
      pubkey: alice.pubkey,
      content: "for your eyes only",
    })

    expect(await fetchIds(eve, { "#p": [bob.pubkey] })).toEqual([note.id])
    await eve.said.until(([name, , ok]) => name === "OK" && ok === true)
    expect(await fetchIds(eve, { "#p": [bob.pubkey] })).toEqual([note.id])
    expect(await fetchIds(eve, { kinds: [4], "#p": [bob.pubkey] })).toEqual([])
    expect(await firstValueFrom(eve.relay.count({ "#p": [bob.pubkey] }))).toEqual({ count: 1 })
    await expect(fetch(eve, { kinds: [1059], "#p": [bob.pubkey] })).rejects.toThrow(
      /^restricted: none of your keys is a party/,
    )
  })

  it("reconciles in both directions until both sides hold the same (NIP-77)", async () => {
    const [alice, client] = [await connect(), await connect()]
    const notes = (n: number): Promise<NostrEvent[]> =>
      Promise.all(Array.from({ length: n }, (_, at) => sign(alice, 1, crypto.randomUUID(), [], 1_700_000_000 + at)))
    const [theirs, shared, ours] = [await notes(40), await notes(60), await notes(30)]
    for (const event of [...theirs, ...shared]) expect(await publish(alice, event)).toEqual(taken)
    const store = new EventStore()
    for (const event of [...ours, ...shared]) store.add(event)
    const filter: Filter = { authors: [alice.pubkey], kinds: [1] }
    const sync = (direction: SyncDirection) =>
      lastValueFrom(client.relay.sync(store, filter, direction).pipe(toArray()))
    const held = (): string[] => idsOf(store.getByFilters(filter))

    expect(idsOf(await sync(SyncDirection.RECEIVE))).toEqual(idsOf(theirs))
    expect(held()).toEqual(idsOf([...theirs, ...shared, ...ours]))
    expect(await fetchIds(alice, filter)).toEqual(idsOf([...theirs, ...shared]))

    expect(await sync(SyncDirection.SEND)).toEqual([])
    expect(await fetchIds(alice, filter)).toEqual(held())

    const [mine, ...yours] = await notes(3)
    store.add(mine as NostrEvent)
    for (const event of yours) expect(await publish(alice, event)).toEqual(taken)
    expect(idsOf(await sync(SyncDirection.BOTH))).toEqual(idsOf(yours))
    expect(await fetchIds(alice, filter)).toEqual(held())
    expect(held()).toHaveLength(133)
    expect(await sync(SyncDirection.BOTH)).toEqual([])
  })
})
