-- Orphans of the tenant $1 whose parent is among the events from $2 up to $3, and so near that it counts: at most $4 seconds
-- before its child and $5 after it. At most $6 of them.
SELECT o.parent_event_id, p.timestamp, o.event_id, o.timestamp
FROM orphans o
JOIN events p ON p.id = o.parent_event_id
WHERE o.tenant_id = $1 AND p.tenant_id = $1 AND p.timestamp >= $2 AND p.timestamp < $3
  AND p.timestamp >= o.timestamp - make_interval(secs => $4) AND p.timestamp <= o.timestamp + make_interval(secs => $5)
ORDER BY o.parent_event_id, o.event_id, p.timestamp
LIMIT $6
