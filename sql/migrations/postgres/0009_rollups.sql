-- The same rollups as on the timescale engine, kept by Tidegate (src/rollup): of each level the closed buckets are in a table,
-- partitioned by time like the rows that they are made of; the view of the level's name adds the open ones, computed from
-- the rows when they are read. What its columns mean is said in 0008.

-- Nothing is closed yet but what was over before there were metrics. Events there may be already, when an older version is
-- updated: their buckets are still to be closed from the oldest partition that is not empty, and computed when they are read
-- until then.
UPDATE rollup_levels SET
    closed_until = date_bin(width, now(), TIMESTAMPTZ '1970-01-01 00:00:00+00'),
    noted_before = date_bin(width, now(), TIMESTAMPTZ '1970-01-01 00:00:00+00');

DO $closed$
DECLARE
    part   regclass;
    oldest timestamptz;
BEGIN
    FOR part IN
        SELECT c.oid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \('([^']+)'\)$$) AS bound
        WHERE i.inhparent = 'events'::regclass ORDER BY bound[1]::timestamptz
    LOOP
        EXECUTE format('SELECT min(timestamp) FROM %s', part) INTO oldest;
        EXIT WHEN oldest IS NOT NULL;
    END LOOP;
    UPDATE rollup_levels SET
        closed_until = least(closed_until, date_bin(width, oldest, TIMESTAMPTZ '1970-01-01 00:00:00+00')),
        noted_before = least(noted_before, date_bin(width, oldest, TIMESTAMPTZ '1970-01-01 00:00:00+00'))
    WHERE level NOT LIKE 'metrics%';
END
$closed$;

CREATE TABLE metrics_1m_closed (
    bucket           timestamptz      NOT NULL,
    tenant_id        text             NOT NULL,
    asset_id         text             NOT NULL,
    metric_type      text             NOT NULL,
    metric_name      text             NOT NULL,
    count            bigint           NOT NULL,
    sum_value        double precision,
    avg_value        double precision,
    min_value        double precision,
    max_value        double precision,
    stddev_value     double precision,
    p50_value        double precision,
    p95_value        double precision,
    p99_value        double precision,
    summarized_count bigint           NOT NULL
) PARTITION BY RANGE (bucket);
CREATE INDEX metrics_1m_tenant ON metrics_1m_closed (tenant_id, asset_id, metric_name, bucket DESC);
CREATE INDEX metrics_1m_asset ON metrics_1m_closed (asset_id, metric_name, bucket DESC);
CREATE INDEX metrics_1m_bucket ON metrics_1m_closed (tenant_id, bucket);
CREATE VIEW metrics_1m AS
SELECT c.* FROM rollup_levels l JOIN metrics_1m_closed c ON c.bucket < l.closed_until WHERE l.level = 'metrics_1m'
UNION ALL
SELECT r.* FROM rollup_levels l CROSS JOIN LATERAL metrics_rollup(INTERVAL '1 minute', l.closed_until, 'infinity') r
WHERE l.level = 'metrics_1m';

CREATE TABLE metrics_5m_closed (
    bucket           timestamptz      NOT NULL,
    tenant_id        text             NOT NULL,
    asset_id         text             NOT NULL,
    metric_type      text             NOT NULL,
    metric_name      text             NOT NULL,
    count            bigint           NOT NULL,
    sum_value        double precision,
    avg_value        double precision,
    min_value        double precision,
    max_value        double precision,
    stddev_value     double precision,
    p50_value        double precision,
    p95_value        double precision,
    p99_value        double precision,
    summarized_count bigint           NOT NULL
) PARTITION BY RANGE (bucket);
CREATE INDEX metrics_5m_tenant ON metrics_5m_closed (tenant_id, asset_id, metric_name, bucket DESC);
CREATE INDEX metrics_5m_asset ON metrics_5m_closed (asset_id, metric_name, bucket DESC);
CREATE INDEX metrics_5m_bucket ON metrics_5m_closed (tenant_id, bucket);
CREATE VIEW metrics_5m AS
SELECT c.* FROM rollup_levels l JOIN metrics_5m_closed c ON c.bucket < l.closed_until WHERE l.level = 'metrics_5m'
UNION ALL
SELECT r.* FROM rollup_levels l CROSS JOIN LATERAL metrics_rollup(INTERVAL '5 minutes', l.closed_until, 'infinity') r
WHERE l.level = 'metrics_5m';

