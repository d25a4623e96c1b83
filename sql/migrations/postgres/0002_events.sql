-- The event store on plain PostgreSQL: native range partitions of one chunk_interval each, made ahead and for late
-- data by the owner connection (see storage::partitions), dropped when expired. The tenant is first in every index.

CREATE TABLE events (
    id              uuid         NOT NULL,
    timestamp       timestamptz  NOT NULL,
    tenant_id       text         NOT NULL,
    stream          text         NOT NULL,
    source_module   varchar(50)  NOT NULL,
    event_type      varchar(50)  NOT NULL,
    event_version   integer      NOT NULL,
    severity        varchar(20)  NOT NULL,
    environment     varchar(50)  NOT NULL,
    asset_id        varchar(100),
    correlation_id  uuid,
    parent_event_id uuid,
    trace_id        text,
    payload         jsonb        NOT NULL,
    metadata        jsonb,
    -- Position for consumers: the batch, and the ordinal within it.
    batch_id        bigint       NOT NULL,
    batch_seq       integer      NOT NULL,
    -- When Tidegate received it.
    created_at      timestamptz  NOT NULL
) PARTITION BY RANGE (timestamp);

CREATE INDEX events_tenant_time ON events (tenant_id, timestamp DESC);
CREATE INDEX events_tenant_asset_time ON events (tenant_id, asset_id, timestamp DESC) WHERE asset_id IS NOT NULL;
CREATE INDEX events_tenant_correlation ON events (tenant_id, correlation_id) WHERE correlation_id IS NOT NULL;
CREATE INDEX events_tenant_id ON events (tenant_id, id);

GRANT INSERT ON events TO tidegate_writer;
GRANT SELECT ON events TO tidegate_reader;
