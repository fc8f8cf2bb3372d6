"""rust-nostr's Python bindings (nostr-sdk on PyPI) as a client of the relay.

Called by python.test.ts as `python-client.py URL SCENARIO`: plays one scenario against the relay at URL. An assertion
that does not hold ends it with a traceback. It can do all that is asked of a client here.
"""

import asyncio
import json
import re
import sys
import tempfile
import uuid
from datetime import timedelta

from nostr_sdk import (
    Client,
    ClientBuilder,
    ClientMessage,
    EventBuilder,
    Filter,
    Keys,
    Kind,
    NostrLmdb,
    RelayUrl,
    ReqTarget,
    SignerAuthenticator,
    SyncDirection,
    SyncOptions,
    Tag,
    Timestamp,
    UnwrappedGift,
    nip17_make_private_msg,
    uniffi_set_event_loop,
)

URL = RelayUrl.parse(sys.argv[1])
PATIENCE = timedelta(seconds=20)
opened = []


async def connected(builder: ClientBuilder) -> Client:
    client = builder.build()
    opened.append(client)
    await client.add_relay(URL)
    await client.connect(PATIENCE)
    return client


def connect(keys: Keys):
    return connected(ClientBuilder().authenticator(SignerAuthenticator(keys)))


def sign(keys, kind, content, tags=(), at=None):
    builder = EventBuilder(Kind(kind), content).tags([Tag.parse(list(tag)) for tag in tags])
    return (builder if at is None else builder.custom_created_at(Timestamp.from_secs(at))).finalize(keys)


async def publish(client, event):
    """None for OK true; the relay's reason for OK false."""
    output = await client.send_event(event)
    return output.failed.get(URL) if URL not in output.success else None


async def fetch(client, query):
    return await client.fetch_events(ReqTarget.auto([query]), PATIENCE)


def ids(events):
    return sorted(event.id().to_hex() for event in events)


async def fetch_ids(client, query):
    return ids(await fetch(client, query))


async def until(said, fits):
    """What the relay says, up to the first message that fits."""
    messages = []
    while True:
        notification = await said.next()
        if notification.is_message():
            messages.append(json.loads(notification.message.as_json()))
            if fits(messages[-1]):
                return messages


async def live():
    alice, bob = Keys.generate(), Keys.generate()
    writer, reader = await connect(alice), await connect(bob)
    said = reader.notifications()
    query = Filter().kind(Kind(1)).hashtags(["council"]).pubkey(bob.public_key()).author(alice.public_key())
    await reader.subscribe(ReqTarget.auto([query]), "live")
    await until(said, lambda message: message[:2] == ["EOSE", "live"])

    tags = [["p", bob.public_key().to_hex()], ["t", "council"]]
    for others in [tags[:1], tags[1:], [tags[0], ["t", "other"]]]:
        assert await publish(writer, sign(alice, 1, "not meant", others)) is None
    assert await publish(writer, sign(Keys.generate(), 1, "not hers", tags)) is None
    wanted = sign(alice, 1, "wanted", tags)
    assert await publish(writer, wanted) is None
    wanted_id = wanted.id().to_hex()
    heard = await until(said, lambda message: message[0] == "EVENT" and message[2]["id"] == wanted_id)
    assert [message[2]["content"] for message in heard if message[0] == "EVENT"] == ["wanted"], heard

    ahead = sign(alice, 1, "from the future", at=Timestamp.now().as_secs() + 3600)
    assert re.match(r"invalid: created_at is \d+ seconds ahead", await publish(writer, ahead))
    assert await fetch_ids(reader, Filter().id(ahead.id())) == []


async def count():
    keys = Keys.generate()
    client = await connect(keys)
    for topic in ["odd", "even", "odd"]:
        assert await publish(client, sign(keys, 1, str(uuid.uuid4()), [["t", topic]])) is None
    said = client.notifications()
    relay = await client.relay(URL)

    async def counted(query):
        # Not with its count_events: that begins to listen when it has sent, and now and then misses a quick answer.
        name = str(uuid.uuid4())
        await relay.send_msg(ClientMessage.count(name, query))
        return (await until(said, lambda message: message[:2] == ["COUNT", name]))[-1][2]

    mine = Filter().author(keys.public_key())
    assert await counted(mine) == {"count": 3}
    assert await counted(mine.hashtag("odd")) == {"count": 2}
    assert await counted(mine.hashtag("none")) == {"count": 0}


