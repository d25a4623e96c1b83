-- All streams of all tenants.
WITH RECURSIVE streams AS (
    (SELECT tenant_id, stream FROM batch_log ORDER BY tenant_id, stream LIMIT 1)
    UNION ALL
    SELECT l.* FROM streams s CROSS JOIN LATERAL (
        SELECT tenant_id, stream FROM batch_log WHERE (tenant_id, stream) > (s.tenant_id, s.stream)
        ORDER BY tenant_id, stream LIMIT 1
    ) l
)
SELECT tenant_id, stream FROM streams
