-- Notes for the projection $1, which is new, where the log of each stream ends now, and that there is something to do in it.
WITH RECURSIVE newest AS (
    (SELECT tenant_id, stream, base + span AS ends FROM batch_log ORDER BY tenant_id DESC, stream DESC, base DESC LIMIT 1)
    UNION ALL
    SELECT l.* FROM newest n CROSS JOIN LATERAL (
        SELECT tenant_id, stream, base + span FROM batch_log
        WHERE (tenant_id, stream) < (n.tenant_id, n.stream)
        ORDER BY tenant_id DESC, stream DESC, base DESC LIMIT 1
    ) l
), noted AS (
    INSERT INTO projection_offsets (projection, tenant_id, stream, committed, all_before)
    SELECT $1, tenant_id, stream, 0, ends FROM newest
    ON CONFLICT (projection, tenant_id, stream) DO NOTHING
    RETURNING tenant_id, stream
)
INSERT INTO projection_queue (tenant_id, stream, projections) SELECT tenant_id, stream, -1 FROM noted