async def deletion():
    alice, eve = Keys.generate(), Keys.generate()
    client, other = await connect(alice), await connect(eve)
    note = sign(alice, 1, "regretted")
    by_id = Filter().id(note.id())
    tags = [["e", note.id().to_hex()]]
    assert await publish(client, note) is None
    assert await publish(other, sign(eve, 5, "", tags)) is None
    assert await fetch_ids(other, by_id) == ids([note])

    request = sign(alice, 5, "", tags)
    assert await publish(client, request) is None
    assert await fetch_ids(other, by_id) == []
    assert await fetch_ids(other, Filter().kind(Kind(5)).event(note.id()).author(alice.public_key())) == ids([request])
    again = await publish(await connect(eve), note)
    assert again.startswith("blocked: "), again
    assert await fetch_ids(other, by_id) == []


async def private():
    alice, bob, eve = Keys.generate(), Keys.generate(), Keys.generate()
    sender, recipient, other = await connect(alice), await connect(bob), await connect(eve)
    wrap = nip17_make_private_msg(alice, bob.public_key(), "for your eyes only")
    tags = [["p", bob.public_key().to_hex()]]
    dm = sign(alice, 4, alice.nip04_encrypt(bob.public_key(), "old style"), tags)
    note = sign(alice, 1, "for all", tags)
    for event in [wrap, dm, note]:
        assert await publish(sender, event) is None

    wraps = Filter().kind(Kind(1059)).pubkey(bob.public_key())
    dms = Filter().kind(Kind(4)).pubkey(bob.public_key())
    anything = Filter().pubkey(bob.public_key())
    [read] = await fetch(recipient, wraps)
    assert read.id().to_hex() == wrap.id().to_hex()
    gift = UnwrappedGift.from_gift_wrap(bob, read)
    assert gift.sender().to_hex() == alice.public_key().to_hex()
    assert gift.rumor().content() == "for your eyes only"
    assert await fetch_ids(recipient, dms) == ids([dm])
    assert await fetch_ids(recipient, anything) == ids([wrap, dm, note])
    assert await fetch_ids(sender, dms) == ids([dm])

    stranger = await connected(ClientBuilder())
    for client, reason in [(other, "restricted: none of your keys is a party"), (stranger, "auth-required: ")]:
        assert await fetch_ids(client, anything) == ids([note])
        said = client.notifications()
        assert await fetch_ids(client, dms) == []
        assert await fetch_ids(client, wraps) == []
        await until(said, lambda message: message[0] == "CLOSED" and message[2].startswith(reason))


async def reconciliation():
    alice = Keys.generate()
    elsewhere = await connect(alice)

    def notes(n):
        return [sign(alice, 1, str(uuid.uuid4()), at=1_700_000_000 + at) for at in range(n)]

    theirs, shared, ours = notes(40), notes(60), notes(30)
    for event in theirs + shared:
        assert await publish(elsewhere, event) is None
    query = Filter().author(alice.public_key())
    with tempfile.TemporaryDirectory() as folder:
        store = await NostrLmdb.open(folder)
        for event in ours + shared:
            await store.save_event(event)
        client = await connected(ClientBuilder().authenticator(SignerAuthenticator(Keys.generate())).database(store))

        async def sync(direction):
            report = (await client.sync(query, None, SyncOptions().direction(direction))).report
            return len(report.sent), len(report.received)

        async def held():
            return ids(await store.query(query))

        assert await sync(SyncDirection.DOWN) == (0, 40)
        assert await held() == ids(theirs + shared + ours)
        assert await fetch_ids(elsewhere, query) == ids(theirs + shared)
        assert await sync(SyncDirection.UP) == (30, 0)
        assert await fetch_ids(elsewhere, query) == await held()
        mine, *yours = notes(3)
        await store.save_event(mine)
        for event in yours:
            assert await publish(elsewhere, event) is None
        assert await sync(SyncDirection.BOTH) == (1, 2)
        assert await fetch_ids(elsewhere, query) == await held()
        assert len(await held()) == 133
        assert await sync(SyncDirection.BOTH) == (0, 0)


async def play(scenario):
    # The library calls its authenticator from threads of its own.
    uniffi_set_event_loop(asyncio.get_running_loop())
    try:
        await scenario()
    finally:
        # Its threads must have ended before the interpreter does.
        for client in opened:
            await client.shutdown()


scenarios = {each.__name__: each for each in [live, count, deletion, private, reconciliation]}
asyncio.run(play(scenarios[sys.argv[2]]))
