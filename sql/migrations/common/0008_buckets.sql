-- What a bucket is, said once for everybody who computes one from rows: the open bucket of a level, a bucket that is made
-- anew, a range that a level does not keep. Each is a single SELECT, so that the planner puts it in the place of the call and
-- brings the caller's conditions down to the partitions. The continuous aggregates of the timescale engine have to repeat
-- them (0009); a test compares them number by number.
--
-- Every level of metrics is computed from raw samples, none from another. Summaries count with their weight in count, sum, average,
-- minimum, maximum and standard deviation (of a sample: n - 1); the values behind them are not known, so that percentiles
-- are of raw samples alone, and summarized_count says how many values those leave out. The deviation is null where a
-- summary does not tell its spread. Percentiles are nearest-rank (percentile_disc): each is a value that was measured.

CREATE FUNCTION metrics_rollup(width interval, from_at timestamptz, to_at timestamptz)
RETURNS TABLE (
    bucket timestamptz, tenant_id text, asset_id text, metric_type text, metric_name text, count bigint,
    sum_value double precision, avg_value double precision, min_value double precision, max_value double precision,
    stddev_value double precision, p50_value double precision, p95_value double precision, p99_value double precision,
    summarized_count bigint
)
LANGUAGE sql STABLE PARALLEL SAFE
AS $rollup$
SELECT
    date_bin(width, m.timestamp, TIMESTAMPTZ '1970-01-01 00:00:00+00'),
    m.tenant_id, m.asset_id, m.metric_type, m.metric_name,
    least(sum(m.value_count), 9223372036854775807)::bigint,
    sum(m.value_sum),
    sum(m.value_sum) / sum(m.value_count)::double precision,
    min(coalesce(m.value_min, m.value_sum)),
    max(coalesce(m.value_max, m.value_sum)),
    CASE
        -- Of raw samples alone, by the method that large values do not upset.
        WHEN count(m.value_min) = 0 THEN stddev_samp(m.value_sum)
        WHEN count(m.value_min) = count(m.value_sumsq) AND sum(m.value_count) > 1 THEN
            sqrt(greatest(0, (sum(coalesce(m.value_sumsq, m.value_sum * m.value_sum))
                              - sum(m.value_sum) ^ 2 / sum(m.value_count)::double precision)
                             / (sum(m.value_count)::double precision - 1)))
    END,
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN m.value_min IS NULL THEN m.value_sum END))[1],
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN m.value_min IS NULL THEN m.value_sum END))[2],
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN m.value_min IS NULL THEN m.value_sum END))[3],
    least(coalesce(sum(m.value_count) FILTER (WHERE m.value_min IS NOT NULL), 0), 9223372036854775807)::bigint
FROM tidegate.metrics m
WHERE m.timestamp >= from_at AND m.timestamp < to_at
GROUP BY 1, 2, 3, 4, 5
$rollup$;

CREATE FUNCTION event_counts_rollup(from_at timestamptz, to_at timestamptz)
RETURNS TABLE (bucket timestamptz, tenant_id text, source_module text, event_type text, severity text, count bigint)
LANGUAGE sql STABLE PARALLEL SAFE
AS $rollup$
SELECT date_bin(INTERVAL '1 hour', e.timestamp, TIMESTAMPTZ '1970-01-01 00:00:00+00'),
    e.tenant_id, e.source_module, e.event_type, e.severity, count(*)
FROM tidegate.events e
WHERE e.timestamp >= from_at AND e.timestamp < to_at
GROUP BY 1, 2, 3, 4, 5
$rollup$;

CREATE FUNCTION correlation_groups_rollup(from_at timestamptz, to_at timestamptz)
RETURNS TABLE (bucket timestamptz, tenant_id text, correlation_id uuid, count bigint, first_at timestamptz, last_at timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE
AS $rollup$
SELECT date_bin(INTERVAL '1 hour', e.timestamp, TIMESTAMPTZ '1970-01-01 00:00:00+00'),
    e.tenant_id, e.correlation_id, count(*), min(e.timestamp), max(e.timestamp)
FROM tidegate.events e
WHERE e.timestamp >= from_at AND e.timestamp < to_at AND e.correlation_id IS NOT NULL
GROUP BY 1, 2, 3
$rollup$;

-- What is known of each level.
CREATE TABLE rollup_levels (
    level        text        PRIMARY KEY,
    width        interval    NOT NULL,
    -- Buckets that begin before this are closed: on the postgres engine they are in the level's table, on the timescale engine
    -- a refresh has got so far. -infinity: none yet.
    closed_until timestamptz NOT NULL DEFAULT '-infinity',
    -- A bucket that begins before this and is touched is noted in rollup_dirty. On the postgres engine it is moved before
    -- closed_until is, so that no row is missed that is committed while a bucket closes; on the timescale engine it is where
    -- the refreshes begin to look.
    noted_before timestamptz NOT NULL DEFAULT '-infinity',
    -- When the last refresh began that ended well (timescale engine).
    refreshed_at timestamptz
);

INSERT INTO rollup_levels (level, width) VALUES
    ('metrics_1m', INTERVAL '1 minute'), ('metrics_5m', INTERVAL '5 minutes'), ('metrics_hourly', INTERVAL '1 hour'),
    ('metrics_daily', INTERVAL '1 day'), ('event_counts_hourly', INTERVAL '1 hour'), ('correlation_groups', INTERVAL '1 hour');

-- Closed buckets that were touched afterwards and are to be made anew.
CREATE TABLE rollup_dirty (
    level     text        NOT NULL,
    bucket    timestamptz NOT NULL,
    tenant_id text        NOT NULL,
    since     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (level, bucket, tenant_id)
);
ALTER TABLE rollup_dirty SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- Raw rows before this may be gone, so that no bucket before it is made anew: for everybody where tenant_id is empty, and for
-- organizations that keep theirs shorter. It never moves back, however long retention is made afterwards. Rows are deleted
-- only before it.
CREATE TABLE rollup_floors (
    source    text        NOT NULL CHECK (source IN ('events', 'metrics')),
    tenant_id text        NOT NULL,
    floor     timestamptz NOT NULL,
    PRIMARY KEY (source, tenant_id)
);

-- Readers ask where a rollup lags.
GRANT SELECT ON rollup_levels, rollup_dirty TO tidegate_reader;
