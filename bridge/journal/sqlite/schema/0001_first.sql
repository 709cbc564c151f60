-- Times are epoch milliseconds, UTC. `profile`, `destination` and `record` are the `n` of their tables.

CREATE TABLE profiles (
    n INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE records (
    n INTEGER PRIMARY KEY,           -- order of first sight
    profile INTEGER NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    wall_ms INTEGER,                 -- the device's wall clock, counted as if it were UTC
    device TEXT NOT NULL,            -- serial, else family, else ''
    reader TEXT NOT NULL,            -- who saw it first
    rank INTEGER NOT NULL,           -- of the source of the body
    revision INTEGER NOT NULL,
    hash BLOB NOT NULL,              -- content last seen under `id`
    body TEXT NOT NULL,              -- highest revision, canonical JSON
    UNIQUE (profile, id)
);
CREATE INDEX records_by_time ON records (profile, kind, time_ms);
CREATE INDEX records_by_wall ON records (profile, kind, wall_ms) WHERE wall_ms IS NOT NULL;
CREATE INDEX records_basal_line ON records (profile, device, time_ms) WHERE kind = 'basal';

CREATE TABLE revisions (             -- bodies that a newer or better one replaced
    record INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    replaced_ms INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (record, revision)
) WITHOUT ROWID;

CREATE TABLE aliases (               -- further names of a record, with the body last seen under each
    profile INTEGER NOT NULL,
    alias TEXT NOT NULL,
    record INTEGER NOT NULL,
    reader TEXT NOT NULL,
    hash BLOB NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (profile, alias)
) WITHOUT ROWID;
CREATE INDEX aliases_of_record ON aliases (record);

CREATE TABLE links (                 -- record -> id that its body names
    profile INTEGER NOT NULL,
    target TEXT NOT NULL,
    record INTEGER NOT NULL,
    PRIMARY KEY (profile, target, record)
) WITHOUT ROWID;
CREATE INDEX links_of_record ON links (record);

CREATE TABLE devices (
    profile INTEGER NOT NULL,
    device TEXT NOT NULL,
    family TEXT NOT NULL,
    serial TEXT NOT NULL,
    PRIMARY KEY (profile, device, family, serial)
) WITHOUT ROWID;

CREATE TABLE readers (
    profile INTEGER NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT '{}',
    health TEXT NOT NULL,
    health_text TEXT NOT NULL,
    last_read_ms INTEGER,
    last_record_ms INTEGER,
    next_due_ms INTEGER,
    PRIMARY KEY (profile, name)
) WITHOUT ROWID;

CREATE TABLE sightings (
    profile INTEGER NOT NULL,
    reader TEXT NOT NULL,
    key TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    source_key TEXT NOT NULL,
    seen_ms INTEGER NOT NULL,
    PRIMARY KEY (profile, reader, key)
) WITHOUT ROWID;
CREATE INDEX sightings_by_time ON sightings (time_ms);

CREATE TABLE coverage (              -- disjoint, never touching
    profile INTEGER NOT NULL,
    reader TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    PRIMARY KEY (profile, reader, start_ms)
) WITHOUT ROWID;

CREATE TABLE captures (
    n INTEGER PRIMARY KEY,
    profile INTEGER NOT NULL,
    reader TEXT NOT NULL,
    taken_ms INTEGER NOT NULL,
    worth TEXT NOT NULL,             -- device, doubt, anchor, recent
    sealed INTEGER NOT NULL,
    digest BLOB NOT NULL,            -- of what was read: the same read twice is one row
    block BLOB NOT NULL,
    UNIQUE (profile, reader, taken_ms, digest)
);
CREATE INDEX captures_by_worth ON captures (worth, taken_ms);

CREATE TABLE destinations (
    n INTEGER PRIMARY KEY,
    profile INTEGER NOT NULL,
    name TEXT NOT NULL,
    active INTEGER NOT NULL,         -- records fan out to it
    health TEXT NOT NULL,
    health_text TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT '{}',
    last_accepted_ms INTEGER,
    UNIQUE (profile, name)
);

CREATE TABLE deliveries (
    destination INTEGER NOT NULL,
    record INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,        -- the record's
    state TEXT NOT NULL,
    ready_ms INTEGER,                -- when it may first be leased; null once settled
    leased_ms INTEGER NOT NULL DEFAULT 0, -- until when it is leased
    attempts INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL DEFAULT 0, -- the one last settled
    since_ms INTEGER NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (destination, record)
) WITHOUT ROWID;
CREATE INDEX deliveries_open ON deliveries (destination, time_ms, ready_ms) WHERE ready_ms IS NOT NULL;
CREATE INDEX deliveries_quarantined ON deliveries (destination) WHERE state = 'quarantined';

CREATE TABLE tallies (               -- deliveries by state
    destination INTEGER NOT NULL,
    state TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (destination, state)
) WITHOUT ROWID;

CREATE TABLE documents (             -- the ledger: what a destination confirmed
    n INTEGER PRIMARY KEY,
    destination INTEGER NOT NULL,
    key TEXT NOT NULL,
    record_id TEXT NOT NULL,
    kind TEXT NOT NULL,              -- of the record, '' when the journal does not hold it
    content_hash TEXT NOT NULL,
    path TEXT NOT NULL,
    instant_ms INTEGER NOT NULL,
    slot TEXT,
    server_id TEXT,
    UNIQUE (destination, key)
);
CREATE INDEX documents_of_record ON documents (destination, record_id);
CREATE INDEX documents_by_time ON documents (destination, kind, instant_ms);
CREATE UNIQUE INDEX documents_slots ON documents (destination, slot) WHERE slot IS NOT NULL;

CREATE TABLE adopted (               -- identifiers found at a destination, waiting for their record
    profile INTEGER NOT NULL,
    record_id TEXT NOT NULL,
    key TEXT NOT NULL,
    path TEXT NOT NULL,
    kind TEXT,
    time_ms INTEGER,
    value REAL,
    seen_ms INTEGER NOT NULL,
    PRIMARY KEY (profile, record_id)
) WITHOUT ROWID;
CREATE INDEX adopted_by_time ON adopted (profile, kind, time_ms);
