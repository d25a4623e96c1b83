-- Moves on where streams begin: to the first batch of which something is younger than its organization keeps events, and $1 seconds
-- at most; where all has expired, to the end. Streams are found by going through the log's key from one to the next.
WITH RECURSIVE streams AS (
    (SELECT tenant_id, stream FROM batch_log ORDER BY tenant_id, stream LIMIT 1)
    UNION ALL
    SELECT l.* FROM streams s CROSS JOIN LATERAL (
        SELECT tenant_id, stream FROM batch_log WHERE (tenant_id, stream) > (s.tenant_id, s.stream) ORDER BY tenant_id, stream LIMIT 1
    ) l
), moved AS (
    SELECT s.tenant_id, s.stream, b.begins AS begun, coalesce(
        (SELECT l.base FROM batch_log l
         WHERE l.tenant_id = s.tenant_id AND l.stream = s.stream AND l.base >= coalesce(b.begins, 0)
           AND l.max_timestamp >= now() - make_interval(secs => least($1::bigint, o.events_retention_days * 86400::bigint))
         ORDER BY l.base LIMIT 1),
        (SELECT l.base + l.span FROM batch_log l
         WHERE l.tenant_id = s.tenant_id AND l.stream = s.stream ORDER BY l.base DESC LIMIT 1)) AS begins
    FROM streams s
    LEFT JOIN stream_begins b ON b.tenant_id = s.tenant_id AND b.stream = s.stream
    LEFT JOIN organizations o ON o.tenant_id = s.tenant_id
)
INSERT INTO stream_begins (tenant_id, stream, begins)
SELECT tenant_id, stream, begins FROM moved WHERE begins > coalesce(begun, 0)
ON CONFLICT (tenant_id, stream) DO UPDATE SET begins = greatest(stream_begins.begins, excluded.begins)
