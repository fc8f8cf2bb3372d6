/**
 * The runtime's database, as numbered migrations. Never edit one that was released: add the next.
 *
 * Who writes what is in the architecture page; all of it is written in the engine's group transaction.
 */
export const migrations: readonly string[] = [
  /* 1: journal in, outbox out */ `
  -- Actors by number, so that what belongs together lies together: rows of recent actors share their pages, and a group
  -- of commands writes a few pages instead of one for each row.
  CREATE TABLE actor (
    key  INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
  ) STRICT;

  -- Every input that an actor took, in the order in which it took effect. \`position\` orders the whole home.
  CREATE TABLE journal (
    position INTEGER PRIMARY KEY,
    actor    INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    machine  TEXT NOT NULL,
    version  INTEGER NOT NULL,
    cause    TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    event    TEXT NOT NULL,
    state    TEXT NOT NULL,
    refused  INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE UNIQUE INDEX journal_seq ON journal (actor, seq);
  CREATE UNIQUE INDEX journal_cause ON journal (actor, cause);

  -- Where each actor stands: within one machine version a cache of the fold over its journal, across versions the truth.
  CREATE TABLE snapshot (
    actor   INTEGER PRIMARY KEY,
    machine TEXT NOT NULL,
    version INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    state   TEXT NOT NULL,
    context TEXT NOT NULL,
    done    INTEGER NOT NULL,
    fault   TEXT
  ) STRICT;
  CREATE INDEX snapshot_open ON snapshot (actor) WHERE done = 0;

  -- Effects on the world that are still owed, or were; named actor/sequence/index. \`owner\` is the wizard that owes it.
  CREATE TABLE outbox (
    actor    INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    idx      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    owner    TEXT NOT NULL,
    payload  TEXT NOT NULL,
    event_id TEXT,
    state    TEXT NOT NULL DEFAULT 'pending',
    error    TEXT,
    PRIMARY KEY (actor, seq, idx)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX outbox_pending ON outbox (kind, owner, position, idx) WHERE state = 'pending';
  CREATE INDEX outbox_dead ON outbox (position) WHERE state = 'dead';

  -- Signatures of outgoing events, apart from the wide rows that they sign, so that signing writes few pages.
  CREATE TABLE signature (
    actor INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    idx   INTEGER NOT NULL,
    sig   TEXT NOT NULL,
    PRIMARY KEY (actor, seq, idx)
  ) STRICT, WITHOUT ROWID;

  -- One outgoing event at one relay: written when it was answered.
  CREATE TABLE delivery (
    actor INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    idx   INTEGER NOT NULL,
    relay TEXT NOT NULL,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL,
    error TEXT,
    PRIMARY KEY (actor, seq, idx, relay)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE timer (
    actor  INTEGER NOT NULL,
    name   TEXT NOT NULL,
    due_ms INTEGER NOT NULL,
    effect TEXT NOT NULL,
    PRIMARY KEY (actor, name)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX timer_due ON timer (due_ms);

  -- What a person asks about, and what the queue is ordered by.
  CREATE TABLE command (
    actor       INTEGER PRIMARY KEY,
    id          TEXT NOT NULL,
    wizard      TEXT NOT NULL,
    author      TEXT NOT NULL,
    trace       TEXT NOT NULL,
    parent      TEXT,
    form        TEXT NOT NULL,
    work        TEXT NOT NULL,
    executor    TEXT NOT NULL,
    body        TEXT NOT NULL,
    priority    INTEGER NOT NULL,
    deadline_ms INTEGER,
    created_at  INTEGER NOT NULL,
    arrived     INTEGER NOT NULL,
    arrived_ms  INTEGER NOT NULL,
    state       TEXT NOT NULL,
    ended       INTEGER NOT NULL DEFAULT 0,
    since_ms    INTEGER NOT NULL,
    reason      TEXT,
    result      TEXT,
    receipts    INTEGER NOT NULL DEFAULT 0,
    tip         TEXT
  ) STRICT;
  CREATE INDEX command_queue ON command (wizard, work, priority DESC, ifnull(deadline_ms, 9007199254740991), arrived)
    WHERE state = 'acknowledged';
  CREATE INDEX command_open ON command (wizard, arrived) WHERE ended = 0;
  CREATE INDEX command_child ON command (trace) WHERE trace <> id;

  CREATE TABLE attempt (
    actor    INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    wizard   TEXT NOT NULL,
    work     TEXT NOT NULL,
    executor TEXT NOT NULL,
    begun_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    outcome  TEXT,
    PRIMARY KEY (actor, attempt)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX attempt_open ON attempt (wizard, work) WHERE ended_ms IS NULL;

  -- Up to when (local receive time) everything of a subscription is committed; and the floor of a first reading.
  CREATE TABLE cursor (
    identity     TEXT NOT NULL,
    relay        TEXT NOT NULL,
    subscription TEXT NOT NULL,
    at_ms        INTEGER NOT NULL,
    PRIMARY KEY (identity, relay, subscription)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE floor (
    identity TEXT NOT NULL,
    relay    TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (identity, relay)
  ) STRICT, WITHOUT ROWID;

  -- Ids that a wizard judged for good and that left nothing else behind.
  CREATE TABLE seen (
    id     TEXT NOT NULL,
    wizard TEXT NOT NULL,
    at_ms  INTEGER NOT NULL,
    PRIMARY KEY (id, wizard)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX seen_age ON seen (at_ms);

  CREATE TABLE dead_letter (
    position INTEGER PRIMARY KEY,
    at_ms    INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    cause    TEXT NOT NULL,
    input    TEXT NOT NULL,
    error    TEXT NOT NULL
  ) STRICT;
  CREATE INDEX dead_letter_cause ON dead_letter (actor, cause);

  CREATE TABLE setting (
    scope TEXT NOT NULL,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (scope, key)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE roster (
    id       TEXT PRIMARY KEY,
    version  INTEGER NOT NULL,
    event    TEXT NOT NULL,
    at_ms    INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- Our own receipts as relays gave them back, where the journal did not know them.
  CREATE TABLE own_receipt (
    id      TEXT PRIMARY KEY,
    command TEXT NOT NULL,
    wizard  TEXT NOT NULL,
    n       INTEGER NOT NULL,
    status  TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX own_receipt_command ON own_receipt (command, wizard, n);

  CREATE TABLE restart (
    position INTEGER PRIMARY KEY,
    at_ms    INTEGER NOT NULL,
    path     TEXT NOT NULL,
    reason   TEXT NOT NULL
  ) STRICT;
  `,
  /* 2: what is owed in the order in which it was */ `
  -- Rows of an outbox by actor lay between those that were there, so a group of steps wrote most of the pages of the
  -- groups before it once more. By place (position * 1024 + index within the step) they only ever come at the end.
  ALTER TABLE outbox RENAME TO outbox_1;
  ALTER TABLE signature RENAME TO signature_1;
  ALTER TABLE delivery RENAME TO delivery_1;
  DROP INDEX outbox_pending;
  DROP INDEX outbox_dead;

  CREATE TABLE outbox (
    place    INTEGER PRIMARY KEY,
    actor    INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    owner    TEXT NOT NULL,
    payload  TEXT NOT NULL,
    event_id TEXT,
    state    TEXT NOT NULL DEFAULT 'pending',
    error    TEXT,
    -- 1 where no journal row has its position: what a faulted actor owes. Else the journal leads from actor to place.
    apart    INTEGER
  ) STRICT;
  CREATE INDEX outbox_apart ON outbox (actor) WHERE apart = 1;
  CREATE INDEX outbox_pending ON outbox (kind, owner) WHERE state = 'pending';
  CREATE INDEX outbox_dead ON outbox (state) WHERE state = 'dead';

  CREATE TABLE signature (
    place INTEGER PRIMARY KEY,
    sig   TEXT NOT NULL
  ) STRICT;

  CREATE TABLE delivery (
    place INTEGER NOT NULL,
    relay TEXT NOT NULL,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL,
    error TEXT,
    PRIMARY KEY (place, relay)
  ) STRICT, WITHOUT ROWID;

  -- A faulted actor's effects had the position of whatever was stepped last; they get one of their own, after all others.
  CREATE TEMP TABLE moved AS
    SELECT o.actor, o.seq, o.idx, NULL AS apart, o.position * 1024 + o.idx AS place
      FROM outbox_1 o JOIN journal j ON j.actor = o.actor AND j.seq = o.seq
    UNION ALL
    SELECT o.actor, o.seq, o.idx, 1,
        ((SELECT max(position) FROM journal) + dense_rank() OVER (ORDER BY o.position, o.actor)) * 1024 + o.idx
      FROM outbox_1 o WHERE NOT EXISTS (SELECT 1 FROM journal j WHERE j.actor = o.actor AND j.seq = o.seq);
  CREATE UNIQUE INDEX temp.moved_from ON moved (actor, seq, idx);

  INSERT INTO outbox (place, actor, seq, kind, owner, payload, event_id, state, error, apart)
    SELECT m.place, o.actor, o.seq, o.kind, o.owner, o.payload, o.event_id, o.state, o.error, m.apart
      FROM outbox_1 o JOIN moved m USING (actor, seq, idx) ORDER BY m.place;
  INSERT INTO signature (place, sig)
    SELECT m.place, s.sig FROM signature_1 s JOIN moved m USING (actor, seq, idx) ORDER BY m.place;
  INSERT INTO delivery (place, relay, state, tries, error)
    SELECT m.place, d.relay, d.state, d.tries, d.error FROM delivery_1 d JOIN moved m USING (actor, seq, idx);
  DROP TABLE temp.moved;
  DROP TABLE outbox_1;
  DROP TABLE signature_1;
  DROP TABLE delivery_1;
  `,
  /* 3: what a relay refused, found without looking through what relays took */ `
  CREATE INDEX delivery_refused ON delivery (place) WHERE state = 'refused';
  `,
  /* 4: where a command was seen, and what we hold of a span of time */ `
  -- The relay that brought it first, and which of a wizard's questions (lanes, as bits) it answers.
  ALTER TABLE command ADD COLUMN relay TEXT;
  ALTER TABLE command ADD COLUMN lanes INTEGER NOT NULL DEFAULT 0;
  CREATE INDEX command_dated ON command (wizard, created_at);
  -- Unix seconds. What was judged before this migration is of no span, and is asked for once more.
  ALTER TABLE seen ADD COLUMN created_at INTEGER NOT NULL DEFAULT -1;
  ALTER TABLE seen ADD COLUMN lanes INTEGER NOT NULL DEFAULT 0;
  CREATE INDEX seen_dated ON seen (wizard, created_at);
  -- The other relays that have brought a command, and when.
  CREATE TABLE seen_on (
    actor INTEGER NOT NULL,
    relay TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (actor, relay)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX seen_on_age ON seen_on (at_ms);
  `,
]
