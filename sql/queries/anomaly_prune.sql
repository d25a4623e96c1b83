-- Takes away the anomalies of the tenant $1 from $2 up to $3 that the hour $4 gave to the series after ($5, $6, $7) up to
-- ($8, $9, $10), but those with the ids $11.
DELETE FROM correlations
WHERE tenant_id = $1 AND correlation_type = 'anomaly' AND timestamp >= $2 AND timestamp < $3
  AND (metadata ->> 'bucket')::timestamptz = $4
  AND ((metadata ->> 'asset_id') COLLATE "C", (metadata ->> 'metric_type') COLLATE "C", (metadata ->> 'metric_name') COLLATE "C")
      > ($5, $6, $7)
  AND ((metadata ->> 'asset_id') COLLATE "C", (metadata ->> 'metric_type') COLLATE "C", (metadata ->> 'metric_name') COLLATE "C")
      <= ($8, $9, $10)
  AND NOT id = ANY ($11)
