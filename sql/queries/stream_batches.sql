-- The batches of the stream $2 of the tenant $1 from the one on that holds the offset $3, $4 at most.
SELECT base, span, batch_id, event_count, min_timestamp, max_timestamp
FROM batch_log
WHERE tenant_id = $1 AND stream = $2
  AND base >= coalesce((SELECT max(base) FROM batch_log WHERE tenant_id = $1 AND stream = $2 AND base <= $3), 0)
ORDER BY base LIMIT $4
