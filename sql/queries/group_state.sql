-- The group $3 of the stream $2 of the tenant $1: its settings, where it is, and the stream's log as stream_state.sql has it, with
-- where what was read in the epoch $4 may be gone, and the batch before the offset $5. A stream that has nothing yet begins and ends at 0.
SELECT g.group_id, g.max_deliveries, g.ack_timeout_ms, g.event_types, g.ordered_by, g.paused_at, g.paused_reason, g.created_at,
       o.generation,
       CASE WHEN g.ordered_by IS NULL THEN o.committed
            ELSE (SELECT min(s.committed) FROM consumer_slots s WHERE s.group_id = g.group_id) END,
       o.claimed, o.deliveries, o.alone,
       EXISTS (SELECT FROM consumer_leases c WHERE c.group_id = g.group_id AND NOT c.is_replay),
       least(coalesce(b.begins, 0), coalesce(l.ends, 0)), coalesce(l.ends, 0), coalesce(e.epoch, 0),
       CASE WHEN $4 = e.epoch OR $4 IS NULL THEN NULL
            WHEN NOT EXISTS (SELECT FROM log_epochs WHERE epoch = $4) THEN -1
            ELSE (SELECT min(coalesce(s.ended, 0)) FROM log_epochs later
                  LEFT JOIN stream_epochs s ON s.tenant_id = g.tenant_id AND s.stream = g.stream AND s.epoch = later.epoch
                  WHERE later.epoch > $4) END,
       coalesce(l.batch_id, 0),
       (SELECT CASE WHEN base + span >= $5 THEN batch_id END FROM batch_log
        WHERE tenant_id = g.tenant_id AND stream = g.stream AND base < $5 ORDER BY base DESC LIMIT 1)
FROM consumer_groups g
JOIN consumer_offsets o ON o.group_id = g.group_id
LEFT JOIN LATERAL (
    SELECT base + span AS ends, batch_id FROM batch_log l WHERE l.tenant_id = g.tenant_id AND l.stream = g.stream ORDER BY base DESC LIMIT 1
) l ON true
LEFT JOIN stream_begins b ON b.tenant_id = g.tenant_id AND b.stream = g.stream
CROSS JOIN (SELECT max(epoch) AS epoch FROM log_epochs) e
WHERE g.tenant_id = $1 AND g.stream = $2 AND g.name = $3 AND g.deleted_at IS NULL
