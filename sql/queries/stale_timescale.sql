-- Where a continuous aggregate lags behind its rows, for how many days the tenant keeps those, and up to when it is stored. $1
-- the level, $2 and $3 the range in microseconds since 1970, $4 the tenant. One row at least, its bounds null when nothing lags.
--
-- TimescaleDB notes what was written below the threshold of refreshes: first for the hypertable, from where a refresh takes
-- it over for each aggregate, and while it is at work for the ranges that it recomputes. A range leaves the last of them in
-- the transaction that brings the buckets. One statement sees one moment of all three. What is at or above the watermark
-- is computed from rows by the aggregate itself.
WITH level AS (
    SELECT c.mat_hypertable_id, c.raw_hypertable_id, w.watermark
    FROM _timescaledb_catalog.continuous_agg c
    JOIN _timescaledb_catalog.continuous_aggs_watermark w USING (mat_hypertable_id)
    WHERE c.user_view_schema = 'tidegate' AND c.user_view_name IN ($1, $1 || '_buckets')
), noted AS (
    SELECT n.lowest_modified_value AS low, n.greatest_modified_value AS high
    FROM level l JOIN _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log n ON n.hypertable_id = l.raw_hypertable_id
    UNION ALL
    SELECT n.lowest_modified_value, n.greatest_modified_value
    FROM level l JOIN _timescaledb_catalog.continuous_aggs_materialization_invalidation_log n ON n.materialization_id = l.mat_hypertable_id
    UNION ALL
    SELECT n.lowest_modified_value, n.greatest_modified_value
    FROM level l JOIN _timescaledb_catalog.continuous_aggs_materialization_ranges n ON n.materialization_id = l.mat_hypertable_id
), lagging AS (
    -- Both bounds are part of what was noted, and stand for infinity where they are as far as they can be.
    SELECT range_agg(int8range(greatest(n.low, $2), least(n.high, $3 - 1, l.watermark - 1), '[]')) AS pieces
    FROM noted n CROSS JOIN level l
    WHERE n.high >= $2 AND n.low < least($3, l.watermark) AND $2 < least($3, l.watermark)
)
SELECT o.events_retention_days, o.metrics_retention_days, lower(p.piece), upper(p.piece), (SELECT watermark FROM level)
FROM (SELECT max(events_retention_days) AS events_retention_days, max(metrics_retention_days) AS metrics_retention_days
      FROM organizations WHERE tenant_id = $4) o
LEFT JOIN (SELECT unnest(pieces) AS piece FROM lagging) p ON true
