-- Events as they were at migration 12 on TimescaleDB, columnstore profile. It never changes: what is measured against it is how
-- much less an event costs since then.

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
);

SELECT public.create_hypertable('events', public.by_range('timestamp', INTERVAL '1 day'), create_default_indexes => false);
SELECT public.add_dimension('events', public.by_hash('tenant_id', 4));

ALTER TABLE events SET (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = 'tenant_id',
    timescaledb.orderby = 'asset_id, timestamp DESC',
    timescaledb.sparse_index = 'bloom(correlation_id), bloom(id), bloom(parent_event_id)'
);

CREATE INDEX events_tenant_time ON events (tenant_id, timestamp DESC);
