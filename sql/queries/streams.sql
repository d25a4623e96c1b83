-- Streams of the tenant $1, by name, with where their logs begin and end, and the oldest time in the batch at the beginning (none: all
-- has expired) and the newest in the newest one; and what they are defined to be. Which streams they are is put in.
SELECT n.name, least(coalesce(b.begins, 0), coalesce(l.base + l.span, 0)) AS "begin", coalesce(l.base + l.span, 0) AS "end",
       f.min_timestamp AS oldest, l.max_timestamp AS newest,
       coalesce(d.mode, 'off') AS mode, coalesce(d.compatibility, 'none') AS compatibility, d.schema_version, d.description
FROM ({names}) n
LEFT JOIN LATERAL (
    SELECT base, span, max_timestamp FROM batch_log WHERE tenant_id = $1 AND stream = n.name ORDER BY base DESC LIMIT 1
) l ON true
LEFT JOIN event_streams d ON d.tenant_id = $1 AND d.name = n.name AND d.deleted_at IS NULL
LEFT JOIN stream_begins b ON b.tenant_id = $1 AND b.stream = n.name
LEFT JOIN LATERAL (
    SELECT min_timestamp FROM batch_log
    WHERE tenant_id = $1 AND stream = n.name AND base >= coalesce(b.begins, 0) ORDER BY base LIMIT 1
) f ON true
WHERE l.base IS NOT NULL OR d.name IS NOT NULL
ORDER BY n.name
