-- The levels of metrics by series, on TimescaleDB: new continuous aggregates beside those of 0009, which 0023 drops. Buckets that
-- begin where everybody's raw rows are whole are made from the rows, as of any level that is new; those before are copied,
-- into the series without dimensions: that is all that was known of them.

-- Taken by new COPYs, and by chunks when they are compressed again. With the series in it a compacted sample of one of
-- several series takes 11.6 bytes instead of 19.6.
ALTER TABLE metrics SET (timescaledb.orderby = 'asset_id, metric_name, series_id, timestamp DESC');

DO $levels$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT * FROM (VALUES
            ('metrics_1m', '1 minute', '1 day'), ('metrics_5m', '5 minutes', '1 day'),
            ('metrics_hourly', '1 hour', '30 days'), ('metrics_daily', '1 day', '365 days')
        ) AS l (level, width, chunk)
    LOOP
        EXECUTE format($view$
            CREATE MATERIALIZED VIEW %1$I
            WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false,
                timescaledb.chunk_interval = %3$L) AS
            SELECT
                public.time_bucket(%2$L, timestamp) AS bucket,
                tenant_id, asset_id, metric_type, metric_name,
                least(sum(value_count), 9223372036854775807)::bigint AS count,
                sum(value_sum) AS sum_value,
                sum(value_sum) / sum(value_count)::double precision AS avg_value,
                min(coalesce(value_min, value_sum)) AS min_value,
                max(coalesce(value_max, value_sum)) AS max_value,
                CASE WHEN count(value_min) = count(value_m2) THEN
                    stddev_merge(ARRAY[value_count::double precision, value_sum, coalesce(value_m2, 0)]) END AS stddev_value,
                (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN value_min IS NULL THEN value_sum END))[1] AS p50_value,
                (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN value_min IS NULL THEN value_sum END))[2] AS p95_value,
                (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN value_min IS NULL THEN value_sum END))[3] AS p99_value,
                least(coalesce(sum(value_count) FILTER (WHERE value_min IS NOT NULL), 0), 9223372036854775807)::bigint AS summarized_count,
                series_id,
                (counter_span(value_sum ORDER BY timestamp, batch_id, batch_seq)
                    FILTER (WHERE metric_type = 'counter' AND value_min IS NULL))[1] AS first_value,
                (counter_span(value_sum ORDER BY timestamp, batch_id, batch_seq)
                    FILTER (WHERE metric_type = 'counter' AND value_min IS NULL))[2] AS last_value,
                (counter_span(value_sum ORDER BY timestamp, batch_id, batch_seq)
                    FILTER (WHERE metric_type = 'counter' AND value_min IS NULL))[3] AS increase
            FROM metrics
            GROUP BY 1, 2, 3, 4, 5, series_id
            WITH NO DATA
            $view$, found.level || '_buckets', found.width, found.chunk);
        EXECUTE format('CREATE INDEX %I ON %I (tenant_id, asset_id, metric_name, series_id, bucket DESC)',
            found.level || '_series', found.level || '_buckets');
        EXECUTE format('CREATE INDEX %I ON %I (asset_id, metric_name, bucket DESC)',
            found.level || '_assets', found.level || '_buckets');
    END LOOP;
END
$levels$;

ALTER MATERIALIZED VIEW metrics_1m_buckets SET (timescaledb.enable_columnstore = true,
    timescaledb.segmentby = 'tenant_id', timescaledb.orderby = 'asset_id, metric_name, series_id, bucket DESC');
ALTER MATERIALIZED VIEW metrics_5m_buckets SET (timescaledb.enable_columnstore = true,
    timescaledb.segmentby = 'tenant_id', timescaledb.orderby = 'asset_id, metric_name, series_id, bucket DESC');

-- The buckets to be refreshed by 0022; 0023 drops it.
CREATE TABLE series_marks (
    level  text        PRIMARY KEY,
    bucket timestamptz NOT NULL,
    width  interval    NOT NULL
);

DO $copy$
DECLARE
    -- Since when everybody's raw rows are whole; null: nothing has expired.
    whole CONSTANT timestamptz := (SELECT max(floor) FROM rollup_floors WHERE source = 'metrics');
    found record;
    until timestamptz;
    first timestamptz;
BEGIN
    FOR found IN
        SELECT l.level, l.width, format('%I.%I', o.materialization_hypertable_schema, o.materialization_hypertable_name) AS old,
            format('%I.%I', n.materialization_hypertable_schema, n.materialization_hypertable_name) AS new
        FROM rollup_levels l
        JOIN timescaledb_information.continuous_aggregates o ON o.view_schema = 'tidegate' AND o.view_name = l.level
        JOIN timescaledb_information.continuous_aggregates n
            ON n.view_schema = 'tidegate' AND n.view_name = l.level || '_buckets'
    LOOP
        -- The bucket that the floor cuts through has lost rows already.
        until := date_bin(found.width, whole + found.width - INTERVAL '1 microsecond', TIMESTAMPTZ '1970-01-01 00:00:00+00');
        EXECUTE format($insert$
            INSERT INTO %s (bucket, tenant_id, asset_id, metric_type, metric_name, count, sum_value, avg_value, min_value,
                max_value, stddev_value, p50_value, p95_value, p99_value, summarized_count, series_id)
            SELECT bucket, tenant_id, asset_id, metric_type, metric_name, count, sum_value, avg_value, min_value,
                max_value, stddev_value, p50_value, p95_value, p99_value, summarized_count,
                '00000000-0000-0000-0000-000000000000'
            FROM %s WHERE bucket < $1
            $insert$, found.new, found.old) USING until;
        EXECUTE format('SELECT min(bucket) - $1 FROM %s', found.new) INTO first USING found.width;
        IF first IS NOT NULL THEN
            -- A bucket of nobody before all others: once TimescaleDB has refreshed it, that is, deleted it, the watermark stands
            -- behind those that are there. Without a watermark none of them would be seen.
            EXECUTE format($insert$
                INSERT INTO %s (bucket, tenant_id, asset_id, metric_type, metric_name, count, summarized_count, series_id)
                VALUES ($1, '', '', '', '', 0, 0, '00000000-0000-0000-0000-000000000000')
                $insert$, found.new) USING first;
            INSERT INTO series_marks VALUES (found.level, first, found.width);
        END IF;
        -- Of tenants whose rows are whole for longer than those of others, what was copied is recomputed from them.
        EXECUTE format($dirty$
            INSERT INTO rollup_dirty (level, bucket, tenant_id)
            SELECT DISTINCT $1, b.bucket, b.tenant_id FROM %s b
            WHERE b.tenant_id <> '' AND b.bucket >= (SELECT max(floor) FROM rollup_floors f
                WHERE f.source = 'metrics' AND f.tenant_id IN ('', b.tenant_id))
            ON CONFLICT DO NOTHING
            $dirty$, found.new) USING found.level;
        -- Nothing of the new ones is refreshed yet: no raw row goes before it is in them.
        UPDATE rollup_levels SET closed_until = coalesce(until, '-infinity'), noted_before = '-infinity', refreshed_at = NULL
        WHERE level = found.level;
    END LOOP;
END
$copy$;

INSERT INTO series_pending (from_at, to_at)
SELECT range_start, max(range_end) FROM timescaledb_information.chunks
WHERE hypertable_schema = 'tidegate' AND hypertable_name = 'metrics'
GROUP BY range_start;

GRANT SELECT ON metrics_1m_buckets, metrics_5m_buckets, metrics_hourly_buckets, metrics_daily_buckets TO tidegate_reader;
