/**
 * NDK (@nostr-dev-kit/ndk 2.14.38) as a client of the relay. What it cannot do:
 *
 * - Ask again after CLOSED `auth-required`: it tells of it, and `fetchEvents` waits for ever. So what is private is asked
 *   for after the authentication, which it begins on connecting.
 * - Negentropy (NIP-77): not in this package.
 */
import NDK, {
  type NDKFilter,
  NDKEvent,
  NDKPrivateKeySigner,
  NDKPublishError,
  type NDKRelay,
  NDKRelayAuthPolicies,
  NDKRelaySet,
  NDKSubscriptionCacheUsage,
  giftUnwrap,
  giftWrap,
} from "@nostr-dev-kit/ndk"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { type Inbox, inbox, type ServedRelay, serveRelay } from "./served-relay.ts"

// Processes on a busy machine; nothing here waits a fixed time.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

interface Client {
  readonly ndk: NDK
  readonly relay: NDKRelay
  readonly pubkey: string
  /** What the relay says, as it says it. */
  readonly said: Inbox<readonly unknown[]>
}

let served: ServedRelay
const opened: Client[] = []

const connect = async (): Promise<Client> => {
  const signer = NDKPrivateKeySigner.generate()
  const said = inbox<readonly unknown[]>()
  const ndk = new NDK({
    explicitRelayUrls: [served.url],
    enableOutboxModel: false,
    signer,
    netDebug: (text, _relay, direction) => {
      if (direction === "recv") said.put(JSON.parse(text) as unknown[])
    },
  })
  ndk.relayAuthDefaultPolicy = NDKRelayAuthPolicies.signIn({ ndk, signer })
  await ndk.connect(20_000)
  const [relay] = ndk.pool.relays.values()
  const client: Client = { ndk, relay: relay as NDKRelay, pubkey: signer.pubkey, said }
  opened.push(client)
  return client
}

/** The OK of its authentication is the first that the relay says. */
const authenticated = async (): Promise<Client> => {
  const client = await connect()
  expect((await client.said.until(([name]) => name === "OK"))[2]).toBe(true)
  return client
}

const sign = async ({ ndk }: Client, kind: number, content: string, tags: string[][] = []): Promise<NDKEvent> => {
  const event = new NDKEvent(ndk, { kind, content, tags, created_at: Math.floor(Date.now() / 1000), pubkey: "" })
  await event.sign()
  return event
}

/** What the relay answered, as the library tells it: nothing for OK true, the reason for OK false. */
const publish = async ({ ndk, relay }: Client, event: NDKEvent): Promise<string | undefined> => {
  try {
    const reached = await event.publish(new NDKRelaySet(new Set([relay]), ndk), 20_000)
    expect(reached.size).toBe(1)
    return undefined
  } catch (error) {
    if (!(error instanceof NDKPublishError)) throw error
    return [...error.errors.values()].map(({ message }) => message).join()
  }
}

const fetchIds = async ({ ndk, relay }: Client, filter: NDKFilter): Promise<string[]> => {
  const options = { cacheUsage: NDKSubscriptionCacheUsage.ONLY_RELAY, groupable: false }
  const events = await ndk.fetchEvents(filter, options, new NDKRelaySet(new Set([relay]), ndk))
  return [...events].map(({ id }) => id).toSorted()
}

/** The text of CLOSED. */
const refused = ({ ndk }: Client, filter: NDKFilter): Promise<string> =>
  new Promise((resolve) => {
    ndk.subscribe(filter, { groupable: false }).once("closed", (_relay, reason) => resolve(reason))
  })

beforeAll(async () => {
  served = await serveRelay()
})
afterAll(async () => {
  for (const { relay } of opened) relay.disconnect()
  await served.stop()
})

