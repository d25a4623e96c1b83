-- Deletes at most $2 series of which no sample was seen for as long as metrics are kept ($1 seconds), or the organization keeps its own,
-- and that no bucket is left of: its dimensions are known nowhere else. What others are writing is passed over: it is
-- seen at this moment.
DELETE FROM metric_series WHERE ctid = ANY (ARRAY(
    SELECT c.ctid
    FROM metric_series c
    LEFT JOIN organizations o USING (tenant_id)
    WHERE c.last_seen < now() - make_interval(secs => coalesce(o.metrics_retention_days * 86400::bigint, $1::bigint)){buckets}
    LIMIT $2
    FOR UPDATE OF c SKIP LOCKED
))
