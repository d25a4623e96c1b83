-- Puts series into the catalog, columns side by side, that are not there yet: tenants, assets, types, names, ids, stored dimensions,
-- first and last seen. In the order of the key, so that two transactions that bring the same ones wait in one direction.
INSERT INTO metric_series (tenant_id, asset_id, metric_type, metric_name, series_id, dimensions, first_seen, last_seen)
SELECT s.tenant_id, s.asset_id, s.metric_type, s.metric_name, s.series_id, tidegate.metric_dimensions(s.dimensions::jsonb), s.first_seen,
    s.last_seen
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::timestamptz[], $8::timestamptz[])
     AS s (tenant_id, asset_id, metric_type, metric_name, series_id, dimensions, first_seen, last_seen)
ORDER BY s.tenant_id, s.asset_id, s.metric_name, s.metric_type, s.series_id
ON CONFLICT DO NOTHING
