-- Continuous aggregates: the levels of metrics, hourly counts of events, and the groups of events that share a correlation
-- id. Each is real-time: what is not materialized yet is computed from the rows when it is read. Policies that refresh them
-- are set as configured by src/rollup. Chunks are as wide as the partitions of the postgres
-- engine: what expires soon is in days, the rest so that years make some dozens of chunks.
--
-- Every level is computed from raw samples; what its columns mean is said in 0008.

CREATE MATERIALIZED VIEW metrics_1m
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '1 day') AS
SELECT
    public.time_bucket('1 minute', timestamp) AS bucket,
    tenant_id, asset_id, metric_type, metric_name,
    least(sum(value_count), 9223372036854775807)::bigint AS count,
    sum(value_sum) AS sum_value,
    sum(value_sum) / sum(value_count)::double precision AS avg_value,
    min(coalesce(value_min, value_sum)) AS min_value,
    max(coalesce(value_max, value_sum)) AS max_value,
    CASE
        WHEN count(value_min) = 0 THEN stddev_samp(value_sum)
        WHEN count(value_min) = count(value_sumsq) AND sum(value_count) > 1 THEN
            sqrt(greatest(0, (sum(coalesce(value_sumsq, value_sum * value_sum))
                              - sum(value_sum) ^ 2 / sum(value_count)::double precision)
                             / (sum(value_count)::double precision - 1)))
    END AS stddev_value,
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN value_min IS NULL THEN value_sum END))[1] AS p50_value,
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN value_min IS NULL THEN value_sum END))[2] AS p95_value,
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN value_min IS NULL THEN value_sum END))[3] AS p99_value,
    least(coalesce(sum(value_count) FILTER (WHERE value_min IS NOT NULL), 0), 9223372036854775807)::bigint AS summarized_count
FROM metrics
GROUP BY 1, 2, 3, 4, 5
WITH NO DATA;

CREATE MATERIALIZED VIEW metrics_5m
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '1 day') AS
SELECT
    public.time_bucket('5 minutes', timestamp) AS bucket,
    tenant_id, asset_id, metric_type, metric_name,
    least(sum(value_count), 9223372036854775807)::bigint AS count,
    sum(value_sum) AS sum_value,
    sum(value_sum) / sum(value_count)::double precision AS avg_value,
    min(coalesce(value_min, value_sum)) AS min_value,
    max(coalesce(value_max, value_sum)) AS max_value,
    CASE
        WHEN count(value_min) = 0 THEN stddev_samp(value_sum)
        WHEN count(value_min) = count(value_sumsq) AND sum(value_count) > 1 THEN
            sqrt(greatest(0, (sum(coalesce(value_sumsq, value_sum * value_sum))
                              - sum(value_sum) ^ 2 / sum(value_count)::double precision)
                             / (sum(value_count)::double precision - 1)))
    END AS stddev_value,
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN value_min IS NULL THEN value_sum END))[1] AS p50_value,
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN value_min IS NULL THEN value_sum END))[2] AS p95_value,
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN value_min IS NULL THEN value_sum END))[3] AS p99_value,
    least(coalesce(sum(value_count) FILTER (WHERE value_min IS NOT NULL), 0), 9223372036854775807)::bigint AS summarized_count
FROM metrics
GROUP BY 1, 2, 3, 4, 5
WITH NO DATA;

CREATE MATERIALIZED VIEW metrics_hourly
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '30 days') AS
SELECT
    public.time_bucket('1 hour', timestamp) AS bucket,
    tenant_id, asset_id, metric_type, metric_name,
    least(sum(value_count), 9223372036854775807)::bigint AS count,
    sum(value_sum) AS sum_value,
    sum(value_sum) / sum(value_count)::double precision AS avg_value,
    min(coalesce(value_min, value_sum)) AS min_value,
    max(coalesce(value_max, value_sum)) AS max_value,
    CASE
        WHEN count(value_min) = 0 THEN stddev_samp(value_sum)
        WHEN count(value_min) = count(value_sumsq) AND sum(value_count) > 1 THEN
            sqrt(greatest(0, (sum(coalesce(value_sumsq, value_sum * value_sum))
                              - sum(value_sum) ^ 2 / sum(value_count)::double precision)
                             / (sum(value_count)::double precision - 1)))
    END AS stddev_value,
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN value_min IS NULL THEN value_sum END))[1] AS p50_value,
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN value_min IS NULL THEN value_sum END))[2] AS p95_value,
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN value_min IS NULL THEN value_sum END))[3] AS p99_value,
    least(coalesce(sum(value_count) FILTER (WHERE value_min IS NOT NULL), 0), 9223372036854775807)::bigint AS summarized_count
