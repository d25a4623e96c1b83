-- Series of the metrics of the tenant $1 from $2 up to $3, after the series ($4, $5, $6): the next $7, and their assets. Only what
-- widens is written, in the order of the keys, and new assets up to $8 of the tenant. Returns how many there were, how many
-- were written, the last, and how many new assets were not made.
WITH seen AS MATERIALIZED (
    SELECT asset_id, metric_type, metric_name, min(timestamp) AS first_seen, max(timestamp) AS last_seen
    FROM metrics
    WHERE tenant_id = $1 AND timestamp >= $2 AND timestamp < $3 AND (asset_id, metric_type, metric_name) > ($4, $5, $6)
    GROUP BY asset_id, metric_type, metric_name
    ORDER BY asset_id, metric_type, metric_name
    LIMIT $7
), fresh AS MATERIALIZED (
    SELECT DISTINCT asset_id FROM seen s
    WHERE NOT EXISTS (SELECT FROM asset_metadata a WHERE a.tenant_id = $1 AND a.asset_id = s.asset_id)
), refused AS MATERIALIZED (
    -- The tenant's assets are counted only where there are new ones.
    SELECT asset_id FROM fresh
    ORDER BY asset_id
    OFFSET CASE WHEN EXISTS (SELECT FROM fresh) THEN
        greatest(0, $8::bigint - (SELECT count(*) FROM asset_metadata WHERE tenant_id = $1)) END
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
    INSERT INTO metric_catalog AS c (tenant_id, asset_id, metric_type, metric_name, first_seen, last_seen)
    SELECT $1, asset_id, metric_type, metric_name, first_seen, last_seen FROM seen
    ORDER BY asset_id, metric_name, metric_type
    ON CONFLICT (tenant_id, asset_id, metric_name, metric_type) DO UPDATE SET
        first_seen = least(c.first_seen, excluded.first_seen), last_seen = greatest(c.last_seen, excluded.last_seen)
    WHERE excluded.first_seen < c.first_seen OR excluded.last_seen > c.last_seen
    RETURNING 1
), last AS (
    SELECT asset_id, metric_type, metric_name FROM seen ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT 1
)
SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM written),
    (SELECT asset_id FROM last), (SELECT metric_type FROM last), (SELECT metric_name FROM last), (SELECT count(*) FROM refused)
