-- How many events of the stream $2 of the tenant $1 have offsets from $3 to $4, before events that expired; of a batch that lies across
-- a bound about as many. Where it is more than 100,000 batches, how many offsets that are, of which some may have no event.
SELECT CASE WHEN count(*) > 100000 THEN $4 - greatest($3, min(l.base))
            ELSE coalesce(sum(least(l.event_count, least(l.base + l.span, $4) - greatest(l.base, $3))), 0) END::bigint
FROM (
    SELECT base, span, event_count FROM batch_log
    WHERE tenant_id = $1 AND stream = $2 AND base < $4 AND base + span > $3
      -- From the batch on that holds the first of them, and not from where the log begins.
      AND base >= coalesce((SELECT max(base) FROM batch_log WHERE tenant_id = $1 AND stream = $2 AND base <= $3), 0)
    ORDER BY base LIMIT 100001
) l
