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

-- Which types of events occurred in which minute, with the first event of each: what lift is computed from.
CREATE TABLE type_minutes (
    tenant_id     text        NOT NULL,
    -- Minutes since 1970.
    minute        integer     NOT NULL,
    source_module text        NOT NULL,
    event_type    text        NOT NULL,
    count         bigint      NOT NULL,
    first_id      uuid        NOT NULL,
    first_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, minute, source_module, event_type)
);
CREATE INDEX type_minutes_age ON type_minutes (minute);

-- Events whose parent was not there yet.
CREATE TABLE orphans (
    tenant_id       text        NOT NULL,
    parent_event_id uuid        NOT NULL,
    event_id        uuid        NOT NULL,
    timestamp       timestamptz NOT NULL,
    since           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, parent_event_id, event_id)
);
CREATE INDEX orphans_age ON orphans (since);

GRANT SELECT ON asset_metadata, metric_catalog TO tidegate_reader;
