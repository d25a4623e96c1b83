-- The batches of the stream $2 of the tenant $1 from the offset $3 on and before $4 that concern the projections in $5, at most $6.
SELECT base, span, batch_id, event_count, min_timestamp, max_timestamp
FROM batch_log
WHERE tenant_id = $1 AND stream = $2
  AND base >= coalesce((SELECT base FROM batch_log WHERE tenant_id = $1 AND stream = $2 AND base <= $3 ORDER BY base DESC LIMIT 1), 0)
  AND base + span > $3 AND base < $4 AND projections <> 0 AND projections & $5 <> 0
ORDER BY base LIMIT $6
