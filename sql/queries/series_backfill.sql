-- Gives the samples of the tenant $1 from $2 up to $3 that are from before there were series the id of their dimensions, and summaries
-- their squares around the mean instead of the sum of squares; what rounding may have made of those says nothing.
UPDATE metrics SET
    series_id = tidegate.metric_series_id(dimensions),
    value_m2 = CASE
        WHEN value_sumsq IS NULL OR value_m2 IS NOT NULL THEN value_m2
        WHEN value_min = value_max THEN 0
        WHEN value_sumsq - value_sum / value_count * value_sum > 8 * 2.220446049250313e-16 * value_sumsq
            THEN value_sumsq - value_sum / value_count * value_sum
    END,
    value_sumsq = NULL
WHERE tenant_id = $1 AND timestamp >= $2 AND timestamp < $3
  AND (value_sumsq IS NOT NULL
       OR dimensions IS NOT NULL AND series_id = '00000000-0000-0000-0000-000000000000'
          AND tidegate.metric_series_id(dimensions) <> '00000000-0000-0000-0000-000000000000')
