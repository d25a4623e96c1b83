-- Which of these series, columns side by side, are in the catalog: their numbers, from 1. Tenants, assets, types, names, ids.
SELECT s.n
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[]) WITH ORDINALITY
     AS s (tenant_id, asset_id, metric_type, metric_name, series_id, n)
JOIN metric_series USING (tenant_id, asset_id, metric_name, metric_type, series_id)
