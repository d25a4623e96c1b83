-- Series of the tenant $1 in the hour from $2 to $3 of its assets $4, after the series ($5, $6, $7): the next $8. From the samples
-- themselves: late ones are in the rollup only after its next refresh. So the hour must not begin before the floor of its samples.
SELECT m.asset_id, m.metric_type, m.metric_name, m.avg_value, m.min_value, m.max_value
FROM metrics_rollup(INTERVAL '1 hour', $2, $3) m
WHERE m.tenant_id = $1 AND m.asset_id = ANY ($4)
  AND (m.asset_id COLLATE "C", m.metric_type COLLATE "C", m.metric_name COLLATE "C") > ($5, $6, $7)
ORDER BY m.asset_id COLLATE "C", m.metric_type COLLATE "C", m.metric_name COLLATE "C"
LIMIT $8