CREATE TABLE metrics_hourly_closed (
    bucket           timestamptz      NOT NULL,
    tenant_id        text             NOT NULL,
    asset_id         text             NOT NULL,
    metric_type      text             NOT NULL,
    metric_name      text             NOT NULL,
    count            bigint           NOT NULL,
    sum_value        double precision,
    avg_value        double precision,
    min_value        double precision,
    max_value        double precision,
    stddev_value     double precision,
    p50_value        double precision,
    p95_value        double precision,
    p99_value        double precision,
    summarized_count bigint           NOT NULL
) PARTITION BY RANGE (bucket);
CREATE INDEX metrics_hourly_tenant ON metrics_hourly_closed (tenant_id, asset_id, metric_name, bucket DESC);
CREATE INDEX metrics_hourly_asset ON metrics_hourly_closed (asset_id, metric_name, bucket DESC);
CREATE INDEX metrics_hourly_bucket ON metrics_hourly_closed (tenant_id, bucket);
CREATE VIEW metrics_hourly AS
SELECT c.* FROM rollup_levels l JOIN metrics_hourly_closed c ON c.bucket < l.closed_until WHERE l.level = 'metrics_hourly'
UNION ALL
SELECT r.* FROM rollup_levels l CROSS JOIN LATERAL metrics_rollup(INTERVAL '1 hour', l.closed_until, 'infinity') r
WHERE l.level = 'metrics_hourly';

CREATE TABLE metrics_daily_closed (
    bucket           timestamptz      NOT NULL,
    tenant_id        text             NOT NULL,
    asset_id         text             NOT NULL,
    metric_type      text             NOT NULL,
    metric_name      text             NOT NULL,
    count            bigint           NOT NULL,
    sum_value        double precision,
    avg_value        double precision,
    min_value        double precision,
    max_value        double precision,
    stddev_value     double precision,
    p50_value        double precision,
    p95_value        double precision,
    p99_value        double precision,
    summarized_count bigint           NOT NULL
) PARTITION BY RANGE (bucket);
CREATE INDEX metrics_daily_tenant ON metrics_daily_closed (tenant_id, asset_id, metric_name, bucket DESC);
CREATE INDEX metrics_daily_asset ON metrics_daily_closed (asset_id, metric_name, bucket DESC);
CREATE INDEX metrics_daily_bucket ON metrics_daily_closed (tenant_id, bucket);
CREATE VIEW metrics_daily AS
SELECT c.* FROM rollup_levels l JOIN metrics_daily_closed c ON c.bucket < l.closed_until WHERE l.level = 'metrics_daily'
UNION ALL
SELECT r.* FROM rollup_levels l CROSS JOIN LATERAL metrics_rollup(INTERVAL '1 day', l.closed_until, 'infinity') r
WHERE l.level = 'metrics_daily';

CREATE TABLE event_counts_hourly_closed (
    bucket        timestamptz NOT NULL,
    tenant_id     text        NOT NULL,
    source_module text        NOT NULL,
    event_type    text        NOT NULL,
    severity      text        NOT NULL,
    count         bigint      NOT NULL
) PARTITION BY RANGE (bucket);
CREATE INDEX event_counts_hourly_tenant ON event_counts_hourly_closed (tenant_id, bucket DESC);

CREATE VIEW event_counts_hourly AS
SELECT c.* FROM rollup_levels l JOIN event_counts_hourly_closed c ON c.bucket < l.closed_until
WHERE l.level = 'event_counts_hourly'
UNION ALL
SELECT r.* FROM rollup_levels l CROSS JOIN LATERAL event_counts_rollup(l.closed_until, 'infinity') r
WHERE l.level = 'event_counts_hourly';

-- What the correlation job looks up: where else the events of a correlation id are.
CREATE TABLE correlation_groups_closed (
    bucket         timestamptz NOT NULL,
    tenant_id      text        NOT NULL,
    correlation_id uuid        NOT NULL,
    count          bigint      NOT NULL,
    first_at       timestamptz NOT NULL,
    last_at        timestamptz NOT NULL
) PARTITION BY RANGE (bucket);
CREATE INDEX correlation_groups_tenant ON correlation_groups_closed (tenant_id, correlation_id, bucket DESC);
CREATE INDEX correlation_groups_bucket ON correlation_groups_closed (tenant_id, bucket);

CREATE VIEW correlation_groups AS
SELECT c.* FROM rollup_levels l JOIN correlation_groups_closed c ON c.bucket < l.closed_until
WHERE l.level = 'correlation_groups'
UNION ALL
SELECT r.* FROM rollup_levels l CROSS JOIN LATERAL correlation_groups_rollup(l.closed_until, 'infinity') r
WHERE l.level = 'correlation_groups';

-- Reads that know where a level is closed take its table alone: a view's open part plans every partition there is.
GRANT SELECT ON metrics_1m_closed, metrics_5m_closed, metrics_hourly_closed, metrics_daily_closed,
    event_counts_hourly_closed, metrics_1m, metrics_5m, metrics_hourly, metrics_daily, event_counts_hourly, correlation_groups,
    rollup_levels, rollup_dirty TO tidegate_reader;
