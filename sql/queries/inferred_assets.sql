-- Assets of the events of the tenant $1 from $2 up to $3, after the asset $4: the next $8 ($5 to $7 are for inferred_series.sql). Only
-- what widens is written, in the order of the key, and new ones up to $9 of the tenant. Returns how many there were, how many
-- were written, the last, and how many new ones were not made.
WITH seen AS MATERIALIZED (
    SELECT asset_id, min(timestamp) AS first_seen, max(timestamp) AS last_seen
    FROM events
    WHERE tenant_id = $1 AND timestamp >= $2 AND timestamp < $3 AND asset_id > $4 AND ($5::text, $6::text) = ($7::text, $7::text)
    GROUP BY asset_id
    ORDER BY asset_id
    LIMIT $8
), fresh AS MATERIALIZED (
    SELECT asset_id FROM seen s
    WHERE NOT EXISTS (SELECT FROM asset_metadata a WHERE a.tenant_id = $1 AND a.asset_id = s.asset_id)
), refused AS MATERIALIZED (
    -- The tenant's assets are counted only where there are new ones.
    SELECT asset_id FROM fresh
    ORDER BY asset_id
    OFFSET CASE WHEN EXISTS (SELECT FROM fresh) THEN
        greatest(0, $9::bigint - (SELECT count(*) FROM asset_metadata WHERE tenant_id = $1)) END
), written AS (
    INSERT INTO asset_metadata AS a (tenant_id, asset_id, asset_name, first_seen, last_seen)
    SELECT $1, asset_id, asset_id, first_seen, last_seen FROM seen
    WHERE asset_id NOT IN (SELECT asset_id FROM refused)
    ORDER BY asset_id
    ON CONFLICT (tenant_id, asset_id) DO UPDATE SET
        first_seen = least(a.first_seen, excluded.first_seen), last_seen = greatest(a.last_seen, excluded.last_seen),
        updated_at = now()
    WHERE excluded.first_seen < a.first_seen OR excluded.last_seen > a.last_seen
    RETURNING 1
)
SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM written), (SELECT max(asset_id) FROM seen), ''::text, ''::text, ''::text,
    (SELECT count(*) FROM refused)
