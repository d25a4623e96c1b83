-- Events as they were at migration 12 on TimescaleDB, columnstore profile.

CREATE TABLE events (LIKE event_columns);

SELECT public.create_hypertable('events', public.by_range('timestamp', INTERVAL '1 day'), create_default_indexes => false);
SELECT public.add_dimension('events', public.by_hash('tenant_id', 4));

ALTER TABLE events SET (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = 'tenant_id',
    timescaledb.orderby = 'asset_id, timestamp DESC',
    timescaledb.sparse_index = 'bloom(correlation_id), bloom(id), bloom(parent_event_id)'
);

CREATE INDEX events_tenant_time ON events (tenant_id, timestamp DESC);
