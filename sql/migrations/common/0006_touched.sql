-- What was written, for the jobs that derive something from it. Every transaction of the ingest path says which minutes it
-- touched; a job takes the rows away in the transaction of what it makes of them.
--
-- It is a queue and not a log: a row is seen when its transaction has committed, whenever that is, so that no order and no
-- watermark over open transactions is needed to miss nothing.

ALTER TABLE ingest_batches ADD COLUMN kind text NOT NULL DEFAULT 'events' CHECK (kind IN ('events', 'metrics'));

CREATE TABLE touched (
    kind      text      NOT NULL CHECK (kind IN ('events', 'metrics')),
    tenant_id text      NOT NULL,
    -- Minutes since 1970.
    minutes   integer[] NOT NULL
);

-- The queue spread out: for each job that wants it, each minute of a tenant once, until that job is done with it.
CREATE TABLE touched_minutes (
    job       text        NOT NULL,
    tenant_id text        NOT NULL,
    -- Minutes since 1970.
    minute    integer     NOT NULL,
    since     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job, minute, tenant_id)
);

-- Both are written and emptied all the time.
ALTER TABLE touched SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
ALTER TABLE touched_minutes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

GRANT INSERT ON touched TO tidegate_writer;
-- Readers ask it which buckets of a rollup lag behind.
GRANT SELECT ON touched TO tidegate_reader;
