-- The stretch from $1 up to $2 is done: its closed buckets are to be recomputed, of the levels $3 as far back as they are recomputed
-- ($4 seconds, side by side; null: however old).
WITH done AS (
    DELETE FROM series_pending WHERE from_at = $1
), found AS MATERIALIZED (
    SELECT DISTINCT tenant_id, date_bin(INTERVAL '1 minute', timestamp, TIMESTAMPTZ '1970-01-01 00:00:00+00') AS minute
    FROM metrics WHERE timestamp >= $1 AND timestamp < $2
)
INSERT INTO rollup_dirty (level, bucket, tenant_id)
SELECT DISTINCT l.level, date_bin(l.width, f.minute, TIMESTAMPTZ '1970-01-01 00:00:00+00') AS bucket, f.tenant_id
FROM found f
CROSS JOIN unnest($3::text[], $4::float8[]) AS k (level, back_s)
JOIN rollup_levels l USING (level)
WHERE date_bin(l.width, f.minute, TIMESTAMPTZ '1970-01-01 00:00:00+00') < l.noted_before
  AND (k.back_s IS NULL OR f.minute >= now() - make_interval(secs => k.back_s))
ORDER BY 1, 2, 3
ON CONFLICT DO NOTHING
