-- The levels of metrics by series: a bucket that was closed before has the series without dimensions, and is made anew from its
-- rows where those are whole (src/rollup/series.rs).

ALTER TABLE metrics_1m_closed
    ADD COLUMN series_id   uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN first_value double precision,
    ADD COLUMN last_value  double precision,
    ADD COLUMN increase    double precision;
DROP INDEX metrics_1m_tenant;
CREATE INDEX metrics_1m_series ON metrics_1m_closed (tenant_id, asset_id, metric_name, series_id, bucket DESC);
CREATE VIEW metrics_1m_buckets AS
SELECT c.* FROM rollup_levels l JOIN metrics_1m_closed c ON c.bucket < l.closed_until WHERE l.level = 'metrics_1m'
UNION ALL
SELECT r.* FROM rollup_levels l CROSS JOIN LATERAL metrics_rollup(INTERVAL '1 minute', l.closed_until, 'infinity') r
WHERE l.level = 'metrics_1m';

ALTER TABLE metrics_5m_closed
    ADD COLUMN series_id   uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN first_value double precision,
    ADD COLUMN last_value  double precision,
    ADD COLUMN increase    double precision;
DROP INDEX metrics_5m_tenant;
CREATE INDEX metrics_5m_series ON metrics_5m_closed (tenant_id, asset_id, metric_name, series_id, bucket DESC);
CREATE VIEW metrics_5m_buckets AS
SELECT c.* FROM rollup_levels l JOIN metrics_5m_closed c ON c.bucket < l.closed_until WHERE l.level = 'metrics_5m'
UNION ALL
SELECT r.* FROM rollup_levels l CROSS JOIN LATERAL metrics_rollup(INTERVAL '5 minutes', l.closed_until, 'infinity') r
WHERE l.level = 'metrics_5m';

ALTER TABLE metrics_hourly_closed
    ADD COLUMN series_id   uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN first_value double precision,
    ADD COLUMN last_value  double precision,
    ADD COLUMN increase    double precision;
DROP INDEX metrics_hourly_tenant;
CREATE INDEX metrics_hourly_series ON metrics_hourly_closed (tenant_id, asset_id, metric_name, series_id, bucket DESC);
CREATE VIEW metrics_hourly_buckets AS
SELECT c.* FROM rollup_levels l JOIN metrics_hourly_closed c ON c.bucket < l.closed_until WHERE l.level = 'metrics_hourly'
UNION ALL
SELECT r.* FROM rollup_levels l CROSS JOIN LATERAL metrics_rollup(INTERVAL '1 hour', l.closed_until, 'infinity') r
WHERE l.level = 'metrics_hourly';

ALTER TABLE metrics_daily_closed
    ADD COLUMN series_id   uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN first_value double precision,
    ADD COLUMN last_value  double precision,
    ADD COLUMN increase    double precision;
DROP INDEX metrics_daily_tenant;
CREATE INDEX metrics_daily_series ON metrics_daily_closed (tenant_id, asset_id, metric_name, series_id, bucket DESC);
CREATE VIEW metrics_daily_buckets AS
SELECT c.* FROM rollup_levels l JOIN metrics_daily_closed c ON c.bucket < l.closed_until WHERE l.level = 'metrics_daily'
UNION ALL
SELECT r.* FROM rollup_levels l CROSS JOIN LATERAL metrics_rollup(INTERVAL '1 day', l.closed_until, 'infinity') r
WHERE l.level = 'metrics_daily';

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
