-- Puts the series of the tenant $1 from $2 up to $3 into the catalog, in the order of the key.
INSERT INTO metric_series AS c (tenant_id, asset_id, metric_type, metric_name, series_id, dimensions, first_seen, last_seen)
SELECT m.tenant_id, m.asset_id, m.metric_type, m.metric_name, m.series_id,
    -- Equal but for what Tidegate put there.
    tidegate.metric_dimensions((array_agg(m.dimensions))[1]), min(m.timestamp), max(m.timestamp)
FROM metrics m
WHERE m.tenant_id = $1 AND m.timestamp >= $2 AND m.timestamp < $3
GROUP BY m.tenant_id, m.asset_id, m.metric_type, m.metric_name, m.series_id
ORDER BY m.tenant_id, m.asset_id, m.metric_name, m.metric_type, m.series_id
ON CONFLICT (tenant_id, asset_id, metric_name, metric_type, series_id) DO UPDATE SET
    first_seen = least(c.first_seen, excluded.first_seen), last_seen = greatest(c.last_seen, excluded.last_seen)
WHERE excluded.first_seen < c.first_seen OR excluded.last_seen > c.last_seen
