-- Begins an epoch, and keeps where each stream ends now; returns its number. What groups had handed out is acknowledged in vain: after a
-- restore the numbers of generations and leases are given again.
WITH RECURSIVE begun AS (
    INSERT INTO log_epochs (epoch)
    SELECT greatest((SELECT max(epoch) + 1 FROM log_epochs), extract(epoch FROM now())::bigint)
    RETURNING epoch
), newest AS (
    (SELECT tenant_id, stream, base + span AS ended FROM batch_log ORDER BY tenant_id DESC, stream DESC, base DESC LIMIT 1)
    UNION ALL
    SELECT l.* FROM newest n CROSS JOIN LATERAL (
        SELECT tenant_id, stream, base + span FROM batch_log
        WHERE (tenant_id, stream) < (n.tenant_id, n.stream)
        ORDER BY tenant_id DESC, stream DESC, base DESC LIMIT 1
    ) l
), kept AS (
    INSERT INTO stream_epochs (tenant_id, stream, epoch, ended) SELECT n.tenant_id, n.stream, b.epoch, n.ended FROM newest n, begun b
), fenced AS (
    UPDATE consumer_offsets o SET generation = greatest(o.generation + 1, b.epoch) FROM begun b
    -- Not where this is the first one: there was no other history.
    WHERE EXISTS (SELECT FROM log_epochs)
)
SELECT epoch FROM begun
