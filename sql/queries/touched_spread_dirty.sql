-- As touched_spread.sql, and notes which closed buckets of the rollups are to be made anew (postgres engine). What is still
-- open needs no note: it is computed when it is read, and closed from what is committed then.
WITH taken AS (
    DELETE FROM touched WHERE ctid = ANY (ARRAY(SELECT ctid FROM touched LIMIT $1))
    RETURNING kind, tenant_id, minutes
), minutes AS (
    SELECT DISTINCT kind, tenant_id, minute FROM taken CROSS JOIN LATERAL unnest(minutes) AS minute
), noted AS (
    INSERT INTO touched_minutes (job, tenant_id, minute)
    SELECT j.job, m.tenant_id, m.minute
    FROM minutes m JOIN unnest($2::text[], $3::text[]) AS j (kind, job) USING (kind)
    -- One order in every transaction that takes these rows.
    ORDER BY j.job, m.minute, m.tenant_id
    ON CONFLICT DO NOTHING
), dirty AS (
    INSERT INTO rollup_dirty (level, bucket, tenant_id)
    SELECT DISTINCT l.level, b.bucket, m.tenant_id
    FROM minutes m
    JOIN rollup_levels l ON (l.level LIKE 'metrics%') = (m.kind = 'metrics')
    CROSS JOIN LATERAL (
        SELECT date_bin(l.width, to_timestamp(m.minute::bigint * 60), TIMESTAMPTZ '1970-01-01 00:00:00+00') AS bucket
    ) b
    WHERE b.bucket < l.closed_until
    ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM taken
