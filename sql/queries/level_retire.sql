-- The level $1, of the aggregate $2, is no longer refreshed: it is closed up to its watermark, and late rows before that are noted. The number
-- is what TimescaleDB has for a watermark that was never set.
UPDATE rollup_levels l SET noted_before = w.at, closed_until = w.at
FROM (
    SELECT CASE WHEN internal > -210866803200000000 THEN _timescaledb_functions.to_timestamp(internal)
           ELSE '-infinity' END AS at
    FROM (
        SELECT _timescaledb_functions.cagg_watermark(mat_hypertable_id) AS internal
        FROM _timescaledb_catalog.continuous_agg
        WHERE user_view_schema = 'tidegate' AND user_view_name = $2::text
    ) i
) w
WHERE l.level = $1
