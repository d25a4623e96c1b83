-- A series is what its sender says it is: tenant, asset, type, name, and dimensions. Processes of earlier versions must be
-- stopped before: their samples would have no series.

-- What of a sample's stored dimensions makes its series: the dimensions as they were sent. Top-level fields that Tidegate does
-- not know are kept beside them, in `extra`, and a dimension of that name then in `extra.dimensions`
-- (src/wire/metric/encode.rs).
CREATE FUNCTION metric_dimensions(dimensions jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $dimensions$
SELECT CASE
    WHEN dimensions IS NULL THEN '{}'::jsonb
    WHEN jsonb_typeof(dimensions -> 'extra') = 'object'
        THEN (dimensions - 'extra') || coalesce(dimensions #> '{extra,dimensions}', '{}'::jsonb)
    ELSE dimensions
END
$dimensions$;

-- The first 128 bits of the SHA-256 of the dimensions as jsonb writes them: keys sorted, numbers and strings in one spelling.
-- src/wire/metric/series.rs computes the same. None: a constant. (jsonb's text is valid UTF-8; as bytea, but for the backslash.)
CREATE FUNCTION metric_series_id(dimensions jsonb) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $series$
SELECT CASE WHEN own = '{}'::jsonb THEN '00000000-0000-0000-0000-000000000000'::uuid
       ELSE encode(substr(sha256(replace(own::text, '\', '\\')::bytea), 1, 16), 'hex')::uuid END
FROM (SELECT tidegate.metric_dimensions(dimensions) AS own) d
$series$;

-- The deviation of all values (of a sample: n - 1) behind rows that each say their count, their sum, and their squares around
-- the mean: merged pairwise, without the cancellation that a sum of squares has. ARRAY[count, sum, m2], no element null.
CREATE AGGREGATE stddev_merge (double precision[]) (
    SFUNC = float8_combine, STYPE = double precision[], INITCOND = '{0,0,0}',
    COMBINEFUNC = float8_combine, FINALFUNC = float8_stddev_samp, PARALLEL = SAFE
);

-- A counter only grows; where it is smaller than before it began again from zero.
CREATE FUNCTION counter_step(state double precision[], value double precision) RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $counter$
SELECT CASE
    WHEN state IS NULL THEN ARRAY[value, value, 0]
    WHEN value >= state[2] THEN ARRAY[state[1], value, state[3] + (value - state[2])]
    ELSE ARRAY[state[1], value, state[3] + value]
END
$counter$;

-- First value, last value, and increase of a counter's values, which are to be given in order.
CREATE AGGREGATE counter_span (double precision) (
    SFUNC = counter_step, STYPE = double precision[], PARALLEL = SAFE
);

ALTER TABLE metrics
    ADD COLUMN series_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    -- Of a summary: the squares of its values around their mean, if its sender knew the spread. Instead of value_sumsq, in which
    -- large values cancel out; that stays for rows that src/rollup/series.rs has not been through yet.
    ADD COLUMN value_m2 double precision;

-- What a bucket is, as in 0008, but of a series: see there. stddev_value is null where a summary does not tell its spread.
-- first_value, last_value and increase are those of a counter's samples within the bucket, null of other types.
ALTER FUNCTION metrics_rollup(interval, timestamptz, timestamptz) RENAME TO metrics_rollup_before;

CREATE FUNCTION metrics_rollup(width interval, from_at timestamptz, to_at timestamptz)
RETURNS TABLE (
    bucket timestamptz, tenant_id text, asset_id text, metric_type text, metric_name text, count bigint,
    sum_value double precision, avg_value double precision, min_value double precision, max_value double precision,
    stddev_value double precision, p50_value double precision, p95_value double precision, p99_value double precision,
    summarized_count bigint, series_id uuid, first_value double precision, last_value double precision, increase double precision
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
    CASE WHEN count(m.value_min) = count(m.value_m2) THEN
        tidegate.stddev_merge(ARRAY[m.value_count::double precision, m.value_sum, coalesce(m.value_m2, 0)]) END,
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN m.value_min IS NULL THEN m.value_sum END))[1],
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN m.value_min IS NULL THEN m.value_sum END))[2],
    (percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY CASE WHEN m.value_min IS NULL THEN m.value_sum END))[3],
    least(coalesce(sum(m.value_count) FILTER (WHERE m.value_min IS NOT NULL), 0), 9223372036854775807)::bigint,
    m.series_id,
    (tidegate.counter_span(m.value_sum ORDER BY m.timestamp, m.batch_id, m.batch_seq)
        FILTER (WHERE m.metric_type = 'counter' AND m.value_min IS NULL))[1],
    (tidegate.counter_span(m.value_sum ORDER BY m.timestamp, m.batch_id, m.batch_seq)
        FILTER (WHERE m.metric_type = 'counter' AND m.value_min IS NULL))[2],
    (tidegate.counter_span(m.value_sum ORDER BY m.timestamp, m.batch_id, m.batch_seq)
        FILTER (WHERE m.metric_type = 'counter' AND m.value_min IS NULL))[3]
FROM tidegate.metrics m
WHERE m.timestamp >= from_at AND m.timestamp < to_at
GROUP BY 1, 2, 3, 4, 5, m.series_id
$rollup$;

-- The series that there are. A row commits with its series' first sample; last_seen is written when it is some minutes behind.
CREATE TABLE metric_series (
    tenant_id   text        NOT NULL,
    asset_id    text        NOT NULL,
    metric_type text        NOT NULL,
    metric_name text        NOT NULL,
    series_id   uuid        NOT NULL,
    -- As they were sent, {} where there are none.
    dimensions  jsonb       NOT NULL,
    first_seen  timestamptz NOT NULL,
    last_seen   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, asset_id, metric_name, metric_type, series_id)
) WITH (fillfactor = 80);
CREATE INDEX metric_series_name ON metric_series (tenant_id, metric_name, asset_id, metric_type, series_id);
-- Finds series by their dimensions.
CREATE INDEX metric_series_dimensions ON metric_series USING gin (dimensions jsonb_path_ops);

-- Of what was stored before, the dimensions are found by src/rollup/series.rs.
INSERT INTO metric_series (tenant_id, asset_id, metric_type, metric_name, series_id, dimensions, first_seen, last_seen)
SELECT tenant_id, asset_id, metric_type, metric_name, '00000000-0000-0000-0000-000000000000', '{}', first_seen, last_seen
FROM metric_catalog ORDER BY tenant_id, asset_id, metric_name, metric_type;

DROP TABLE metric_catalog;
CREATE VIEW metric_catalog AS
SELECT tenant_id, asset_id, metric_type, metric_name, min(first_seen) AS first_seen, max(last_seen) AS last_seen
FROM metric_series
GROUP BY tenant_id, asset_id, metric_type, metric_name;

-- Stretches of time whose raw rows are from before: src/rollup/series.rs goes through them, and takes each away when it is done.
CREATE TABLE series_pending (
    from_at timestamptz PRIMARY KEY,
    to_at   timestamptz NOT NULL
);

GRANT SELECT ON metric_series, metric_catalog TO tidegate_reader;
GRANT SELECT, INSERT ON metric_series TO tidegate_writer;
