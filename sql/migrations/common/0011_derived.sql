-- What is inferred from events and metrics, and can be made again from them: assets, series, and what the correlation job
-- has to remember between two runs.

-- Seed ADR-002's cache of assets; the first three columns after the key are known only where somebody says them.
CREATE TABLE asset_metadata (
    tenant_id  text        NOT NULL,
    asset_id   text        NOT NULL,
    asset_name text        NOT NULL,
    asset_type text        NOT NULL DEFAULT 'unknown',
    version    text,
    owner_id   text,
    team_id    text,
    tags       jsonb,
    metadata   jsonb,
    -- Timestamps of the oldest and the newest event or metric of the asset.
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, asset_id)
) WITH (fillfactor = 80);
CREATE INDEX asset_metadata_type ON asset_metadata (tenant_id, asset_type);
CREATE INDEX asset_metadata_owner ON asset_metadata (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

-- The series that there are: what GET /v1/metrics/catalog lists.
CREATE TABLE metric_catalog (
    tenant_id   text        NOT NULL,
    asset_id    text        NOT NULL,
    metric_type text        NOT NULL,
    metric_name text        NOT NULL,
    first_seen  timestamptz NOT NULL,
    last_seen   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, asset_id, metric_name, metric_type)
) WITH (fillfactor = 80);
CREATE INDEX metric_catalog_name ON metric_catalog (tenant_id, metric_name, asset_id, metric_type);

-- Which types of events occurred in which minute, with the first event of each: what lift is computed from. Kept for a day.
CREATE TABLE type_minutes (
    tenant_id     text        NOT NULL,
    -- Minutes since 1970.
    minute        integer     NOT NULL,
    source_module text        NOT NULL,
    event_type    text        NOT NULL,
    first_id      uuid        NOT NULL,
    first_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, minute, source_module, event_type)
);
CREATE INDEX type_minutes_age ON type_minutes (minute);

-- Where the events of a correlation id are that the job has been through: the first and the last of each minute. Rows go
-- when correlation_groups shows what they say.
CREATE TABLE group_edges (
    tenant_id      text        NOT NULL,
    correlation_id uuid        NOT NULL,
    -- Minutes since 1970.
    minute         integer     NOT NULL,
    first_at       timestamptz NOT NULL,
    first_id       uuid        NOT NULL,
    first_module   text        NOT NULL,
    last_at        timestamptz NOT NULL,
    last_id        uuid        NOT NULL,
    last_module    text        NOT NULL,
    PRIMARY KEY (tenant_id, correlation_id, minute)
);
CREATE INDEX group_edges_age ON group_edges (minute);

-- Events whose parent was not near them: it is looked for once in the whole window, and may still come.
CREATE TABLE orphans (
    tenant_id       text        NOT NULL,
    parent_event_id uuid        NOT NULL,
    event_id        uuid        NOT NULL,
    timestamp       timestamptz NOT NULL,
    -- Whether the whole window was searched.
    searched        boolean     NOT NULL DEFAULT false,
    since           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, parent_event_id, event_id)
);
CREATE INDEX orphans_age ON orphans (since);
CREATE INDEX orphans_unsearched ON orphans (since) WHERE NOT searched;

-- Assets with error events in or near an hour: whose metrics are looked at for outliers.
CREATE TABLE asset_errors (
    tenant_id text    NOT NULL,
    -- Hours since 1970.
    hour      integer NOT NULL,
    asset_id  text    NOT NULL,
    PRIMARY KEY (tenant_id, hour, asset_id)
);
CREATE INDEX asset_errors_age ON asset_errors (hour);

-- Minutes that hold more than a job does in one transaction: how far it is (src/rollup/minutes.rs).
CREATE TABLE touched_passes (
    job         text        NOT NULL,
    tenant_id   text        NOT NULL,
    -- All in minutes since 1970; a block has one pass at a time.
    block       integer     NOT NULL,
    from_minute integer     NOT NULL,
    to_minute   integer     NOT NULL,
    position    jsonb,
    -- Touched again meanwhile: once more from the start.
    again       boolean     NOT NULL DEFAULT false,
    since       timestamptz NOT NULL,
    -- Its last step; whoever waited longest is next.
    turn        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job, tenant_id, block)
);

-- All of them are written and emptied all the time.
ALTER TABLE type_minutes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000);
ALTER TABLE group_edges SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000);
ALTER TABLE orphans SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
ALTER TABLE touched_passes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

GRANT SELECT ON asset_metadata, metric_catalog TO tidegate_reader;
