BEGIN TRANSACTION;
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
CREATE TABLE aliases (               -- further names of a record, with the body last seen under each
    profile INTEGER NOT NULL,
    alias TEXT NOT NULL,
    record INTEGER NOT NULL,
    reader TEXT NOT NULL,
    hash BLOB NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (profile, alias)
) WITHOUT ROWID;
INSERT INTO "aliases" VALUES(1,'08efaed8-82c6-59c6-b0f4-85df4be7609f',1,'medtronic-600',X'99C8E8F51676E5B2F7E825EF00E54FF4','{"id":"08efaed8-82c6-59c6-b0f4-85df4be7609f","kind":"sensor_glucose","time":"2026-03-10T05:55:30.000Z","device_time":null,"utc_offset_min":60,"profile":"p1","device":{"manufacturer":"Medtronic","model":"MMT-1884","serial":"NG1234567H","family":"NGP"},"reader":"medtronic-600","source_key":"sensor_glucose:-4.5","revision":1,"annotations":[],"raw":null,"mgdl":121,"trend":null,"rate_mgdl_min":null,"quality":"ok","isig_na":null,"sensor_id":null}');
INSERT INTO "aliases" VALUES(1,'482253a4-3b44-5b4e-8842-3a924ea955f1',4,'medtronic-600',X'CDD5F1BBEC034A9B8C21C4CFAE5A8C20','{"id":"482253a4-3b44-5b4e-8842-3a924ea955f1","kind":"bolus","time":"2026-03-10T06:00:12.000Z","device_time":null,"utc_offset_min":60,"profile":"p1","device":{"manufacturer":"Medtronic","model":"MMT-1884","serial":"NG1234567H","family":"NGP"},"reader":"medtronic-600","source_key":"bolus:0.2","revision":1,"annotations":[],"raw":null,"shape":"normal","delivered_u":2.01,"programmed_u":null,"immediate_u":null,"extended_u":null,"programmed_immediate_u":null,"programmed_extended_u":null,"duration_min":null,"delivered_duration_min":null,"automatic":false,"completed":true,"requested_by":null,"calculation_id":null,"carbs_id":null}');
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
INSERT INTO "captures" VALUES(1,1,'carelink-cloud',1773122400000,'anchor',0,X'E9A5DEFACAE492B755678433E812EF60',X'28B52FFD2054A102000000004A7B2266656564223A2022636172656C696E6B3A65753A70617469656E7431222C2022636F6E74657874223A207B2274696D657A6F6E65223A20224575726F70652F5669656E6E61227D7D616E73776572');
INSERT INTO "captures" VALUES(2,1,'medtronic-600',1773122460000,'device',0,X'06F73EFFF18E1E17507C03FC8738AF27',X'28B52FFD2052750200E2441118A0A73960F594FD4D62BF009F097B632087ACCDE104950D1207AF5A33AA3E03C51352EBB8A2C30BB966E5BC86AF22E342D8587D2EA65BBF8126E10A8DCBF9FC023300212401003A030505');
CREATE TABLE coverage (              -- disjoint, never touching
    profile INTEGER NOT NULL,
    reader TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    PRIMARY KEY (profile, reader, start_ms)
) WITHOUT ROWID;
INSERT INTO "coverage" VALUES(1,'carelink-cloud',1773118800000,1773122400000);
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
INSERT INTO "deliveries" VALUES(1,1,1773122100000,'pending',0,0,0,0,1773122400000,'');
INSERT INTO "deliveries" VALUES(1,2,1773122400000,'quarantined',NULL,0,0,1,1773122400000,'refused');
INSERT INTO "deliveries" VALUES(1,3,1773122400000,'accepted',NULL,0,0,1,1773122400000,'');
INSERT INTO "deliveries" VALUES(1,4,1773122400000,'pending',1773122940000,0,0,0,1773122400000,'503');
INSERT INTO "deliveries" VALUES(2,1,1773122100000,'pending',0,0,0,0,1773122400000,'');
INSERT INTO "deliveries" VALUES(2,2,1773122400000,'pending',0,0,0,0,1773122400000,'');
INSERT INTO "deliveries" VALUES(2,3,1773122400000,'pending',0,0,0,0,1773122400000,'');
INSERT INTO "deliveries" VALUES(2,4,1773122400000,'pending',0,0,0,0,1773122400000,'');
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
INSERT INTO "destinations" VALUES(1,1,'nightscout',1,'unreachable','No answer.','{"route": "v3"}',1773122400000);
INSERT INTO "destinations" VALUES(2,1,'tidepool',1,'starting','','{}',NULL);
CREATE TABLE devices (
    profile INTEGER NOT NULL,
    device TEXT NOT NULL,
    family TEXT NOT NULL,
    serial TEXT NOT NULL,
    PRIMARY KEY (profile, device, family, serial)
) WITHOUT ROWID;
INSERT INTO "devices" VALUES(1,'NG1234567H','NGP','NG1234567H');
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
INSERT INTO "documents" VALUES(1,1,'6d67fccb-eaed-5fe3-8ea3-12db7e47a11b','6d67fccb-eaed-5fe3-8ea3-12db7e47a11b','carbs','00000000000000000000000000000000','/api/v1/entries.json',1773122400000,'Carb Correction|1',NULL);
CREATE TABLE links (                 -- record -> id that its body names
    profile INTEGER NOT NULL,
    target TEXT NOT NULL,
    record INTEGER NOT NULL,
    PRIMARY KEY (profile, target, record)
) WITHOUT ROWID;
INSERT INTO "links" VALUES(1,'6d67fccb-eaed-5fe3-8ea3-12db7e47a11b',4);
CREATE TABLE profiles (
    n INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
INSERT INTO "profiles" VALUES(1,'p1');
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
INSERT INTO "readers" VALUES(1,'carelink-cloud','{"offset": 60}','ok','',1773122400000,1773122400000,1773122700000);
INSERT INTO "readers" VALUES(1,'medtronic-600','{}','ok','',1773122460000,1773122412000,1773122700000);
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
INSERT INTO "records" VALUES(1,1,'d31b8b34-caec-51bf-948d-1fe5e2fb8bc7','sensor_glucose',1773122100000,NULL,'NG1234567H','carelink-cloud',3,2,X'A6E8990CD0102CB7032748FD517B1AD3','{"id":"d31b8b34-caec-51bf-948d-1fe5e2fb8bc7","kind":"sensor_glucose","time":"2026-03-10T05:55:00.000Z","device_time":null,"utc_offset_min":60,"profile":"p1","device":{"manufacturer":"Medtronic","model":"MMT-1884","serial":"NG1234567H","family":"NGP"},"reader":"medtronic-600","source_key":"sensor_glucose:-5","revision":2,"annotations":[],"raw":null,"mgdl":121,"trend":null,"rate_mgdl_min":null,"quality":"ok","isig_na":null,"sensor_id":null}');
INSERT INTO "records" VALUES(2,1,'35c90ba9-1561-592a-b33b-f847b8e73940','sensor_glucose',1773122400000,NULL,'NG1234567H','carelink-cloud',1,1,X'A6E8990CD0102CB7032748FD517B1AD3','{"id":"35c90ba9-1561-592a-b33b-f847b8e73940","kind":"sensor_glucose","time":"2026-03-10T06:00:00.000Z","device_time":null,"utc_offset_min":60,"profile":"p1","device":{"manufacturer":"Medtronic","model":"MMT-1884","serial":"NG1234567H","family":"NGP"},"reader":"carelink-cloud","source_key":"sensor_glucose:0","revision":1,"annotations":[],"raw":null,"mgdl":120,"trend":null,"rate_mgdl_min":null,"quality":"ok","isig_na":null,"sensor_id":null}');
INSERT INTO "records" VALUES(3,1,'6d67fccb-eaed-5fe3-8ea3-12db7e47a11b','carbs',1773122400000,NULL,'NG1234567H','carelink-cloud',1,1,X'86C3FA4C0287470C0FA9DA802D01B554','{"id":"6d67fccb-eaed-5fe3-8ea3-12db7e47a11b","kind":"carbs","time":"2026-03-10T06:00:00.000Z","device_time":null,"utc_offset_min":60,"profile":"p1","device":{"manufacturer":"Medtronic","model":"MMT-1884","serial":"NG1234567H","family":"NGP"},"reader":"carelink-cloud","source_key":"carbs:0","revision":1,"annotations":[],"raw":null,"grams":30.0,"absorption_min":null}');
INSERT INTO "records" VALUES(4,1,'f731ff4f-4e24-51b9-803e-a27098ec529e','bolus',1773122400000,NULL,'NG1234567H','carelink-cloud',3,2,X'23A65719C2F34BF1AC929170180A0191','{"id":"f731ff4f-4e24-51b9-803e-a27098ec529e","kind":"bolus","time":"2026-03-10T06:00:00.000Z","device_time":null,"utc_offset_min":60,"profile":"p1","device":{"manufacturer":"Medtronic","model":"MMT-1884","serial":"NG1234567H","family":"NGP"},"reader":"medtronic-600","source_key":"bolus:0","revision":2,"annotations":[],"raw":null,"shape":"normal","delivered_u":2.01,"programmed_u":null,"immediate_u":null,"extended_u":null,"programmed_immediate_u":null,"programmed_extended_u":null,"duration_min":null,"delivered_duration_min":null,"automatic":false,"completed":true,"requested_by":null,"calculation_id":null,"carbs_id":"6d67fccb-eaed-5fe3-8ea3-12db7e47a11b"}');
CREATE TABLE revisions (             -- bodies that a newer or better one replaced
    record INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    replaced_ms INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (record, revision)
) WITHOUT ROWID;
INSERT INTO "revisions" VALUES(1,1,1773122400000,'{"id":"d31b8b34-caec-51bf-948d-1fe5e2fb8bc7","kind":"sensor_glucose","time":"2026-03-10T05:55:00.000Z","device_time":null,"utc_offset_min":60,"profile":"p1","device":{"manufacturer":"Medtronic","model":"MMT-1884","serial":"NG1234567H","family":"NGP"},"reader":"carelink-cloud","source_key":"sensor_glucose:-5","revision":1,"annotations":[],"raw":null,"mgdl":120,"trend":null,"rate_mgdl_min":null,"quality":"ok","isig_na":null,"sensor_id":null}');
INSERT INTO "revisions" VALUES(4,1,1773122400000,'{"id":"f731ff4f-4e24-51b9-803e-a27098ec529e","kind":"bolus","time":"2026-03-10T06:00:00.000Z","device_time":null,"utc_offset_min":60,"profile":"p1","device":{"manufacturer":"Medtronic","model":"MMT-1884","serial":"NG1234567H","family":"NGP"},"reader":"carelink-cloud","source_key":"bolus:0","revision":1,"annotations":[],"raw":null,"shape":"normal","delivered_u":2.0,"programmed_u":null,"immediate_u":null,"extended_u":null,"programmed_immediate_u":null,"programmed_extended_u":null,"duration_min":null,"delivered_duration_min":null,"automatic":false,"completed":true,"requested_by":null,"calculation_id":null,"carbs_id":"6d67fccb-eaed-5fe3-8ea3-12db7e47a11b"}');
CREATE TABLE sightings (
    profile INTEGER NOT NULL,
    reader TEXT NOT NULL,
    key TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    source_key TEXT NOT NULL,
    seen_ms INTEGER NOT NULL,
    PRIMARY KEY (profile, reader, key)
) WITHOUT ROWID;
INSERT INTO "sightings" VALUES(1,'carelink-cloud','SG 1',1773122400000,'SG:1',1773122400000);
CREATE TABLE tallies (               -- deliveries by state
    destination INTEGER NOT NULL,
    state TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (destination, state)
) WITHOUT ROWID;
INSERT INTO "tallies" VALUES(1,'accepted',1);
INSERT INTO "tallies" VALUES(1,'pending',2);
INSERT INTO "tallies" VALUES(1,'quarantined',1);
INSERT INTO "tallies" VALUES(2,'pending',4);
CREATE TABLE uploads (               -- what goes or went into CareLink, one row a request
    profile INTEGER NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    asked_ms INTEGER NOT NULL,
    body TEXT NOT NULL,              -- the whole upload record, JSON
    PRIMARY KEY (profile, id)
) WITHOUT ROWID;
CREATE INDEX records_by_time ON records (profile, kind, time_ms);
CREATE INDEX records_by_wall ON records (profile, kind, wall_ms) WHERE wall_ms IS NOT NULL;
CREATE INDEX records_basal_line ON records (profile, device, time_ms) WHERE kind = 'basal';
CREATE INDEX aliases_of_record ON aliases (record);
CREATE INDEX links_of_record ON links (record);
CREATE INDEX sightings_by_time ON sightings (time_ms);
CREATE INDEX captures_by_worth ON captures (worth, taken_ms);
CREATE INDEX deliveries_open ON deliveries (destination, time_ms, ready_ms) WHERE ready_ms IS NOT NULL;
CREATE INDEX deliveries_quarantined ON deliveries (destination) WHERE state = 'quarantined';
CREATE INDEX documents_of_record ON documents (destination, record_id);
CREATE INDEX documents_by_time ON documents (destination, kind, instant_ms);
CREATE UNIQUE INDEX documents_slots ON documents (destination, slot) WHERE slot IS NOT NULL;
CREATE INDEX adopted_by_time ON adopted (profile, kind, time_ms);
CREATE INDEX uploads_by_time ON uploads (profile, asked_ms);
COMMIT;
