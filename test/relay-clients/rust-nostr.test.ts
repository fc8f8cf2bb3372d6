/**
 * rust-nostr (@rust-nostr/nostr-sdk, its wasm build) as a client of the relay. It can do all that is asked here. Its
 * event store is IndexedDB, which Node lacks; fake-indexeddb stands in, so that it reconciles from a store of its own.
 */
import "fake-indexeddb/auto"
import {
  type AbortHandle,
  Client,
  ClientBuilder,
  ClientOptions,
  Duration,
  type Event,
  EventBuilder,
  EventDeletionRequest,
  Filter,
  Keys,
  Kind,
  loadWasmSync,
  NostrDatabase,
  NostrSigner,
  SyncDirection,
  SyncOptions,
  Tag,
  Timestamp,
  UnwrappedGift,
} from "@rust-nostr/nostr-sdk"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { type Inbox, inbox, type ServedRelay, serveRelay } from "./served-relay.ts"

// Processes on a busy machine; nothing here waits a fixed time.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

let relay: ServedRelay
const opened: Client[] = []
const listenings: AbortHandle[] = []

const connected = async (client: Client): Promise<Client> => {
  opened.push(client)
  await client.addRelay(relay.url)
  await client.connect()
  await client.waitForConnection(patience())
  return client
}
const clientOf = (keys: Keys): Promise<Client> => connected(new Client(NostrSigner.keys(keys)))

/** The library takes its arguments away from the caller, so each call gets its own. */
const patience = (): Duration => Duration.fromSecs(20)

const sign = (keys: Keys, kind: number, content: string, tags: string[][] = [], at = Timestamp.now()): Event =>
  new EventBuilder(new Kind(kind), content)
    .tags(tags.map((tag) => Tag.parse(tag)))
    .customCreatedAt(at)
    .signWithKeys(keys)

const idsOf = (events: readonly Event[]): string[] => events.map((event) => event.id.toHex()).toSorted()

const fetchIds = async (client: Client, filter: Filter): Promise<string[]> =>
  idsOf((await client.fetchEvents(filter, patience())).toVec())

/** What the relay answered, as the library tells it: nothing for OK true, the reason for OK false. */
const publish = async (client: Client, event: Event): Promise<string | undefined> => {
  const { success, failed } = await client.sendEvent(event)
  expect(success.length + failed.length).toBe(1)
  return failed[0]?.error
}

/** What the relay says to a client from now on, as JSON; its events also as the library hands them out. */
const hear = (client: Client, take: (subscription: string, event: Event) => void = () => undefined): Inbox<string> => {
  const said = inbox<string>()
  const listening = client.handleNotifications({
    handleEvent: async (_relay, subscription, event) => {
      take(subscription, event)
      return false
    },
    handleMsg: async (_relay, message) => {
      said.put(message.asJson())
      return false
    },
  })
  listenings.push(listening)
  return said
}

beforeAll(async () => {
  loadWasmSync()
  relay = await serveRelay()
})
afterAll(async () => {
  for (const listening of listenings) listening.abort()
  await Promise.all(opened.map((client) => client.shutdown()))
  await relay.stop()
})

