-- Deletes at most $2 rows of which the newest event that told of them is older than events are kept: $1 seconds, or as long as the
-- organization keeps its own. What others are writing is passed over: it is told of at this moment.
DELETE FROM {table} WHERE ctid = ANY (ARRAY(
    SELECT t.ctid
    FROM {table} t
    LEFT JOIN organizations o USING (tenant_id)
    WHERE t.updated_at < now() - make_interval(secs => coalesce(o.events_retention_days * 86400::bigint, $1::bigint))
    LIMIT $2
    FOR UPDATE OF t SKIP LOCKED
))
