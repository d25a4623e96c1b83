-- Metrics on plain PostgreSQL: raw samples and pre-aggregated summaries in one shape, in range partitions of one
-- chunk_interval each (see storage::partitions).

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
) PARTITION BY RANGE (timestamp);

CREATE INDEX metrics_tenant_asset_time ON metrics (tenant_id, asset_id, metric_name, timestamp DESC);
-- Readers of one asset who name no tenant.
CREATE INDEX metrics_asset_time ON metrics (asset_id, metric_name, timestamp DESC);
-- A tenant's minutes, for the jobs; a stretch of time whatever the tenant, for the rollups.
CREATE INDEX metrics_tenant_time ON metrics (tenant_id, timestamp DESC);
CREATE INDEX metrics_time_brin ON metrics USING brin (timestamp) WITH (pages_per_range = 32);

GRANT INSERT ON metrics TO tidegate_writer;
GRANT SELECT ON metrics TO tidegate_reader;
