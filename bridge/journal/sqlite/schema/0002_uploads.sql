CREATE TABLE uploads (               -- what goes or went into CareLink, one row a request
    profile INTEGER NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    asked_ms INTEGER NOT NULL,
    body TEXT NOT NULL,              -- the whole upload record, JSON
    PRIMARY KEY (profile, id)
) WITHOUT ROWID;
CREATE INDEX uploads_by_time ON uploads (profile, asked_ms);
