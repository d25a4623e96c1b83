-- Every minute from $2 up to $3 (seconds since 1970) in which a tenant has rows, for the queue $1. Noted two minutes ago, so
-- that minutes that lie ahead are due as well.
SELECT DISTINCT $1::text, tenant_id, floor(extract(epoch FROM timestamp) / 60)::integer AS minute,
    now() - INTERVAL '2 minutes'
FROM {table}
WHERE timestamp >= to_timestamp($2) AND timestamp < to_timestamp($3)
ORDER BY minute, tenant_id
