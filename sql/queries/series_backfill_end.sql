-- Takes out of the catalog what migration 20 could not know: that all samples of an asset, type and name have dimensions. Not where
-- buckets are left whose rows are gone.
DELETE FROM metric_series s
WHERE s.series_id = '00000000-0000-0000-0000-000000000000'
  AND EXISTS (SELECT FROM metric_series o WHERE o.tenant_id = s.tenant_id AND o.asset_id = s.asset_id
              AND o.metric_name = s.metric_name AND o.metric_type = s.metric_type AND o.series_id <> s.series_id)
  AND NOT EXISTS (SELECT FROM metrics m WHERE m.tenant_id = s.tenant_id AND m.asset_id = s.asset_id
                  AND m.metric_name = s.metric_name AND m.metric_type = s.metric_type AND m.series_id = s.series_id)
  AND NOT EXISTS (SELECT FROM metrics_hourly_buckets b WHERE b.tenant_id = s.tenant_id AND b.asset_id = s.asset_id
                  AND b.metric_name = s.metric_name AND b.metric_type = s.metric_type AND b.series_id = s.series_id
                  AND b.bucket < (SELECT max(floor) FROM rollup_floors WHERE source = 'metrics'))
  AND NOT EXISTS (SELECT FROM metrics_daily_buckets b WHERE b.tenant_id = s.tenant_id AND b.asset_id = s.asset_id
                  AND b.metric_name = s.metric_name AND b.metric_type = s.metric_type AND b.series_id = s.series_id
                  AND b.bucket < (SELECT max(floor) FROM rollup_floors WHERE source = 'metrics'))
