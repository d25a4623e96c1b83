-- Where a rollup lags behind its rows, for how many days the tenant keeps those, and up to when it is stored. $1 the level, $2
-- and $3 the range in microseconds since 1970, $4 the tenant. One row at least, its bounds null when nothing lags.
--
-- What was written is noted in the queue by its own transaction, then as a bucket that is dirty, and a bucket is clean again
-- in the transaction that recomputes it. One statement sees one moment of both.
WITH level AS (
    SELECT level, width, source AS kind
    FROM rollup_levels WHERE level = $1
), noted AS (
    SELECT d.bucket AS at FROM level l JOIN rollup_dirty d USING (level) WHERE d.tenant_id = $4
    UNION ALL
    SELECT to_timestamp(minute::bigint * 60)
    FROM level l JOIN touched t USING (kind) CROSS JOIN LATERAL unnest(t.minutes) AS minute WHERE t.tenant_id = $4
), buckets AS (
    SELECT DISTINCT (extract(epoch FROM date_bin(l.width, n.at, TIMESTAMPTZ '1970-01-01 00:00:00+00')) * 1000000)::bigint AS low,
        (extract(epoch FROM l.width) * 1000000)::bigint AS width
    FROM noted n CROSS JOIN level l
), open AS (
    -- What is not closed yet: from a time that the planner sees, which the view of the level could not show it.
    SELECT greatest($2, CASE WHEN isfinite(closed_until) THEN (extract(epoch FROM closed_until) * 1000000)::bigint ELSE $2 END) AS low
    FROM rollup_levels WHERE level = $1
), lagging AS (
    SELECT range_agg(piece) AS pieces FROM (
        SELECT int8range(low, low + width) AS piece FROM buckets WHERE low + width > $2 AND low < $3
        UNION ALL
        SELECT int8range(low, $3) FROM open WHERE low < $3
    ) p
)
SELECT o.events_retention_days, o.metrics_retention_days, lower(p.piece), upper(p.piece), (SELECT low FROM open)
FROM (SELECT max(events_retention_days) AS events_retention_days, max(metrics_retention_days) AS metrics_retention_days
      FROM organizations WHERE tenant_id = $4) o
LEFT JOIN (SELECT unnest(pieces) AS piece FROM lagging) p ON true