describe("NDK", () => {
  it("publishes, is told of refusals, and hears live what its tag filter asks for alone", async () => {
    const [writer, other, reader] = [await connect(), await connect(), await connect()]
    const heard = inbox<NDKEvent>()
    const eose = inbox<true>()
    reader.ndk.subscribe(
      { kinds: [1], "#t": ["council"], "#p": [reader.pubkey], authors: [writer.pubkey] },
      { subId: "live", groupable: false, closeOnEose: false },
      { onEvent: heard.put, onEose: () => eose.put(true) },
    )
    await eose.until(() => true)

    const tags = [
      ["p", reader.pubkey],
      ["t", "council"],
    ]
    for (const others of [[tags[0]], [tags[1]], [tags[0], ["t", "other"]]] as string[][][])
      expect(await publish(writer, await sign(writer, 1, "not meant", others))).toBeUndefined()
    expect(await publish(other, await sign(other, 1, "not hers", tags))).toBeUndefined()
    const wanted = await sign(writer, 1, "wanted", tags)
    expect(await publish(writer, wanted)).toBeUndefined()
    await heard.until(({ id }) => id === wanted.id)
    expect(heard.items.map(({ content }) => content)).toEqual(["wanted"])
    expect(reader.said.items.filter(([name]) => name === "EVENT")).toHaveLength(1)

    const ahead = await sign(writer, 1, "from the future")
    ahead.created_at = Math.floor(Date.now() / 1000) + 3600
    await ahead.sign()
    expect(await publish(writer, ahead)).toMatch(/^invalid: created_at is \d+ seconds ahead/)
    expect(await fetchIds(reader, { ids: [ahead.id] })).toEqual([])
  })

  it("counts (NIP-45)", async () => {
    const client = await connect()
    for (const topic of ["odd", "even", "odd"])
      expect(await publish(client, await sign(client, 1, crypto.randomUUID(), [["t", topic]]))).toBeUndefined()
    const count = (filter: NDKFilter): Promise<number> => client.relay.connectivity.count([filter], {})
    expect(await count({ authors: [client.pubkey] })).toBe(3)
    expect(await count({ authors: [client.pubkey], "#t": ["odd"] })).toBe(2)
    expect(await count({ authors: [client.pubkey], "#t": ["none"] })).toBe(0)
  })

  it("deletes its own events and nobody else's (NIP-09)", async () => {
    const [client, other] = [await connect(), await connect()]
    const note = await sign(client, 1, "regretted")
    expect(await publish(client, note)).toBeUndefined()
    const theirs = await sign(other, 5, "", [["e", note.id]])
    expect(await publish(other, theirs)).toBeUndefined()
    expect(await fetchIds(other, { ids: [note.id] })).toEqual([note.id])

    const request = await note.delete("", false)
    await request.sign()
    expect(await publish(client, request)).toBeUndefined()
    expect(await fetchIds(other, { ids: [note.id] })).toEqual([])
    expect(await fetchIds(other, { kinds: [5], "#e": [note.id], authors: [client.pubkey] })).toEqual([request.id])
    expect(await publish(other, new NDKEvent(other.ndk, note.rawEvent()))).toMatch(/^blocked: /)
    expect(await fetchIds(other, { ids: [note.id] })).toEqual([])
  })

  it("authenticates, and reads gift wraps and kind 4 that only their parties get (NIP-42)", async () => {
    const [alice, bob, eve] = [await authenticated(), await authenticated(), await authenticated()]
    const recipient = alice.ndk.getUser({ pubkey: bob.pubkey })
    const rumor = await sign(alice, 14, "for your eyes only", [["p", bob.pubkey]])
    const wrap = await giftWrap(rumor, recipient, alice.ndk.signer)
    expect(await publish(alice, wrap)).toBeUndefined()
    const dm = new NDKEvent(alice.ndk, { kind: 4, content: "old style", tags: [["p", bob.pubkey]] })
    await dm.encrypt(recipient, alice.ndk.signer, "nip04")
    await dm.sign()
    expect(await publish(alice, dm)).toBeUndefined()
    const note = await sign(alice, 1, "for all", [["p", bob.pubkey]])
    expect(await publish(alice, note)).toBeUndefined()

    const narrow = (kind: number): NDKFilter => ({ kinds: [kind], "#p": [bob.pubkey] })
    const wide: NDKFilter = { "#p": [bob.pubkey] }
    expect(await fetchIds(bob, narrow(1059))).toEqual([wrap.id])
    expect(await fetchIds(bob, narrow(4))).toEqual([dm.id])
    expect(await fetchIds(bob, wide)).toEqual([wrap.id, dm.id, note.id].toSorted())
    expect(await fetchIds(alice, narrow(4))).toEqual([dm.id])
    const [, , raw] = await bob.said.until(([name, , event]) => name === "EVENT" && (event as NDKEvent).id === wrap.id)
    const opened = await giftUnwrap(new NDKEvent(bob.ndk, raw as NDKEvent), undefined, bob.ndk.signer)
    expect([opened.pubkey, opened.content]).toEqual([alice.pubkey, "for your eyes only"])

    expect(await fetchIds(eve, wide)).toEqual([note.id])
    // She may have written a kind 4 to Bob herself, so that filter is answered: with nothing.
    expect(await fetchIds(eve, narrow(4))).toEqual([])
    for (const filter of [narrow(1059), { ...narrow(4), authors: [alice.pubkey] }])
      expect(await refused(eve, filter)).toMatch(/^restricted: none of your keys is a party/)
  })
})
