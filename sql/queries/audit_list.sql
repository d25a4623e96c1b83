-- Acts, the newest first: of the tenant $1, of the action $2, from $3 on, before $4, where these are not null; $5 of them.
SELECT id, at, tenant_id, actor_kind, actor_id, actor, action, target, details, host(address), request_id
FROM audit_log
WHERE ($1::text IS NULL OR tenant_id = $1) AND ($2::text IS NULL OR action = $2)
    AND ($3::timestamptz IS NULL OR at >= $3) AND ($4::timestamptz IS NULL OR at < $4)
ORDER BY id DESC
LIMIT $5
