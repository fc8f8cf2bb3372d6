/**
 * rx-nostr (with @rx-nostr/crypto) as a client of the relay. What it cannot do:
 *
 * - Count (NIP-45): it reads a COUNT and has no way to send one.
 * - Encrypt: gift wraps and kind 4 are made here with nostr-tools, sent and read by rx-nostr.
 * - Negentropy (NIP-77): not in the library.
 */
import { seckeySigner, verifier } from "@rx-nostr/crypto"
import { nip04, nip59 } from "nostr-tools"
import { generateSecretKey, getPublicKey, type NostrEvent } from "nostr-tools/pure"
import { bytesToHex } from "nostr-tools/utils"
import {
  createRxForwardReq,
  createRxNostr,
  createRxOneshotReq,
  type LazyFilter,
  type MessagePacket,
  type RxNostr,
} from "rx-nostr"
import { lastValueFrom, toArray } from "rxjs"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { type Inbox, inbox, type ServedRelay, serveRelay } from "./served-relay.ts"

// Processes on a busy machine; nothing here waits a fixed time.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

interface Client {
  readonly rx: RxNostr
  readonly key: Uint8Array
  readonly pubkey: string
  /** What the relay says. */
  readonly said: Inbox<MessagePacket>
}

let served: ServedRelay
const opened: RxNostr[] = []

const connect = (): Client => {
  const key = generateSecretKey()
  const signer = seckeySigner(bytesToHex(key))
  const rx = createRxNostr({
    signer,
    verifier,
    authenticator: { signer },
    connectionStrategy: "lazy-keep",
    // So that what the relay should not have sent is seen.
    skipValidateFilterMatching: true,
    okTimeout: 20_000,
    eoseTimeout: 20_000,
  })
  rx.setDefaultRelays([served.url])
  opened.push(rx)
  const said = inbox<MessagePacket>()
  rx.createAllMessageObservable().subscribe(said.put)
  return { rx, key, pubkey: getPublicKey(key), said }
}

const now = (): number => Math.floor(Date.now() / 1000)

const sign = (key: Uint8Array, kind: number, content: string, tags: string[][] = [], created_at = now()) =>
  seckeySigner(bytesToHex(key)).signEvent({ kind, content, tags, created_at })

/** The relay's last word about it: after an authentication it is sent again. */
const publish = async ({ rx }: Client, event: NostrEvent): Promise<{ ok: boolean; notice: string | undefined }> => {
  const { ok, notice } = await lastValueFrom(rx.send(event))
  return { ok, notice }
}
const taken = { ok: true, notice: "" }

const fetch = async ({ rx }: Client, filter: LazyFilter): Promise<NostrEvent[]> => {
  const packets = await lastValueFrom(rx.use(createRxOneshotReq({ filters: filter })).pipe(toArray()))
  return packets.map(({ event }) => event)
}
const fetchIds = async (client: Client, filter: LazyFilter): Promise<string[]> =>
  (await fetch(client, filter)).map(({ id }) => id).toSorted()

beforeAll(async () => {
  served = await serveRelay()
})
afterAll(async () => {
  for (const rx of opened) rx.dispose()
  await served.stop()
})

