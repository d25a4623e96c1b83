-- Series of the tenant $1 in the hour from $2 to $3 of its assets $4, after the series ($5, $6, $7, $8): the next $9, with their
-- dimensions. From the samples themselves: late ones are in the rollup only after its next refresh. So the hour must not begin
-- before the floor of its samples.
SELECT m.asset_id, m.metric_type, m.metric_name, m.series_id::text, m.avg_value, m.min_value, m.max_value,
    coalesce(s.dimensions, '{}') AS dimensions
FROM metrics_rollup(INTERVAL '1 hour', $2, $3) m
LEFT JOIN metric_series s
    ON s.tenant_id = m.tenant_id AND s.asset_id = m.asset_id AND s.metric_name = m.metric_name
    AND s.metric_type = m.metric_type AND s.series_id = m.series_id
WHERE m.tenant_id = $1 AND m.asset_id = ANY ($4)
  AND (m.asset_id COLLATE "C", m.metric_type COLLATE "C", m.metric_name COLLATE "C", m.series_id::text COLLATE "C")
      > ($5, $6, $7, $8)
ORDER BY m.asset_id COLLATE "C", m.metric_type COLLATE "C", m.metric_name COLLATE "C", m.series_id::text COLLATE "C"
LIMIT $9
