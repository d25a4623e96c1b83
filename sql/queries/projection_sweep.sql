-- Puts into the queue the streams whose newest batch that concerns a projection lies behind what was done of it. What a version before
-- has logged while this one was not leading is not in the queue. Where it is there for all of them, that is enough.
WITH RECURSIVE newest AS (
    (SELECT tenant_id, stream, base, projections FROM batch_log WHERE projections <> 0
     ORDER BY tenant_id DESC, stream DESC, base DESC LIMIT 1)
    UNION ALL
    SELECT l.* FROM newest n CROSS JOIN LATERAL (
        SELECT tenant_id, stream, base, projections FROM batch_log
        WHERE projections <> 0 AND (tenant_id, stream) < (n.tenant_id, n.stream)
        ORDER BY tenant_id DESC, stream DESC, base DESC LIMIT 1
    ) l
)
INSERT INTO projection_queue (tenant_id, stream, projections)
SELECT n.tenant_id, n.stream, -1
FROM newest n
WHERE EXISTS (
    SELECT FROM projections p
    LEFT JOIN projection_offsets o ON o.projection = p.name AND o.tenant_id = n.tenant_id AND o.stream = n.stream
    WHERE n.projections & (1 << p.bit) <> 0 AND coalesce(o.committed, 0) <= n.base
) AND NOT EXISTS (
    SELECT FROM projection_queue q WHERE q.tenant_id = n.tenant_id AND q.stream = n.stream AND q.projections = -1
)
