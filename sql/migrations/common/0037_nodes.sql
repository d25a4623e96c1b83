-- Of each migration from here on the oldest program that may start on a database which has it: the number of the newest migration
-- that such a program knows. NULL: none that does not know the migration itself.
ALTER TABLE schema_migrations
    ADD COLUMN runs_with integer;

-- The processes of Tidegate that work on this database: each writes its own row every second. All times are of the database's
-- clock: a node whose own is a day wrong is seen like any other. Who is lost follows from `last_seen`, and is stored nowhere.
CREATE TABLE nodes (
    -- Kept in data_dir: a node that is started again goes on with its row, as it does with its spool.
    node_id           uuid        PRIMARY KEY,
    -- Of this start of it: two processes with one id (a folder that was copied) find each other out by it.
    process_id        uuid        NOT NULL,
    name              text        NOT NULL,
    -- Where other nodes reach it; NULL: they cannot.
    url               text,
    version           text        NOT NULL,
    -- The newest migration that its program knows.
    schema_version    integer     NOT NULL,
    started_at        timestamptz NOT NULL,
    last_seen         timestamptz NOT NULL,
    state             text        NOT NULL CHECK (state IN ('starting', 'ready', 'degraded', 'draining')),
    -- What waits in its spool, and what was set aside there, in files.
    spooled_requests  bigint      NOT NULL,
    spooled_items     bigint      NOT NULL,
    spooled_bytes     bigint      NOT NULL,
    quarantined_files bigint      NOT NULL,
    -- Its clock less the database's.
    clock_skew_ms     bigint      NOT NULL,
    -- Of keys with limits that are much used there: which part of the limit of events, and of bytes, is asked for.
    demands           jsonb       NOT NULL
)
-- Each row is written again every second, on its page.
WITH (fillfactor = 30);