describe("rust-nostr", () => {
  it("publishes, is told of refusals, and hears live what its tag filter asks for alone", async () => {
    const [alice, bob] = [Keys.generate(), Keys.generate()]
    const [writer, reader] = [await clientOf(alice), await clientOf(bob)]
    const heard = inbox<Event>()
    const said = hear(reader, (subscription, event) => {
      if (subscription === "live") heard.put(event)
    })
    await reader.subscribeWithId(
      "live",
      new Filter().kind(new Kind(1)).hashtags(["council"]).pubkey(bob.publicKey).author(alice.publicKey),
    )
    await reader.subscribeWithId("after", new Filter().limit(0))
    await said.until((text) => text.startsWith('["EOSE","after"'))

    const tags = [
      ["p", bob.publicKey.toHex()],
      ["t", "council"],
    ]
    for (const others of [[tags[0]], [tags[1]], [tags[0], ["t", "other"]]] as string[][][])
      expect(await publish(writer, sign(alice, 1, "not meant", others))).toBeUndefined()
    expect(await publish(writer, sign(bob, 1, "not hers", tags))).toBeUndefined()
    const wanted = sign(alice, 1, "wanted", tags)
    expect(await publish(writer, wanted)).toBeUndefined()
    await heard.until((event) => event.id.toHex() === wanted.id.toHex())
    expect(heard.items.map(({ content }) => content)).toEqual(["wanted"])
    expect(heard.items[0]?.verify()).toBe(true)
    // Nor did the relay send what the library then left out.
    expect(said.items.filter((text) => text.startsWith('["EVENT","live"'))).toHaveLength(1)

    const ahead = sign(alice, 1, "from the future", [], Timestamp.fromSecs(Timestamp.now().asSecs() + 3600))
    expect(await publish(writer, ahead)).toMatch(/^invalid: created_at is \d+ seconds ahead/)
    expect(await fetchIds(reader, new Filter().ids([ahead.id]))).toEqual([])
  })

  it("counts (NIP-45)", async () => {
    const keys = Keys.generate()
    const client = await clientOf(keys)
    for (const topic of ["odd", "even", "odd"])
      expect(await publish(client, sign(keys, 1, crypto.randomUUID(), [["t", topic]]))).toBeUndefined()
    const count = async (filter: Filter): Promise<bigint> =>
      (await client.relay(relay.url)).countEvents(filter, patience())
    expect(await count(new Filter().author(keys.publicKey))).toBe(3n)
    expect(await count(new Filter().author(keys.publicKey).hashtag("odd"))).toBe(2n)
    expect(await count(new Filter().author(keys.publicKey).hashtag("none"))).toBe(0n)
  })

  it("deletes its own events and nobody else's (NIP-09)", async () => {
    const [alice, eve] = [Keys.generate(), Keys.generate()]
    const [client, other] = [await clientOf(alice), await clientOf(eve)]
    const note = sign(alice, 1, "regretted")
    const byId = (): Filter => new Filter().ids([note.id])
    const deletion = (keys: Keys): Event =>
      EventBuilder.delete(Object.assign(new EventDeletionRequest(), { ids: [note.id] })).signWithKeys(keys)
    expect(await publish(client, note)).toBeUndefined()
    expect(await publish(other, deletion(eve))).toBeUndefined()
    expect(await fetchIds(other, byId())).toEqual([note.id.toHex()])

    const request = deletion(alice)
    expect(await publish(client, request)).toBeUndefined()
    expect(await fetchIds(other, byId())).toEqual([])
    expect(await fetchIds(other, new Filter().event(note.id).kind(new Kind(5)).author(alice.publicKey))).toEqual([
      request.id.toHex(),
    ])
    // Another connection, as the library itself remembers what it deleted.
    expect(await publish(other, note)).toMatch(/^blocked: /)
    expect(await fetchIds(other, byId())).toEqual([])
  })

  it("authenticates when it is asked to, and reads gift wraps and kind 4 that only their parties get (NIP-42)", async () => {
    const [alice, bob, eve] = [Keys.generate(), Keys.generate(), Keys.generate()]
    const [from, to, other] = [await clientOf(alice), await clientOf(bob), await clientOf(eve)]
    const { id, failed } = await from.sendPrivateMsg(bob.publicKey, "for your eyes only")
    expect(failed).toEqual([])
    const wrapId = id.toHex()
    const dm = sign(alice, 4, await NostrSigner.keys(alice).nip04Encrypt(bob.publicKey, "old style"), [
      ["p", bob.publicKey.toHex()],
    ])
    const note = sign(alice, 1, "for all", [["p", bob.publicKey.toHex()]])
    for (const event of [dm, note]) expect(await publish(from, event)).toBeUndefined()

    const narrow = (kind: number): Filter => new Filter().kind(new Kind(kind)).pubkey(bob.publicKey)
    const wide = (): Filter => new Filter().pubkey(bob.publicKey)
    expect(await fetchIds(to, narrow(1059))).toEqual([wrapId])
    expect(await fetchIds(to, narrow(4))).toEqual([dm.id.toHex()])
    expect(await fetchIds(to, wide())).toEqual([wrapId, ...idsOf([dm, note])].toSorted())
    expect(await fetchIds(from, narrow(4))).toEqual([dm.id.toHex()])
    const [wrap] = (await to.fetchEvents(narrow(1059), patience())).toVec()
    const { rumor, sender } = await UnwrappedGift.fromGiftWrap(NostrSigner.keys(bob), wrap as Event)
    expect(sender.toHex()).toBe(alice.publicKey.toHex())
    expect(rumor.content).toBe("for your eyes only")

    const said = hear(other)
    expect(await fetchIds(other, narrow(4))).toEqual([])
    expect(await fetchIds(other, narrow(1059))).toEqual([])
    // Eve authenticates too: what is refused is her key, not the lack of one.
    await said.until((text) => /^\["CLOSED".*restricted: none of your keys is a party/.test(text))
    expect(await fetchIds(other, wide())).toEqual(idsOf([note]))
    // Without a signer, and told not to try: its failure to answer the challenge would end a fetch that is under way.
    const nobody = await connected(new ClientBuilder().opts(new ClientOptions().automaticAuthentication(false)).build())
    expect(await fetchIds(nobody, wide())).toEqual(idsOf([note]))
  })

  it("reconciles in both directions until both sides hold the same (NIP-77)", async () => {
    const [alice, bob] = [Keys.generate(), Keys.generate()]
    const notes = (n: number): Event[] =>
      Array.from({ length: n }, (_, at) =>
        sign(alice, 1, crypto.randomUUID(), [], Timestamp.fromSecs(1_700_000_000 + at)),
      )
    const [theirs, shared, ours] = [notes(40), notes(60), notes(30)]
    const elsewhere = await clientOf(alice)
    for (const event of [...theirs, ...shared]) expect(await publish(elsewhere, event)).toBeUndefined()
    const message = sign(bob, 4, "x?iv=y", [["p", bob.publicKey.toHex()]])
    expect(await publish(elsewhere, message)).toBeUndefined()

    const store = await NostrDatabase.indexeddb("reconciled")
    for (const event of [...ours, ...shared]) await store.save_event(event)
    const client = await connected(
      new ClientBuilder().signer(NostrSigner.keys(Keys.generate())).database(store).build(),
    )
    const filter = (): Filter => new Filter().author(alice.publicKey)
    const sync = async (direction: SyncDirection, of = filter()) =>
      (await client.sync(of, new SyncOptions().direction(direction))).report
    const held = async (): Promise<string[]> => idsOf((await store.query(filter())).toVec())
    const served = (): Promise<string[]> => fetchIds(elsewhere, filter())

    const down = await sync(SyncDirection.Down)
    expect(down.received.map((id) => id.toHex()).toSorted()).toEqual(idsOf(theirs))
    expect(down.sent).toEqual([])
    expect(await held()).toEqual(idsOf([...theirs, ...shared, ...ours]))
    expect(await served()).toEqual(idsOf([...theirs, ...shared]))

    const up = await sync(SyncDirection.Up)
    expect(up.sent.map((id) => id.toHex()).toSorted()).toEqual(idsOf(ours))
    expect(up.received).toEqual([])
    expect(await served()).toEqual(await held())

    const more = notes(3)
    const [mine, yours] = [more.slice(0, 1), more.slice(1)]
    for (const event of mine) await store.save_event(event)
    for (const event of yours) expect(await publish(elsewhere, event)).toBeUndefined()
    const both = await sync(SyncDirection.Both)
    expect([both.sent.length, both.received.length]).toEqual([1, 2])
    expect(await served()).toEqual(await held())
    expect(await held()).toHaveLength(133)

    const again = await sync(SyncDirection.Both)
    expect([again.local, again.remote, again.sent, again.received]).toEqual([[], [], [], []])
    // Not a party to it: it is no difference.
    const stranger = await sync(SyncDirection.Both, new Filter().author(bob.publicKey))
    expect([stranger.local, stranger.remote]).toEqual([[], []])
  })
})
