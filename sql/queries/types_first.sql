-- The first event of each type ($2 and $3) at its first time in a minute ($4) of the tenant $1; all lie from $5 up to $6.
SELECT DISTINCT ON (u.n) u.n, e.id
FROM unnest($2::text[], $3::text[], $4::timestamptz[]) WITH ORDINALITY AS u (source_module, event_type, at, n)
JOIN events e ON e.timestamp = u.at AND e.source_module = u.source_module AND e.event_type = u.event_type
WHERE e.tenant_id = $1 AND e.timestamp >= $5 AND e.timestamp < $6
ORDER BY u.n, e.id
