-- How many events of the stream $2 of the tenant $1 have offsets from $3 to $4, before events that expired; of a batch that lies across
-- a bound about as many.
SELECT coalesce(sum(least(l.event_count, least(l.base + l.span, $4) - greatest(l.base, $3))), 0)::bigint
FROM batch_log l
WHERE l.tenant_id = $1 AND l.stream = $2 AND l.base < $4 AND l.base + l.span > $3
  -- From the batch on that holds the first of them, and not from where the log begins.
  AND l.base >= coalesce((SELECT max(base) FROM batch_log WHERE tenant_id = $1 AND stream = $2 AND base <= $3), 0)
