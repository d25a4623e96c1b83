-- Text instead of varchar(n), as on the timescale engine, where varchar keeps the columnstore from skipping segments. No
-- table is rewritten and no index rebuilt. The lengths of seed ADR-002 are kept by whoever writes (src/limits.rs).

ALTER TABLE events
    ALTER COLUMN source_module TYPE text,
    ALTER COLUMN event_type TYPE text,
    ALTER COLUMN severity TYPE text,
    ALTER COLUMN environment TYPE text,
    ALTER COLUMN asset_id TYPE text;

-- The asset first: the seed's readers ask for an asset whatever its tenant, and one that names both finds as much.
DROP INDEX events_tenant_asset_time;
CREATE INDEX events_asset_tenant_time ON events (asset_id, tenant_id, timestamp DESC) WHERE asset_id IS NOT NULL;

-- The children of an event.
CREATE INDEX events_tenant_parent ON events (tenant_id, parent_event_id) WHERE parent_event_id IS NOT NULL;

-- A stretch of time whatever the tenant, for the rollups; it costs next to nothing.
CREATE INDEX events_time_brin ON events USING brin (timestamp) WITH (pages_per_range = 32);
