-- The rowstore profile of the timescale engine: the seed schema's b-trees, and per-event uniqueness.
-- Applied once, when the database is installed with storage_profile = rowstore.

CREATE UNIQUE INDEX events_unique ON events (tenant_id, id, timestamp);
CREATE INDEX events_asset_time ON events (asset_id, timestamp DESC);
CREATE INDEX events_type_time ON events (event_type, timestamp DESC);
CREATE INDEX events_correlation ON events (correlation_id) WHERE correlation_id IS NOT NULL;
CREATE INDEX events_bare_id ON events (tenant_id, bare_id) WHERE bare_id IS NOT NULL;
CREATE INDEX events_severity_time ON events (severity, timestamp DESC);

-- The staging path (a duplicate key was met) reads what ON CONFLICT compares and returns.
GRANT SELECT ON events TO tidegate_writer;