describe("rx-nostr", () => {
  it("publishes, is told of refusals, and hears live what its tag filter asks for alone", async () => {
    const [writer, other, reader] = [connect(), connect(), connect()]
    const heard = inbox<NostrEvent>()
    const live = createRxForwardReq("live")
    reader.rx.use(live).subscribe(({ event }) => heard.put(event))
    live.emit({ kinds: [1], "#t": ["council"], "#p": [reader.pubkey], authors: [writer.pubkey] })
    const eose = await reader.said.until(isEose)

    const tags = [
      ["p", reader.pubkey],
      ["t", "council"],
    ]
    for (const others of [[tags[0]], [tags[1]], [tags[0], ["t", "other"]]] as string[][][])
      expect(await publish(writer, await sign(writer.key, 1, "not meant", others))).toEqual(taken)
    expect(await publish(other, await sign(other.key, 1, "not hers", tags))).toEqual(taken)
    const wanted = await sign(writer.key, 1, "wanted", tags)
    expect(await publish(writer, wanted)).toEqual(taken)
    await heard.until(({ id }) => id === wanted.id)
    expect(heard.items).toEqual([wanted])

    // A new filter on the same subscription takes the place of the old one.
    live.emit({ kinds: [1], "#t": ["next"], limit: 0 })
    await reader.said.until((packet) => isEose(packet) && packet !== eose)
    expect(await publish(writer, await sign(writer.key, 1, "no longer wanted", tags))).toEqual(taken)
    const next = await sign(writer.key, 1, "next", [["t", "next"]])
    expect(await publish(writer, next)).toEqual(taken)
    await heard.until(({ id }) => id === next.id)
    expect(heard.items).toEqual([wanted, next])

    const ahead = await sign(writer.key, 1, "from the future", [], now() + 3600)
    expect(await publish(writer, ahead)).toEqual({
      ok: false,
      notice: expect.stringMatching(/^invalid: created_at is \d+ seconds ahead/),
    })
    expect(await fetch(reader, { ids: [ahead.id] })).toEqual([])
  })

  it("deletes its own events and nobody else's (NIP-09)", async () => {
    const [client, other] = [connect(), connect()]
    const note = await sign(client.key, 1, "regretted")
    const deletion = (key: Uint8Array) => sign(key, 5, "", [["e", note.id]])
    expect(await publish(client, note)).toEqual(taken)
    expect(await publish(other, await deletion(other.key))).toEqual(taken)
    expect(await fetch(other, { ids: [note.id] })).toEqual([note])

    const request = await deletion(client.key)
    expect(await publish(client, request)).toEqual(taken)
    expect(await fetch(other, { ids: [note.id] })).toEqual([])
    expect(await fetch(other, { kinds: [5], "#e": [note.id], authors: [client.pubkey] })).toEqual([request])
    expect(await publish(other, note)).toEqual({ ok: false, notice: expect.stringMatching(/^blocked: /) })
    expect(await fetch(other, { ids: [note.id] })).toEqual([])
  })

  it("authenticates, and reads gift wraps and kind 4 that only their parties get (NIP-42)", async () => {
    const [alice, bob, eve] = [connect(), connect(), connect()]
    const rumor = { kind: 14, content: "for your eyes only", tags: [["p", bob.pubkey]] }
    const wrap = nip59.wrapEvent(rumor, alice.key, bob.pubkey)
    const dm = await sign(alice.key, 4, nip04.encrypt(alice.key, bob.pubkey, "old style"), [["p", bob.pubkey]])
    const note = await sign(alice.key, 1, "for all", [["p", bob.pubkey]])
    for (const event of [wrap, dm, note]) expect(await publish(alice, event)).toEqual(taken)

    // Bob's first word is a request for what is private; his authentication goes beside it.
    expect(await fetchIds(bob, { kinds: [1059], "#p": [bob.pubkey] })).toEqual([wrap.id])
    expect(await fetchIds(bob, { kinds: [4], "#p": [bob.pubkey] })).toEqual([dm.id])
    expect(await fetchIds(bob, { "#p": [bob.pubkey] })).toEqual([wrap.id, dm.id, note.id].toSorted())
    expect(await fetchIds(alice, { kinds: [4], authors: [alice.pubkey] })).toEqual([dm.id])
    const [read] = await fetch(bob, { kinds: [1059] })
    expect(nip59.unwrapEvent(read as NostrEvent, bob.key)).toMatchObject({
      pubkey: alice.pubkey,
      content: "for your eyes only",
    })

    const listen = ({ rx }: Client): Inbox<NostrEvent> => {
      const heard = inbox<NostrEvent>()
      const request = createRxForwardReq()
      rx.use(request).subscribe(({ event }) => heard.put(event))
      request.emit({ "#p": [bob.pubkey] })
      return heard
    }
    const [his, hers] = [listen(bob), listen(eve)]
    for (const heard of [his, hers]) await heard.until(({ id }) => id === note.id)
    expect(await fetch(eve, { kinds: [4], "#p": [bob.pubkey] })).toEqual([])
    expect(await fetch(eve, { kinds: [1059], "#p": [bob.pubkey] })).toEqual([])
    const refusal = /^restricted: none of your keys is a party/
    await eve.said.until((packet) => packet.type === "CLOSED" && refusal.test(packet.notice))
    const secret = nip59.wrapEvent(rumor, alice.key, bob.pubkey)
    const after = await sign(alice.key, 1, "after", [["p", bob.pubkey]])
    for (const event of [secret, after]) expect(await publish(alice, event)).toEqual(taken)
    for (const heard of [his, hers]) await heard.until(({ id }) => id === after.id)
    expect(his.items.map(({ id }) => id)).toContain(secret.id)
    expect(hers.items).toEqual([note, after])
  })

  it("authenticates where the relay asks it to before a protected event (NIP-70)", async () => {
    const [alice, eve] = [connect(), connect()]
    const event = await sign(alice.key, 1, "mine to publish", [["-"]])
    expect(await publish(eve, event)).toEqual({
      ok: false,
      notice: "restricted: this event may only be published by its author",
    })
    expect(await publish(alice, event)).toEqual(taken)
    expect(await fetch(eve, { ids: [event.id] })).toEqual([event])
  })
})

const isEose = ({ type }: MessagePacket): boolean => type === "EOSE"
