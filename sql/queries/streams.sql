-- Streams of the tenant $1, by name, with where their logs begin and end, and the newest time in their newest batches. Which they are is put in.
SELECT n.name, least(coalesce(b.begins, 0), l.base + l.span) AS "begin", l.base + l.span AS "end", l.max_timestamp AS newest
FROM ({names}) n
CROSS JOIN LATERAL (
    SELECT base, span, max_timestamp FROM batch_log WHERE tenant_id = $1 AND stream = n.name ORDER BY base DESC LIMIT 1
) l
LEFT JOIN stream_begins b ON b.tenant_id = $1 AND b.stream = n.name
ORDER BY n.name