FROM metrics
GROUP BY 1, 2, 3, 4, 5
WITH NO DATA;

CREATE MATERIALIZED VIEW metrics_daily
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '365 days') AS
SELECT
    public.time_bucket('1 day', timestamp) AS bucket,
    tenant_id, asset_id, metric_type, metric_name,
    least(sum(value_count), 9223372036854775807)::bigint AS count,
    sum(value_sum) AS sum_value,
    sum(value_sum) / sum(value_count)::double precision AS avg_value,
    min(coalesce(value_min, value_sum)) AS min_value,
    max(coalesce(value_max, value_sum)) AS max_value,
    CASE
        WHEN count(value_min) = 0 THEN stddev_samp(value_sum)
        WHEN count(value_min) = count(value_sumsq) AND sum(value_count) > 1 THEN
            sqrt(greatest(0, (sum(coalesce(value_sumsq, value_sum * value_sum))
                              - sum(value_sum) ^ 2 / sum(value_count)::double precision)
                             / (sum(value_count)::double precision - 1)))
    END AS stddev_value,
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN value_min IS NULL THEN value_sum END))[1] AS p50_value,
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN value_min IS NULL THEN value_sum END))[2] AS p95_value,
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN value_min IS NULL THEN value_sum END))[3] AS p99_value,
    least(coalesce(sum(value_count) FILTER (WHERE value_min IS NOT NULL), 0), 9223372036854775807)::bigint AS summarized_count
FROM metrics
GROUP BY 1, 2, 3, 4, 5
WITH NO DATA;

CREATE MATERIALIZED VIEW event_counts_hourly
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '30 days') AS
SELECT
    public.time_bucket('1 hour', timestamp) AS bucket,
    tenant_id, source_module, event_type, severity,
    count(*) AS count
FROM events
GROUP BY 1, 2, 3, 4, 5
WITH NO DATA;

-- What the correlation job looks up: where else the events of a correlation id are.
CREATE MATERIALIZED VIEW correlation_groups
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '1 day') AS
SELECT
    public.time_bucket('1 hour', timestamp) AS bucket,
    tenant_id, correlation_id,
    count(*) AS count,
    min(timestamp) AS first_at,
    max(timestamp) AS last_at
FROM events
WHERE correlation_id IS NOT NULL
GROUP BY 1, 2, 3
WITH NO DATA;

CREATE INDEX metrics_1m_tenant ON metrics_1m (tenant_id, asset_id, metric_name, bucket DESC);
CREATE INDEX metrics_1m_asset ON metrics_1m (asset_id, metric_name, bucket DESC);
CREATE INDEX metrics_5m_tenant ON metrics_5m (tenant_id, asset_id, metric_name, bucket DESC);
CREATE INDEX metrics_5m_asset ON metrics_5m (asset_id, metric_name, bucket DESC);
CREATE INDEX metrics_hourly_tenant ON metrics_hourly (tenant_id, asset_id, metric_name, bucket DESC);
CREATE INDEX metrics_hourly_asset ON metrics_hourly (asset_id, metric_name, bucket DESC);
CREATE INDEX metrics_daily_tenant ON metrics_daily (tenant_id, asset_id, metric_name, bucket DESC);
CREATE INDEX metrics_daily_asset ON metrics_daily (asset_id, metric_name, bucket DESC);
CREATE INDEX event_counts_hourly_tenant ON event_counts_hourly (tenant_id, bucket DESC);
CREATE INDEX correlation_groups_tenant ON correlation_groups (tenant_id, correlation_id, bucket DESC);

-- The fine levels have a row for nearly every sample where samples are sparse; hours after they are made they are only read.
ALTER MATERIALIZED VIEW metrics_1m SET (timescaledb.enable_columnstore = true,
    timescaledb.segmentby = 'tenant_id', timescaledb.orderby = 'asset_id, metric_name, bucket DESC');
ALTER MATERIALIZED VIEW metrics_5m SET (timescaledb.enable_columnstore = true,
    timescaledb.segmentby = 'tenant_id', timescaledb.orderby = 'asset_id, metric_name, bucket DESC');

GRANT SELECT ON metrics_1m, metrics_5m, metrics_hourly, metrics_daily, event_counts_hourly, correlation_groups
    TO tidegate_reader;
