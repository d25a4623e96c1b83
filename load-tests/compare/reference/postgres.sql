-- Events as they were at migration 12 on plain PostgreSQL. It never changes: what is measured against it is how much less an event
-- costs since then.

CREATE TABLE events (
    id              uuid         NOT NULL,
    timestamp       timestamptz  NOT NULL,
    tenant_id       text         NOT NULL,
    stream          text         NOT NULL,
    source_module   text         NOT NULL,
    event_type      text         NOT NULL,
    event_version   integer      NOT NULL,
    severity        text         NOT NULL,
    environment     text         NOT NULL,
    asset_id        text,
    correlation_id  uuid,
    parent_event_id uuid,
    trace_id        text,
    payload         jsonb        NOT NULL,
    metadata        jsonb,
    batch_id        bigint       NOT NULL,
    batch_seq       integer      NOT NULL,
    created_at      timestamptz  NOT NULL
) PARTITION BY RANGE (timestamp);

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
