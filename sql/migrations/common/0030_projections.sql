-- The event processor (src/processor) and what it keeps up: services, deployments, what is said of assets (src/projections).

-- The projections that there are; each one's bit says in the log which batches concern it. Who writes a projection's tables holds its
-- row. A migration that adds one ends with a row here, and nothing else needs to be told: writers that do not know it say from then on
-- that they do not know what their batches concern.
CREATE TABLE projections (
    name     text     PRIMARY KEY,
    bit      smallint NOT NULL UNIQUE CHECK (bit BETWEEN 0 AND 30),
    -- When it was noted where the streams ended that were there before it; null: not yet.
    begun_at timestamptz
);

-- Which projections a batch concerns. -1: its writer does not know; all of them look.
ALTER TABLE batch_queue ADD COLUMN projections integer NOT NULL DEFAULT -1;
ALTER TABLE batch_log ADD COLUMN projections integer NOT NULL DEFAULT -1;
CREATE INDEX batch_log_projected ON batch_log (tenant_id, stream, base) WHERE projections <> 0;

-- How far each projection is in each stream: everything before `committed` is in its tables, by the same transaction. Before
-- `all_before` the log does not say which batches concern it, so that all are looked at.
CREATE TABLE projection_offsets (
    projection text        NOT NULL REFERENCES projections,
    tenant_id  text        NOT NULL,
    stream     text        NOT NULL,
    committed  bigint      NOT NULL CHECK (committed >= 0),
    all_before bigint      NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, tenant_id, stream)
) WITH (fillfactor = 50);

-- Streams in which something was logged that concerns a projection. The sequencer inserts, the processor deletes what it has passed.
CREATE TABLE projection_queue (
    turn        bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   text    NOT NULL,
    stream      text    NOT NULL,
    projections integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
CREATE INDEX projection_queue_stream ON projection_queue (tenant_id, stream, turn);

-- Bytes of the dead letters that projections made of a tenant's events, on the newest day with one.
CREATE TABLE projection_letters (
    tenant_id text   PRIMARY KEY,
    day       date   NOT NULL,
    bytes     bigint NOT NULL
);

-- ADR-0005: what services there are.
CREATE TABLE services (
    tenant_id     text        NOT NULL,
    -- Made of the name, so that a table that is computed again has the same ids.
    id            uuid        NOT NULL,
    name          text        NOT NULL,
    status        text        NOT NULL CHECK (status IN ('active', 'retired')),
    description   text,
    version       text,
    owner         text,
    team          text,
    repository    text,
    tags          jsonb,
    metadata      jsonb,
    registered_at timestamptz,
    retired_at    timestamptz,
    -- Times of the oldest and the newest event that told of it.
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    -- The newest one, and its place in the log.
    event_id      uuid        NOT NULL,
    event_stream  text        NOT NULL,
    event_offset  bigint      NOT NULL,
    -- Which event said which column.
    told_by       jsonb       NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX services_updated_at ON services (tenant_id, updated_at DESC, id DESC);

-- ADR-0005: deployments; service is the name of one of the services, where an event has said it.
CREATE TABLE deployments (
    tenant_id      text        NOT NULL,
    id             uuid        NOT NULL,
    deployment_id  text        NOT NULL,
    service        text,
    environment    text,
    version        text,
    status         text        NOT NULL CHECK (status IN ('started', 'succeeded', 'failed', 'rolled_back')),
    commit_sha     text,
    deployed_by    text,
    url            text,
    started_at     timestamptz,
    finished_at    timestamptz,
    rolled_back_at timestamptz,
    rolled_back_to text,
    error          text,
    metadata       jsonb,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    event_id       uuid        NOT NULL,
    event_stream   text        NOT NULL,
    event_offset   bigint      NOT NULL,
    told_by        jsonb       NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX deployments_updated_at ON deployments (tenant_id, updated_at DESC, id DESC);
CREATE INDEX deployments_service ON deployments (tenant_id, service, updated_at DESC, id DESC) WHERE service IS NOT NULL;

-- What is said of an asset, beside when it was seen. Null: nobody has said anything, or an operator did.
ALTER TABLE asset_metadata
    ADD COLUMN told_at timestamptz,
    ADD COLUMN event_id uuid,
    ADD COLUMN event_stream text,
    ADD COLUMN event_offset bigint,
    ADD COLUMN told_by jsonb;

-- Wider than before, so that nothing needs to be looked at.
ALTER TABLE dead_letter_events DROP CONSTRAINT dead_letter_events_stage_check;
ALTER TABLE dead_letter_events ADD CONSTRAINT dead_letter_events_stage_check
    CHECK (stage IN ('decode', 'validate', 'package', 'write', 'consume', 'project')) NOT VALID;

CREATE TABLE lock_job_processor ();
CREATE TABLE lock_rebuild ();

INSERT INTO projections (name, bit) VALUES ('services', 0), ('deployments', 1), ('asset_details', 2);

GRANT SELECT ON projections TO tidegate_writer;
GRANT SELECT ON services, deployments, projections, projection_offsets TO tidegate_reader;
