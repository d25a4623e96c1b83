-- What the lifecycle job keeps to, and what it did.

-- Days that an organization's rows are kept; null: as long as the table's own retention. Never longer than that. Metrics at
-- least two days: a day's bucket is closed after the day.
ALTER TABLE organizations
    ADD COLUMN events_retention_days       integer CHECK (events_retention_days BETWEEN 1 AND 3650),
    ADD COLUMN metrics_retention_days      integer CHECK (metrics_retention_days BETWEEN 2 AND 3650),
    ADD COLUMN correlations_retention_days integer CHECK (correlations_retention_days BETWEEN 1 AND 3650);

-- The oldest manifests of a kind are looked at for expiry, and either kind may be kept longer than the other.
CREATE INDEX ingest_batches_kind ON ingest_batches (kind, batch_id);
DROP INDEX ingest_batches_batch_id;

-- The last run of each job, whichever node led it. Jobs that run every second are noted every few.
CREATE TABLE job_runs (
    job           text             PRIMARY KEY,
    -- From the end of a run to the next, in seconds.
    interval_s    double precision NOT NULL,
    started_at    timestamptz      NOT NULL,
    finished_at   timestamptz      NOT NULL,
    -- What was done since the note before, by name; of runs that succeeded.
    counts        jsonb            NOT NULL DEFAULT '{}',
    -- Of the last run that failed; if that is the last run, last_error_at is its finished_at.
    last_error    text,
    last_error_at timestamptz,
    runs          bigint           NOT NULL DEFAULT 0,
    failures      bigint           NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Sizes of relations, once a day, so that growth can be told.
CREATE TABLE storage_samples (
    at       timestamptz NOT NULL,
    relation text        NOT NULL,
    bytes    bigint      NOT NULL,
    rows     bigint,
    PRIMARY KEY (relation, at)
);

GRANT SELECT ON job_runs, storage_samples, rollup_dirty TO tidegate_reader;
