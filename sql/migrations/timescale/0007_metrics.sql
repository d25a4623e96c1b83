-- Metrics on TimescaleDB: raw samples and pre-aggregated summaries in one shape, a chunk a day by eight hash partitions of
-- the asset. As with events there is no unique index, or direct-compress COPY becomes row inserts.

CREATE TABLE metrics (
    -- Position for cursors: the batch, and the ordinal within it.
    batch_id    bigint           NOT NULL,
    batch_seq   integer          NOT NULL,
    timestamp   timestamptz      NOT NULL,
    -- When Tidegate received it.
    created_at  timestamptz      NOT NULL,
    tenant_id   text             NOT NULL,
    asset_id    text             NOT NULL,
    metric_type text             NOT NULL,
    metric_name text             NOT NULL,
    -- How many values the row stands for. A raw sample is one value, its value_sum; the three columns after it stay null.
    -- A summary has minimum and maximum, and the sum of squares if its sender knew the spread.
    value_count bigint           NOT NULL,
    value_sum   double precision NOT NULL,
    value_min   double precision,
    value_max   double precision,
    value_sumsq double precision,
    dimensions  jsonb
);

SELECT public.create_hypertable('metrics', public.by_range('timestamp', INTERVAL '1 day'), create_default_indexes => false);
SELECT public.add_dimension('metrics', public.by_hash('asset_id', 8));

ALTER TABLE metrics SET (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = 'tenant_id',
    timescaledb.orderby = 'asset_id, metric_name, timestamp DESC'
);

-- Rows of tenants with few samples in a batch stay in row form until their chunk is compressed.
CREATE INDEX metrics_asset_time ON metrics (asset_id, metric_name, timestamp DESC);

GRANT INSERT ON metrics TO tidegate_writer;
GRANT SELECT ON metrics TO tidegate_reader;
