-- The streams of the $1 oldest entries of the queue: the newest entry of each that was seen, and the projections that it may concern.
SELECT tenant_id, stream, max(turn), bit_or(projections)
FROM (SELECT tenant_id, stream, turn, projections FROM projection_queue ORDER BY turn LIMIT $1) oldest
GROUP BY tenant_id, stream
ORDER BY min(turn)
