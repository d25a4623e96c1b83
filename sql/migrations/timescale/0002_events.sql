-- The event store on TimescaleDB: one hypertable, a chunk a day by four hash partitions of the tenant.
-- No primary key and no unique index here: with one, direct-compress COPY silently becomes row inserts. The rowstore
-- profile adds the unique index (sql/profile/rowstore.sql); exactly-once comes from the ledger.

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
);

SELECT public.create_hypertable('events', public.by_range('timestamp', INTERVAL '1 day'), create_default_indexes => false);
SELECT public.add_dimension('events', public.by_hash('tenant_id', 4));

-- Every query is tenant-scoped, which is what makes segmentby pay; asset then time within a segment halves the
-- compacted size and answers the asset query from one batch; the blooms keep look-ups by id out of other batches.
ALTER TABLE events SET (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = 'tenant_id',
    timescaledb.orderby = 'asset_id, timestamp DESC',
    timescaledb.sparse_index = 'bloom(correlation_id), bloom(id)'
);

-- Rows of tenants with few events in a batch stay in row form until their chunk is compressed.
CREATE INDEX events_tenant_time ON events (tenant_id, timestamp DESC);

GRANT INSERT ON events TO tidegate_writer;
GRANT SELECT ON events TO tidegate_reader;
