-- Streams of the tenant $1, by name, with where their logs begin and end, and the oldest time in the batch at the beginning (none: all
-- has expired) and the newest in the newest one. Which streams they are is put in.
SELECT n.name, least(coalesce(b.begins, 0), l.base + l.span) AS "begin", l.base + l.span AS "end", f.min_timestamp AS oldest,
       l.max_timestamp AS newest
FROM ({names}) n
CROSS JOIN LATERAL (
    SELECT base, span, max_timestamp FROM batch_log WHERE tenant_id = $1 AND stream = n.name ORDER BY base DESC LIMIT 1
) l
LEFT JOIN stream_begins b ON b.tenant_id = $1 AND b.stream = n.name
LEFT JOIN LATERAL (
    SELECT min_timestamp FROM batch_log
    WHERE tenant_id = $1 AND stream = n.name AND base >= coalesce(b.begins, 0) ORDER BY base LIMIT 1
) f ON true
ORDER BY n.name
