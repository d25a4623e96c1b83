-- The levels of metrics by series: a bucket that was closed before has the series without dimensions, and is recomputed from
-- its rows where those are whole (src/rollup/series.rs).

DO $levels$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT * FROM (VALUES
            ('metrics_1m', '1 minute'), ('metrics_5m', '5 minutes'), ('metrics_hourly', '1 hour'), ('metrics_daily', '1 day')
        ) AS l (level, width)
    LOOP
        EXECUTE format($add$
            ALTER TABLE %I
                ADD COLUMN series_id   uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
                ADD COLUMN first_value double precision,
                ADD COLUMN last_value  double precision,
                ADD COLUMN increase    double precision
            $add$, found.level || '_closed');
        EXECUTE format('DROP INDEX %I', found.level || '_tenant');
        EXECUTE format('CREATE INDEX %I ON %I (tenant_id, asset_id, metric_name, series_id, bucket DESC)',
            found.level || '_series', found.level || '_closed');
        EXECUTE format($view$
            CREATE VIEW %1$I AS
            SELECT c.* FROM rollup_levels l JOIN %2$I c ON c.bucket < l.closed_until WHERE l.level = %3$L
            UNION ALL
            SELECT r.* FROM rollup_levels l CROSS JOIN LATERAL metrics_rollup(%4$L, l.closed_until, 'infinity') r
            WHERE l.level = %3$L
            $view$, found.level || '_buckets', found.level || '_closed', found.level, found.width);
    END LOOP;
END
$levels$;

DROP INDEX metrics_tenant_asset_time;
CREATE INDEX metrics_series_time ON metrics (tenant_id, asset_id, metric_name, series_id, timestamp DESC);

-- By hours: no transaction rewrites a whole day.
INSERT INTO series_pending (from_at, to_at)
SELECT DISTINCT hour.at, hour.at + INTERVAL '1 hour'
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \('([^']+)'\) TO \('([^']+)'\)$$) AS bound
CROSS JOIN LATERAL generate_series(date_bin('1 hour', bound[1]::timestamptz, TIMESTAMPTZ '1970-01-01 00:00:00+00'),
    bound[2]::timestamptz - INTERVAL '1 microsecond', INTERVAL '1 hour') AS hour (at)
WHERE i.inhparent = 'metrics'::regclass AND pg_relation_size(c.oid) > 0;

GRANT SELECT ON metrics_1m_buckets, metrics_5m_buckets, metrics_hourly_buckets, metrics_daily_buckets TO tidegate_reader;
