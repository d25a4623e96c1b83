-- Where the events $2 of the tenant $1 are, as far as they lie from $3 to $4.
SELECT p.id, p.timestamp
FROM unnest($2::uuid[]) AS wanted (id)
JOIN events p ON p.id = wanted.id
WHERE p.tenant_id = $1 AND p.timestamp >= $3 AND p.timestamp <= $4
