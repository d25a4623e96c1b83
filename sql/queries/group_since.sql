-- The first offset of the stream $2 of the tenant $1 from which on all events since $3 come: not before $4, and $5 where there are none.
SELECT coalesce((SELECT l.base FROM batch_log l
                 WHERE l.tenant_id = $1 AND l.stream = $2 AND l.base + l.span > $4 AND l.max_timestamp >= $3
                   AND l.base >= coalesce((SELECT max(base) FROM batch_log WHERE tenant_id = $1 AND stream = $2 AND base <= $4), 0)
                 ORDER BY l.base LIMIT 1), $5)
