-- Series of the tenant $1 with samples in the hour $2 (since 1970: $3) of assets with errors in or near it, after the series
-- ($4, $5, $6): the next $7.
SELECT m.asset_id, m.metric_type, m.metric_name, m.avg_value, m.min_value, m.max_value
FROM metrics_hourly m
WHERE m.tenant_id = $1 AND m.bucket = $2
  AND m.asset_id IN (SELECT asset_id FROM asset_errors WHERE tenant_id = $1 AND hour = $3)
  AND (m.asset_id, m.metric_type, m.metric_name) > ($4, $5, $6)
ORDER BY 1, 2, 3
LIMIT $7
