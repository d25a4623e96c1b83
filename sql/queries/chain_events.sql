-- Events of the tenant $1 from $2 up to $3, after the one at ($4, $5), that have a correlation id or a parent: the next $6.
SELECT id, timestamp, correlation_id, parent_event_id, source_module
FROM events
WHERE tenant_id = $1 AND timestamp >= $2 AND timestamp < $3
  AND (correlation_id IS NOT NULL OR parent_event_id IS NOT NULL)
  AND (timestamp, id) > ($4, $5)
ORDER BY timestamp, id
LIMIT $6
