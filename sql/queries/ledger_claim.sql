-- Tries the locks of the keys $2 of the tenants $1, and returns each lock's name: a hash that only those can tell who may read the
-- salt. Without a salt there is no lock, and null.
SELECT pg_try_advisory_xact_lock(c.name), c.name
FROM (
    SELECT k.n,
        ('x' || encode(substr(sha256(convert_to(s.salt || k.tenant_id || chr(31) || k.key, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint AS name
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (tenant_id, key, n)
    LEFT JOIN claim_salt s ON true
    OFFSET 0
) c
ORDER BY c.n
