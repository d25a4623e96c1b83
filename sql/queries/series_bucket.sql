
      -- One look into an index for each series, and no join with all buckets.
      AND (SELECT true FROM {table} b
           WHERE b.tenant_id = c.tenant_id AND b.asset_id = c.asset_id AND b.metric_name = c.metric_name
             AND b.series_id = c.series_id AND b.metric_type = c.metric_type LIMIT 1) IS NULL
