-- Orphans of the tenant $1 whose parent is among the events from $2 up to $3, and so near that it counts: at most $4 seconds
-- before its child and $5 after it. At most $6 of them. One that has a parent in another source waits for that of its own
-- source, or for one that is stored under the id, alone.
SELECT o.parent_event_id, o.event_id, o.timestamp, o.source_module, o.matched, p.id, p.timestamp, p.source_module
FROM (
    SELECT o.parent_event_id AS name, p.id, p.timestamp, p.source_module
    FROM (SELECT DISTINCT parent_event_id FROM orphans WHERE tenant_id = $1) o
    JOIN events p ON p.id = o.parent_event_id
    WHERE p.tenant_id = $1 AND p.timestamp >= $2 AND p.timestamp < $3
    UNION ALL
    SELECT o.parent_event_id, p.id, p.timestamp, p.source_module
    FROM (SELECT DISTINCT parent_event_id FROM orphans WHERE tenant_id = $1) o
    JOIN events p ON p.bare_id = o.parent_event_id
    WHERE p.tenant_id = $1 AND p.timestamp >= $2 AND p.timestamp < $3 AND p.bare_id IS NOT NULL
) p
JOIN orphans o ON o.tenant_id = $1 AND o.parent_event_id = p.name
WHERE p.timestamp >= o.timestamp - make_interval(secs => $4) AND p.timestamp <= o.timestamp + make_interval(secs => $5)
  AND p.id <> o.event_id
  AND (NOT o.matched OR p.id = o.parent_event_id OR p.source_module = o.source_module)
ORDER BY o.parent_event_id, o.event_id, p.timestamp
LIMIT $6
