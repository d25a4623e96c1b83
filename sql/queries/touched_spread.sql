-- Takes up to $1 rows of the queue and notes each minute for each job that wants it ($2 kinds, $3 jobs, side by side), and
-- which buckets of the rollups are to be recomputed. Those that begin after noted_before need no note: they are computed when
-- they are read, and closed from what is committed then, or TimescaleDB looks after them.
--
-- A job takes its minutes away before it reads what was written in them: this INSERT then waits for that job's COMMIT, and
-- the minute is noted again. Were it the other way round, what was committed in between would be forgotten.
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
    JOIN rollup_levels l ON l.source = m.kind
    CROSS JOIN LATERAL (
        SELECT date_bin(l.width, to_timestamp(m.minute::bigint * 60), TIMESTAMPTZ '1970-01-01 00:00:00+00') AS bucket
    ) b
    WHERE b.bucket < l.noted_before
    ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM taken
