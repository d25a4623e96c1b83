-- The hours from $2 up to $3 of series of the tenant $1, columns side by side: assets, types, names, ids.
SELECT u.n, m.avg_value, m.min_value, m.max_value
FROM unnest($4::text[], $5::text[], $6::text[], $7::uuid[]) WITH ORDINALITY AS u (asset_id, metric_type, metric_name, series_id, n)
JOIN metrics_hourly_buckets m USING (asset_id, metric_type, metric_name, series_id)
WHERE m.tenant_id = $1 AND m.bucket >= $2 AND m.bucket < $3 AND m.asset_id = ANY ($4)
