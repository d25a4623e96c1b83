-- Takes away the anomalies of the tenant $1 from $2 up to $3 that the hour $4 gave to the series after ($5, $6, $7, $8) up to
-- ($9, $10, $11, $12), but those with the ids $13. Those from before there were series are of the one without dimensions.
DELETE FROM correlations
WHERE tenant_id = $1 AND correlation_type = 'anomaly' AND timestamp >= $2 AND timestamp < $3
  AND (metadata ->> 'bucket')::timestamptz = $4
  AND ((metadata ->> 'asset_id') COLLATE "C", (metadata ->> 'metric_type') COLLATE "C", (metadata ->> 'metric_name') COLLATE "C",
       coalesce(metadata ->> 'series_id', '00000000-0000-0000-0000-000000000000') COLLATE "C") > ($5, $6, $7, $8)
  AND ((metadata ->> 'asset_id') COLLATE "C", (metadata ->> 'metric_type') COLLATE "C", (metadata ->> 'metric_name') COLLATE "C",
       coalesce(metadata ->> 'series_id', '00000000-0000-0000-0000-000000000000') COLLATE "C") <= ($9, $10, $11, $12)
  AND NOT id = ANY ($13)
