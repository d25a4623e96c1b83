-- The levels by their names, with the dimensions of each series. The catalog is joined on its whole key, so that the planner leaves
-- it out where dimensions are not asked for.
DO $levels$
DECLARE
    level text;
BEGIN
    FOREACH level IN ARRAY ARRAY['metrics_1m', 'metrics_5m', 'metrics_hourly', 'metrics_daily'] LOOP
        EXECUTE format('DROP MATERIALIZED VIEW %I', level);
        EXECUTE format($view$
            CREATE VIEW %I AS
            SELECT b.*, s.dimensions
            FROM %I b
            LEFT JOIN metric_series s
                ON s.tenant_id = b.tenant_id AND s.asset_id = b.asset_id AND s.metric_name = b.metric_name
                AND s.metric_type = b.metric_type AND s.series_id = b.series_id
            $view$, level, level || '_buckets');
        EXECUTE format('GRANT SELECT ON %I TO tidegate_reader', level);
    END LOOP;
END
$levels$;

DROP FUNCTION metrics_rollup_before(interval, timestamptz, timestamptz);
DROP TABLE series_marks;
