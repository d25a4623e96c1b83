-- Events as they were at migration 12 on plain PostgreSQL.

CREATE TABLE events (LIKE event_columns) PARTITION BY RANGE (timestamp);

CREATE INDEX events_tenant_time ON events (tenant_id, timestamp DESC);
CREATE INDEX events_asset_tenant_time ON events (asset_id, tenant_id, timestamp DESC) WHERE asset_id IS NOT NULL;
CREATE INDEX events_tenant_correlation ON events (tenant_id, correlation_id) WHERE correlation_id IS NOT NULL;
CREATE INDEX events_tenant_parent ON events (tenant_id, parent_event_id) WHERE parent_event_id IS NOT NULL;
CREATE INDEX events_tenant_id ON events (tenant_id, id);
CREATE INDEX events_time_brin ON events USING brin (timestamp) WITH (pages_per_range = 32);

-- The days that a measurement may touch.
DO $partitions$
DECLARE
    day date;
BEGIN
    FOR day IN SELECT generate_series(current_date - 1, current_date + 1, INTERVAL '1 day')::date LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)',
            'events_' || to_char(day, 'YYYYMMDD'), day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    END LOOP;
END
$partitions$;
