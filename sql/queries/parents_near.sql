-- The events of the tenant $1 that go by the ids $2, as far as they lie from $3 to $4: stored under one, or called so by their
-- sender beside its source.
SELECT wanted.id, p.id, p.timestamp, p.source_module
FROM unnest($2::uuid[]) AS wanted (id)
JOIN events p ON p.id = wanted.id
WHERE p.tenant_id = $1 AND p.timestamp >= $3 AND p.timestamp <= $4
UNION ALL
SELECT wanted.id, p.id, p.timestamp, p.source_module
FROM unnest($2::uuid[]) AS wanted (id)
JOIN events p ON p.bare_id = wanted.id
WHERE p.tenant_id = $1 AND p.timestamp >= $3 AND p.timestamp <= $4 AND p.bare_id IS NOT NULL
