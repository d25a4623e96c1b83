-- What a bucket of metrics is, said once for every reader that computes one from raw samples: the open bucket of a level, a
-- bucket that is made anew, a range that a level no longer keeps. A single SELECT, so that the planner puts it in the place
-- of the call and brings the caller's conditions down to the partitions. The continuous aggregates of the timescale engine
-- have to repeat it (0009); a test compares them number by number.
--
-- Every level is computed from raw samples, none from another. Summaries count with their weight in count, sum, average,
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
    sum(m.value_count)::bigint,
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
    coalesce(sum(m.value_count) FILTER (WHERE m.value_min IS NOT NULL), 0)::bigint
FROM tidegate.metrics m
WHERE m.timestamp >= from_at AND m.timestamp < to_at
GROUP BY 1, 2, 3, 4, 5
$rollup$;
