-- Offsets: each batch of events gets a place in the log of its stream, once it is committed (src/streams). An event's offset is its
-- batch's base and its ordinal in the batch. What processes of versions before write while this one runs is logged some seconds
-- later, in the order in which it was begun.

-- How many ordinals a batch handed out, before rows that were there already were taken out of it; the batch stands here also where
-- none is left. Null: of a version before, and not logged yet.
ALTER TABLE ingest_batches ADD COLUMN seq_span integer;
ALTER TABLE ingest_batches DROP CONSTRAINT ingest_batches_event_count_check;
-- Wider than the one before, so that nothing needs to be looked at.
ALTER TABLE ingest_batches ADD CONSTRAINT ingest_batches_event_count_check CHECK (event_count >= 0) NOT VALID;
ALTER TABLE ingest_batches ADD CONSTRAINT ingest_batches_seq_span_check CHECK (seq_span > 0) NOT VALID;
-- Empty once those of versions before are logged, in this order.
CREATE INDEX ingest_batches_unlogged ON ingest_batches (created_at, batch_id) WHERE kind = 'events' AND seq_span IS NULL;

-- What writers commit beside their manifests, for the sequencer: which transactions it has seen is told by their numbers. Rows are
-- inserted, looked at, and deleted some seconds later; none is ever changed.
CREATE TABLE batch_queue (
    xid           xid8        NOT NULL DEFAULT pg_current_xact_id(),
    tenant_id     text        NOT NULL,
    stream        text        NOT NULL,
    batch_id      bigint      NOT NULL,
    span          integer     NOT NULL,
    event_count   integer     NOT NULL,
    min_timestamp timestamptz NOT NULL,
    max_timestamp timestamptz NOT NULL
);
CREATE INDEX batch_queue_xid ON batch_queue (xid);

-- The log of each stream: the batch that begins at the offset `base`, and takes `span` of them.
CREATE TABLE batch_log (
    tenant_id     text        NOT NULL,
    stream        text        NOT NULL,
    base          bigint      NOT NULL CHECK (base >= 0),
    span          integer     NOT NULL CHECK (span > 0),
    batch_id      bigint      NOT NULL,
    event_count   integer     NOT NULL,
    min_timestamp timestamptz NOT NULL,
    max_timestamp timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, stream, base),
    -- A batch is logged once, whatever happens.
    UNIQUE (tenant_id, batch_id)
);

-- What the sequencer had seen each time that it appended something; the newest row counts.
CREATE TABLE sequencer_ticks (
    tick              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    snapshot          pg_snapshot NOT NULL,
    -- The cluster that the snapshot is of, with the oids of this database and relation: a restored dump has another of them.
    system_identifier text        NOT NULL,
    -- Of the WAL: another one after a failover, or a recovery to a point in time.
    timeline          text        NOT NULL,
    epoch             bigint      NOT NULL,
    at                timestamptz NOT NULL DEFAULT now()
);

-- The histories of the logs. A new one begins where what was read of the one before may be gone: after a restore or a failover. Its
-- number is about the second in which it began, so that two restores of one backup differ.
CREATE TABLE log_epochs (
    epoch    bigint      PRIMARY KEY,
    began_at timestamptz NOT NULL DEFAULT now()
);

-- Where each stream ended when an epoch began; one that is missing began later.
CREATE TABLE stream_epochs (
    tenant_id text   NOT NULL,
    stream    text   NOT NULL,
    epoch     bigint NOT NULL,
    ended     bigint NOT NULL,
    PRIMARY KEY (tenant_id, stream, epoch)
);

-- The first offset of a stream that has not expired; 0 where there is none.
CREATE TABLE stream_begins (
    tenant_id text   NOT NULL,
    stream    text   NOT NULL,
    begins    bigint NOT NULL,
    PRIMARY KEY (tenant_id, stream)
) WITH (fillfactor = 50);

-- What tickets are signed with (src/tenancy/tickets.rs); the same on every node.
CREATE TABLE ticket_secret (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    secret    text    NOT NULL
);
INSERT INTO ticket_secret (secret) VALUES (gen_random_uuid()::text || gen_random_uuid()::text);

-- The leader's lock, and the one within each tick: two that take each other for gone must not append at once.
CREATE TABLE lock_job_sequencer ();
CREATE TABLE lock_sequencer ();

GRANT INSERT ON batch_queue TO tidegate_writer;
GRANT SELECT ON ticket_secret TO tidegate_writer;
GRANT SELECT ON batch_log, log_epochs, stream_epochs, stream_begins TO tidegate_reader;
