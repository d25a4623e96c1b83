-- Takes the buckets $3 of the tenants $2 (side by side) of level $1 from the list, and says of each whether it may be made
-- again: not when it begins before the floor of the rows that it is made of ($4), with the slack ($5 seconds) in which they
-- are there still, nor when it is older than $6 seconds (null: however old).
WITH taken AS (
    DELETE FROM rollup_dirty d USING unnest($2::text[], $3::timestamptz[]) AS w (tenant_id, bucket)
    WHERE d.level = $1 AND d.tenant_id = w.tenant_id AND d.bucket = w.bucket
    RETURNING d.tenant_id, d.bucket
)
SELECT tenant_id, bucket,
       bucket >= coalesce((SELECT max(floor) FROM rollup_floors f
                           WHERE f.source = $4 AND f.tenant_id IN ('', t.tenant_id)), '-infinity')
                 - make_interval(secs => $5::float8)
       AND ($6::float8 IS NULL OR bucket >= now() - make_interval(secs => $6::float8))
FROM taken t
