-- Series of the metrics of the tenant $1 from $2 up to $3, after the series ($4, $5, $6, $7): the next $8, and their assets. Only what
-- widens is written, in the order of the keys, and new assets up to $9 of the tenant. Returns how many there were, how many
-- were written, the last, and how many new assets were not made.
WITH seen AS MATERIALIZED (
    SELECT asset_id, metric_type, metric_name, series_id, min(timestamp) AS first_seen, max(timestamp) AS last_seen,
        bool_or(dimensions IS NOT NULL AND tidegate.metric_series_id(dimensions) <> series_id)
            FILTER (WHERE series_id = '00000000-0000-0000-0000-000000000000') AS is_stray
    FROM metrics
    WHERE tenant_id = $1 AND timestamp >= $2 AND timestamp < $3
      AND (asset_id, metric_type, metric_name, series_id) > ($4, $5, $6, nullif($7, '')::uuid)
    GROUP BY asset_id, metric_type, metric_name, series_id
    ORDER BY asset_id, metric_type, metric_name, series_id
    LIMIT $8
), fresh AS MATERIALIZED (
    SELECT DISTINCT asset_id FROM seen s
    WHERE NOT EXISTS (SELECT FROM asset_metadata a WHERE a.tenant_id = $1 AND a.asset_id = s.asset_id)
), refused AS MATERIALIZED (
    -- The tenant's assets are counted only where there are new ones.
    SELECT asset_id FROM fresh
    ORDER BY asset_id
    OFFSET CASE WHEN EXISTS (SELECT FROM fresh) THEN
        greatest(0, $9::bigint - (SELECT count(*) FROM asset_metadata WHERE tenant_id = $1)) END
), assets AS (
    INSERT INTO asset_metadata AS a (tenant_id, asset_id, asset_name, first_seen, last_seen)
    SELECT $1, asset_id, asset_id, min(first_seen), max(last_seen) FROM seen
    WHERE asset_id NOT IN (SELECT asset_id FROM refused)
    GROUP BY asset_id ORDER BY asset_id
    ON CONFLICT (tenant_id, asset_id) DO UPDATE SET
        first_seen = least(a.first_seen, excluded.first_seen), last_seen = greatest(a.last_seen, excluded.last_seen),
        updated_at = now()
    WHERE excluded.first_seen < a.first_seen OR excluded.last_seen > a.last_seen
), written AS (
    INSERT INTO metric_series AS c (tenant_id, asset_id, metric_type, metric_name, series_id, dimensions, first_seen, last_seen)
    SELECT $1, s.asset_id, s.metric_type, s.metric_name, s.series_id, coalesce(known.dimensions, d.dimensions), s.first_seen, s.last_seen
    FROM seen s
    LEFT JOIN metric_series known
        ON known.tenant_id = $1 AND known.asset_id = s.asset_id AND known.metric_name = s.metric_name
        AND known.metric_type = s.metric_type AND known.series_id = s.series_id
    LEFT JOIN LATERAL (
        -- Of one that is not there, whose dimensions only its samples tell.
        SELECT tidegate.metric_dimensions(m.dimensions) AS dimensions FROM metrics m
        WHERE known.tenant_id IS NULL AND m.tenant_id = $1 AND m.timestamp >= $2 AND m.timestamp < $3 AND m.asset_id = s.asset_id
          AND m.metric_name = s.metric_name AND m.metric_type = s.metric_type AND m.series_id = s.series_id
        LIMIT 1
    ) d ON true
    -- A write costs more than ten samples do, so that the newest time is let fall behind a little.
    WHERE known.tenant_id IS NULL OR s.first_seen < known.first_seen OR s.last_seen > known.last_seen + INTERVAL '10 minutes'
    ORDER BY s.asset_id, s.metric_name, s.metric_type, s.series_id
    ON CONFLICT (tenant_id, asset_id, metric_name, metric_type, series_id) DO UPDATE SET
        first_seen = least(c.first_seen, excluded.first_seen), last_seen = greatest(c.last_seen, excluded.last_seen)
    RETURNING 1
), strays AS (
    -- Samples of a process from before there were series, that ran on: src/rollup/series.rs gives them theirs.
    INSERT INTO series_pending AS p (from_at, to_at)
    SELECT $2, $3 WHERE EXISTS (SELECT FROM seen WHERE is_stray)
    ON CONFLICT (from_at) DO UPDATE SET to_at = greatest(p.to_at, excluded.to_at)
), last AS (
    SELECT asset_id, metric_type, metric_name, series_id FROM seen ORDER BY 1 DESC, 2 DESC, 3 DESC, 4 DESC LIMIT 1
)
SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM written),
    (SELECT asset_id FROM last), (SELECT metric_type FROM last), (SELECT metric_name FROM last), (SELECT series_id::text FROM last),
    (SELECT count(*) FROM refused)
